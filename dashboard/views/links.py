"""Pages behind links that work once: accepting an invitation, and a new password for one that was forgotten."""

from flask import Blueprint, Response, flash, url_for
from gamify.deployment import database, deployment
from gamify.errors import TooManyTries
from gamify.services import links, mail, throttle
from werkzeug.wrappers import Response as Answer

from dashboard.forms import Form, sent, show
from dashboard.guard import PUBLIC, allows, lead_to, now, place

bp = Blueprint("links", __name__, url_prefix="/dashboard")

ASKED = "If somebody has this e-mail address, a link is on its way to them. It works for an hour."


@bp.get("/invitation/<token>")
@allows(PUBLIC)
def invitation(token: str) -> Response:
    """Ask an invited person for a password."""
    return _show_invitation(token, Form())


@bp.post("/invitation/<token>")
@allows(PUBLIC)
def accept(token: str) -> Response | Answer:
    """Make the invited person a user."""
    form = sent()
    with form.showing(), database().transaction() as db:
        links.accept(db, token, password=form.get("password"), place=place(), now=now())
    return _to_sign_in("Welcome. Now sign in.") if form.is_fine else _show_invitation(token, form)


@bp.get("/reset")
@allows(PUBLIC)
def ask() -> Response:
    """Ask for the e-mail address of somebody who forgot the password."""
    return show("ask_reset.html", Form())


@bp.post("/reset")
@allows(PUBLIC)
def asked() -> Response | Answer:
    """Send a link, and say the same whether there was anybody to send it to."""
    form = sent()
    with form.showing(TooManyTries):
        _send_reset(form.get("email").strip())
    return _to_sign_in(ASKED) if form.is_fine else show("ask_reset.html", form)


@bp.get("/reset/<token>")
@allows(PUBLIC)
def reset(token: str) -> Response:
    """Ask for a new password."""
    return _show_reset(token, Form())


@bp.post("/reset/<token>")
@allows(PUBLIC)
def set_password(token: str) -> Response | Answer:
    """Set it, and end all sessions."""
    form = sent()
    with form.showing(), database().transaction() as db:
        links.reset(db, token, password=form.get("password"), place=place(), now=now())
    return _to_sign_in("Your password has been changed. Now sign in.") if form.is_fine else _show_reset(token, form)


def _send_reset(email: str) -> None:
    here = deployment()
    tries = (throttle.reset(here.vault, email), throttle.reset_address(here.vault, place().address))
    throttle.admit(here.database, tries, now=now())
    with here.database.transaction() as db:
        made = links.request_reset(db, email, place=place(), now=now())
    if made is not None:
        link = url_for(".reset", token=made.token, _external=True)
        here.mailer.send(mail.reset(to=made.email, link=link))


def _show_invitation(token: str, form: Form) -> Response:
    with database().transaction() as db:
        link = links.find(db, "invitation", token, now=now())
    return show("invitation.html", form, email=link.email, token=token)


def _show_reset(token: str, form: Form) -> Response:
    with database().transaction() as db:
        link = links.find(db, "reset", token, now=now())
    return show("reset.html", form, email=link.email, token=token)


def _to_sign_in(said: str) -> Answer:
    flash(said)
    return lead_to(url_for("sign_in.index"))
