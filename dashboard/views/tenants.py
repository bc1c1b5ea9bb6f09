"""The operators' page: tenants as such, never what is in them."""

from flask import Blueprint, Response, flash, url_for
from gamify.deployment import counters, database
from gamify.errors import FieldError, Invalid, NotFound
from gamify.services import tenants, users
from werkzeug.wrappers import Response as Answer

from dashboard.forms import Form, sent, show
from dashboard.guard import actor, allows, lead_to
from dashboard.views.people import send_invitation

bp = Blueprint("tenants", __name__, url_prefix="/dashboard/tenants")


@bp.get("")
@allows("tenants:read")
def index() -> Response:
    """List tenants."""
    return _show(Form())


@bp.post("/create")
@allows("tenants:write", fresh=True)
def create() -> Response | Answer:
    """Create a tenant, and invite its first admin if one is named."""
    form = sent()
    slug, email = form.get("slug").strip(), form.get("email").strip()
    with form.showing():
        if email and (error := users.email_problem(email)):
            raise Invalid([FieldError("email", error.message)])
        with database().transaction() as db:
            tenant = tenants.create(db, slug=slug, name=form.get("name").strip(), actor=actor())
        if email and (link := send_invitation(tenant, email=email, role="admin")):
            return _show(Form(), link=link, invited=email)
        return _back(f"{slug} has been created." + (f" An invitation to {email} is on its way." if email else ""))
    return _show(form)


@bp.post("/<slug>/suspend")
@allows("tenants:write", fresh=True)
def suspend(slug: str) -> Answer:
    """Refuse every request and sign-in of a tenant until it is resumed."""
    return _set_status(slug, "suspended")


@bp.post("/<slug>/resume")
@allows("tenants:write", fresh=True)
def resume(slug: str) -> Answer:
    """Let a suspended tenant work again."""
    return _set_status(slug, "active")


def _set_status(slug: str, status: str) -> Answer:
    if not tenants.SLUG.fullmatch(slug):
        raise NotFound(f"There is no tenant {slug}.")
    with database().transaction() as db:
        changed = tenants.set_status(db, slug, status=status, actor=actor())
    for tenant in changed:
        counters().advance(tenant.id)
    return _back(f"{slug} is {status} now.")


def _show(form: Form, **values: str) -> Response:
    with database().transaction() as db:
        every = tenants.every(db)
    return show("tenants.html", form, tenants=every, **values)


def _back(said: str) -> Answer:
    flash(said)
    return lead_to(url_for(".index"))
