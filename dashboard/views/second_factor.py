"""The second factor while signing in: a code, or (where the tenant requires it) setting one up."""

from flask import Blueprint, Response, render_template, request, url_for
from gamify.deployment import deployment
from gamify.errors import FieldError, Invalid, TooManyTries
from gamify.services import second_factor
from gamify.services.sessions import SignedIn
from werkzeug.wrappers import Response as Answer

from dashboard.forms import Form, sent, show
from dashboard.guard import PUBLIC, allows, lead_to, local, now, place, remember, visitor

bp = Blueprint("second_factor", __name__, url_prefix="/dashboard/second-factor")


@bp.get("")
@allows(PUBLIC)
def index() -> Response | Answer:
    """Ask for a code, or show how to set up an app."""
    found = _unfinished()
    return _show(found, Form(), request.args.get("next", "")) if found else lead_to(url_for("sign_in.index"))


@bp.post("")
@allows(PUBLIC)
def check() -> Response | Answer:
    """Finish signing in with a code."""
    found, form = _unfinished(), sent()
    if found is None:
        return lead_to(url_for("sign_in.index"))
    with form.showing(TooManyTries):
        session_id = deployment().door.pass_second_factor(found, form.get("code"), place=place(), now=now())
        if session_id is not None:
            remember(session_id)
            return lead_to(local(request.form.get("next")))
        form.refuse(Invalid([FieldError("code", "That code is not right, or was used before.")]))
    return _show(found, form, form.get("next"))


@bp.post("/enrol")
@allows(PUBLIC)
def enrol() -> str | Response | Answer:
    """Finish signing in by setting up an app; show the recovery codes."""
    found, form = _unfinished(), sent()
    if found is None or not found.must_enrol:
        return lead_to(url_for("sign_in.index"))
    with form.showing():
        session_id, codes = deployment().door.enrol(
            found, ticket=form.get("ticket"), code=form.get("code"), place=place(), now=now()
        )
        remember(session_id)
        return render_template("recovery_codes.html", codes=codes, next=local(request.form.get("next")))
    return _show(found, form, form.get("next"))


def _unfinished() -> SignedIn | None:
    found = visitor()
    return found if found and not found.session.is_complete else None


def _show(found: SignedIn, form: Form, target: str) -> Response:
    if not found.must_enrol:
        return show("second_factor.html", form, next=target)
    offer = second_factor.enrolment_of(deployment().vault, found.user, form.get("ticket"), now=now())
    return show("enrol.html", form, next=target, offer=offer, action=url_for(".enrol"), is_required=True)
