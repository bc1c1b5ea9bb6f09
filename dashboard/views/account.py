"""One's own account: password, second factor, and where one is signed in."""

from uuid import UUID

from flask import Blueprint, Response, flash, render_template, url_for
from gamify.deployment import database, deployment
from gamify.errors import FieldError, Invalid, TooManyTries
from gamify.models import User
from gamify.services import passwords, second_factor, sessions, users
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response as Answer

from dashboard import browsers, theme
from dashboard.forms import Form, sent, show
from dashboard.guard import actor, allows, back, lead_to, now, place, remember, who

bp = Blueprint("account", __name__, url_prefix="/dashboard/account")


@bp.get("")
@allows("account")
def index() -> Response:
    """Show the account."""
    return _show(Form())


@bp.post("/theme")
@allows("account")
def choose_theme() -> Answer:
    """Choose light or dark for this browser, and go back."""
    return theme.choose(lead_to(back()), sent().get("theme"))


@bp.post("/password")
@allows("account")
def change_password() -> Response | Answer:
    """Change the password; all other sessions end."""
    form = sent()
    if error := passwords.problem(form.get("new_password")):
        form.refuse(Invalid([FieldError("new_password", error.message)]))
        return _show(form)
    with form.showing(Invalid, TooManyTries):
        session_id = deployment().door.confirm_password(who(), form.get("password"), place=place(), now=now())
        if session_id is None:
            raise Invalid([FieldError("password", "That is not your password.")])
        with database().transaction() as db:
            users.change_password(db, _me(db), form.get("new_password"), actor=actor(), now=now(), keep=session_id)
        remember(session_id)
        return _back("Your password has been changed. All other sessions have ended.")
    return _show(form)


@bp.get("/second-factor")
@allows("account", fresh=True)
def set_up() -> Response:
    """Show how to set up an app."""
    return _show_offer(Form())


@bp.post("/second-factor")
@allows("account", fresh=True)
def enrol() -> str | Response:
    """Turn the second factor on, and show the recovery codes."""
    form = sent()
    with form.showing():
        session_id, codes = deployment().door.enrol(
            who(), ticket=form.get("ticket"), code=form.get("code"), place=place(), now=now()
        )
        remember(session_id)
        return render_template("recovery_codes.html", codes=codes, next=url_for(".index"))
    return _show_offer(form)


@bp.post("/second-factor/off")
@allows("account", fresh=True)
def disable() -> Response | Answer:
    """Turn the second factor off."""
    form = sent()
    with form.showing(), database().transaction() as db:
        second_factor.disable(db, _me(db), who().tenant, actor=actor())
        session_id = sessions.renew(db, who().session.id, now=now())
    if not form.is_fine:
        return _show(form)
    remember(session_id)
    return _back("The second factor is off.")


@bp.post("/sessions/<uuid:session_id>/end")
@allows("account")
def end_session(session_id: UUID) -> Answer:
    """End one of one's sessions."""
    with database().transaction() as db:
        sessions.revoke(db, who().user, session_id, actor=actor(), now=now())
    return _back("That session has ended.")


@bp.post("/sessions/end-others")
@allows("account")
def end_others() -> Answer:
    """End all sessions but this one."""
    with database().transaction() as db:
        count = sessions.revoke_others(db, who().user, keep=who().session.id, actor=actor(), now=now())
    return _back(f"Ended {count} session{'' if count == 1 else 's'}.")


def _me(db: Session) -> User:
    return users.get(db, who().user.tenant_id, who().user.id)


def _show(form: Form) -> Response:
    with database().transaction() as db:
        rows = sessions.of_user(db, who().user.id, now=now())
    return show("account.html", form, who=who(), sessions=rows, browser=browsers.name)


def _show_offer(form: Form) -> Response:
    offer = second_factor.enrolment_of(deployment().vault, who().user, form.get("ticket"), now=now())
    return show("enrol.html", form, next="", offer=offer, action=url_for(".enrol"), is_required=False)


def _back(said: str) -> Answer:
    flash(said)
    return lead_to(url_for(".index"))
