"""The people of a tenant, or (for operators) the operators: who they are, who is invited, and what they may do."""

from flask import Blueprint, Response, flash, url_for
from gamify.deployment import database, deployment
from gamify.models import Tenant
from gamify.services import links, mail, roles, sessions, users
from werkzeug.wrappers import Response as Answer

from dashboard.forms import Form, ask, sent, show
from dashboard.guard import actor, allows, forget, lead_to, now, remember, who

bp = Blueprint("people", __name__, url_prefix="/dashboard/people")


@bp.get("")
@allows("people:read")
def index() -> Response:
    """List people and invitations."""
    return _show(Form())


@bp.post("/invite")
@allows("people:write", fresh=True)
def invite() -> Response | Answer:
    """Invite somebody; the link is shown where there is no mail server to send it."""
    form, tenant = sent(), who().tenant
    with form.showing():
        link = send_invitation(tenant, email=form.get("email").strip(), role=form.get("role"))
        if link is None:
            return _back(f"The invitation to {form.get('email').strip()} is on its way.")
        return _show(Form(), link=link, invited=form.get("email").strip())
    return _show(form)


@bp.post("/<int(max=9223372036854775807):user_id>/role")
@allows("people:write", fresh=True)
def change_role(user_id: int) -> Response | Answer:
    """Give somebody another role; their sessions end, and one's own gets a new id."""
    form, me = sent(), who()
    is_me = user_id == me.user.id
    with form.showing(), database().transaction() as db:
        user = users.get(db, me.user.tenant_id, user_id)
        keep = me.session.id if is_me else None
        users.change_role(db, user, form.get("role"), actor=actor(), now=now(), keep=keep)
        session_id = sessions.renew(db, me.session.id, now=now()) if is_me else None
    if not form.is_fine:
        return _show(form)
    if session_id is not None:
        remember(session_id)
        flash("Your role has been changed.")
        return lead_to(url_for("home.index"))
    return _back(f"{user.email} is {user.role} now.")


@bp.get("/<int(max=9223372036854775807):user_id>/remove")
@allows("people:write", fresh=True)
def ask_to_remove(user_id: int) -> Response:
    """Ask whether this is the person who is meant."""
    me = who()
    with database().transaction() as db:
        user = users.get(db, me.user.tenant_id, user_id)
    return ask("people/_remove.html", title=user.email, leads_back=url_for(".index"), person=user, me=me.user)


@bp.post("/<int(max=9223372036854775807):user_id>/remove")
@allows("people:write", fresh=True)
def remove(user_id: int) -> Response | Answer:
    """Somebody may not sign in any more."""
    form, me = sent(), who()
    with form.showing(), database().transaction() as db:
        user = users.get(db, me.user.tenant_id, user_id)
        users.remove(db, user, actor=actor(), now=now())
    if not form.is_fine:
        return _show(form)
    if user_id == me.user.id:
        forget()
        return lead_to(url_for("sign_in.index"))
    return _back(f"{user.email} has been removed.")


@bp.post("/invitations/<link_id>/withdraw")
@allows("people:write", fresh=True)
def withdraw(link_id: str) -> Answer:
    """End an invitation."""
    with database().transaction() as db:
        links.withdraw(db, who().user.tenant_id, link_id, actor=actor(), now=now())
    return _back("The invitation does not work any more.")


def send_invitation(tenant: Tenant | None, *, email: str, role: str) -> str | None:
    """Invite somebody by mail; without a mail server, return the link for the inviter to hand on."""
    with database().transaction() as db:
        token = links.invite(db, tenant, email=email, role=role, actor=actor(), now=now())
    link = url_for("links.invitation", token=token, _external=True)
    mailer = deployment().mailer
    where = tenant.name if tenant else "the platform"
    mailer.send(mail.invitation(to=email, inviter=who().user.email, where=where, link=link))
    return None if mailer.can_send else link


def _show(form: Form, **values: str) -> Response:
    me = who()
    with database().transaction() as db:
        people = users.of_tenant(db, me.user.tenant_id)
        invitations = links.open_invitations(db, me.user.tenant_id, now=now())
    choices = roles.assignable(is_operator=me.tenant is None)
    return show("people/index.html", form, me=me.user, people=people, invitations=invitations, roles=choices, **values)


def _back(said: str) -> Answer:
    flash(said)
    return lead_to(url_for(".index"))
