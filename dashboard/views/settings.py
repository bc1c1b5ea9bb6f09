"""What a tenant decides for all of its people."""

from flask import Blueprint, Response, flash, url_for
from gamify.deployment import database
from gamify.models import Tenant
from gamify.services import second_factor, tenants
from werkzeug.wrappers import Response as Answer

from dashboard.forms import Form, sent, show
from dashboard.guard import actor, allows, lead_to, who

bp = Blueprint("settings", __name__, url_prefix="/dashboard/settings")


@bp.get("")
@allows("settings:write")
def index() -> Response:
    """Show the settings."""
    return show("settings.html", Form(), tenant=_own())


@bp.post("/second-factor")
@allows("settings:write", fresh=True)
def require_second_factor() -> Answer:
    """Require a second factor of everybody, or stop requiring it."""
    is_required = sent().get("is_required") == "1"
    with database().transaction() as db:
        second_factor.require(db, tenants.get(db, _own().slug), is_required=is_required, actor=actor())
    flash(
        "Everybody needs a second factor from the next sign-in on." if is_required else "The second factor is up to each person."
    )
    return lead_to(url_for(".index"))


def _own() -> Tenant:
    tenant = who().tenant
    if tenant is None:
        raise RuntimeError("only people of a tenant have settings")
    return tenant
