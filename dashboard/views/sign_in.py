"""Signing in and out, and proving again who one is."""

from flask import Blueprint, Response, flash, request, url_for
from gamify.deployment import database, deployment
from gamify.errors import FieldError, Invalid, SignInRefused, TooManyTries, WrongPassword
from gamify.services import sessions
from werkzeug.wrappers import Response as Answer

from dashboard.forms import Form, sent, show
from dashboard.guard import PUBLIC, allows, forget, lead_to, local, now, place, remember, visitor, who

bp = Blueprint("sign_in", __name__, url_prefix="/dashboard")


@bp.get("/sign-in")
@allows(PUBLIC)
def index() -> Response | Answer:
    """Ask for e-mail and password."""
    found = visitor()
    if found is not None and found.session.is_complete:
        return lead_to(local(request.args.get("next")))
    return show("sign_in.html", Form(), next=request.args.get("next", ""))


@bp.post("/sign-in")
@allows(PUBLIC)
def enter() -> Response | Answer:
    """Begin a session; an earlier one of this browser ends."""
    form, target = sent(), local(request.form.get("next"))
    with form.showing(TooManyTries, SignInRefused):
        found = deployment().door.enter(email=form.get("email").strip(), password=form.get("password"), place=place(), now=now())
        if found is not None:
            _end_earlier()
            remember(found.session.id)
            return lead_to(target if found.session.is_complete else url_for("second_factor.index", next=target))
        form.refuse(WrongPassword())
    return show("sign_in.html", form, next=form.get("next"))


@bp.post("/sign-out")
@allows(PUBLIC)
def leave() -> Answer:
    """End the session."""
    if found := visitor():
        deployment().door.leave(found, place=place(), now=now())
    forget()
    flash("You have signed out.")
    return lead_to(url_for("sign_in.index"))


@bp.get("/confirm")
@allows("account")
def confirm() -> Response:
    """Ask for the password again."""
    return show("confirm.html", Form(), next=request.args.get("next", ""))


@bp.post("/confirm")
@allows("account")
def confirmed() -> Response | Answer:
    """Go on to where it was needed."""
    form = sent()
    with form.showing(TooManyTries):
        session_id = deployment().door.confirm_password(who(), form.get("password"), place=place(), now=now())
        if session_id is not None:
            remember(session_id)
            return lead_to(local(request.form.get("next")))
        form.refuse(Invalid([FieldError("password", "That is not your password.")]))
    return show("confirm.html", form, next=form.get("next"))


def _end_earlier() -> None:
    if earlier := visitor():
        with database().transaction() as db:
            sessions.end(db, earlier.session.id, now=now())
