"""What a tenant decides for all of its people: its name, its time zone, and whether passwords are enough."""

from flask import Blueprint, Response, flash, url_for
from gamify.deployment import database
from gamify.models import Tenant
from gamify.services import second_factor, tenants, zones
from werkzeug.wrappers import Response as Answer

from dashboard.forms import Form, sent, show
from dashboard.guard import actor, allows, lead_to, who

bp = Blueprint("settings", __name__, url_prefix="/dashboard/settings")


@bp.get("")
@allows("settings:write")
def index() -> Response:
    """Show the settings."""
    own = _own()
    return _show(Form({"name": own.name, "time_zone": own.time_zone}))


@bp.post("")
@allows("settings:write", fresh=True)
def change() -> Response | Answer:
    """Give the tenant and its sandbox a name and a time zone."""
    form = sent()
    with form.showing(), database().transaction() as db:
        name, time_zone = form.get("name").strip(), form.get("time_zone").strip()
        tenants.set_profile(db, _own().slug, name=name, time_zone=time_zone, actor=actor())
    return _back("The settings are saved.") if form.is_fine else _show(form)


@bp.post("/second-factor")
@allows("settings:write", fresh=True)
def require_second_factor() -> Answer:
    """Require a second factor of everybody, or stop requiring it."""
    is_required = sent().get("is_required") == "1"
    with database().transaction() as db:
        second_factor.require(db, tenants.get(db, _own().slug), is_required=is_required, actor=actor())
    return _back(
        "Everybody needs a second factor from the next sign-in on." if is_required else "The second factor is up to each person."
    )


def _show(form: Form) -> Response:
    with database().transaction() as db:
        both = tenants.both(db, _own().slug)
    return show("settings.html", form, both=both, zones=zones.names())


def _own() -> Tenant:
    tenant = who().tenant
    if tenant is None:
        raise RuntimeError("only people of a tenant have settings")
    return tenant


def _back(said: str) -> Answer:
    flash(said)
    return lead_to(url_for(".index"))
