"""Links that work once: invitations, and resets of a password."""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from gamify.errors import Conflict, FieldError, Invalid, LinkSpent, NotFound
from gamify.models import OneTimeLink, Tenant, User
from gamify.services import audit, person_log, roles, users
from gamify.services.audit import Actor
from gamify.services.person_log import Place

INVITATION_AGE = timedelta(days=7)
RESET_AGE = timedelta(hours=1)
TOKEN_BYTES = 32


@dataclass(frozen=True, slots=True)
class Reset:
    """Whom a link is for, and its token."""

    email: str
    token: str


def invite(session: Session, tenant: Tenant | None, *, email: str, role: str, actor: Actor, now: datetime) -> str:
    """Invite somebody to `tenant`, or (without one) as an operator; return the token. An earlier invitation ends.

    An e-mail that somebody of another tenant has is not refused here: that would tell who is elsewhere.
    Raises `Invalid` for an unusable e-mail or role, `Conflict` for somebody who is here already.
    """
    errors = [error for error in (users.email_problem(email),) if error]
    if role not in roles.assignable(is_operator=tenant is None):
        errors.append(FieldError("role", "Choose one of the roles."))
    if errors:
        raise Invalid(errors)
    tenant_id = tenant.id if tenant else None
    known = users.find(session, email)
    if known is not None and known.tenant_id == tenant_id:
        raise Conflict(f"{known.email} is here already.")
    for earlier in open_invitations(session, tenant_id, now=now):
        if earlier.email.lower() == email.lower():
            earlier.used_at = now
    token = _add(session, OneTimeLink(purpose="invitation", email=email, tenant_id=tenant_id, role=role), INVITATION_AGE, now)
    audit.record(session, tenant_id, actor, action="invitation.create", subject=email, after={"role": role})
    return token


def open_invitations(session: Session, tenant_id: int | None, *, now: datetime) -> Sequence[OneTimeLink]:
    """Return invitations to a tenant (or of operators) that can still be accepted, oldest first."""
    query = select(OneTimeLink).where(
        OneTimeLink.purpose == "invitation",
        OneTimeLink.tenant_id.is_not_distinct_from(tenant_id),
        OneTimeLink.used_at.is_(None),
        OneTimeLink.expires_at > now,
    )
    return session.scalars(query.order_by(OneTimeLink.created_at, OneTimeLink.email)).all()


def find(session: Session, purpose: str, token: str, *, now: datetime) -> OneTimeLink:
    """Return a link that still works, unused. Raises `LinkSpent`."""
    query = select(OneTimeLink).where(
        OneTimeLink.digest == _digest(token),
        OneTimeLink.purpose == purpose,
        OneTimeLink.used_at.is_(None),
        OneTimeLink.expires_at > now,
    )
    link = session.scalar(query)
    if link is None:
        raise LinkSpent
    return link


def accept(session: Session, token: str, *, password: str, place: Place, now: datetime) -> User:
    """Make the invited person a user. Raises `LinkSpent`, `Invalid` for the password, `Conflict` for an e-mail in use."""
    link = _use(session, "invitation", token, now)
    tenant = session.get(Tenant, link.tenant_id) if link.tenant_id else None
    if tenant is not None and tenant.status != "active":
        raise LinkSpent
    actor = Actor("user", link.email, None, place.address, place.request_id)
    role = link.role or ""
    return users.create(
        session, tenant=tenant, email=link.email, role=role, password=password, actor=actor, action="invitation.accept"
    )


def withdraw(session: Session, tenant_id: int | None, link_id: str, *, actor: Actor, now: datetime) -> None:
    """End an invitation of this tenant, or of operators; `link_id` is the digest in hex. Raises `NotFound`."""
    for link in open_invitations(session, tenant_id, now=now):
        if link.digest.hex() == link_id:
            link.used_at = now
            session.flush()
            audit.record(session, tenant_id, actor, action="invitation.withdraw", subject=link.email, before={"role": link.role})
            return
    raise NotFound("There is no such invitation; it may have been accepted.")


def request_reset(session: Session, email: str, *, place: Place, now: datetime) -> Reset | None:
    """Make a link for somebody who forgot the password; None, and nothing else, if nobody has this e-mail."""
    user = users.find(session, email)
    if user is None:
        return None
    token = _add(session, OneTimeLink(purpose="reset", email=user.email, user_id=user.id), RESET_AGE, now)
    person_log.write_own(session, user, place, "user.request_reset")
    return Reset(user.email, token)


def reset(session: Session, token: str, *, password: str, place: Place, now: datetime) -> User:
    """Set a new password; it ends all sessions and all other links. Raises `LinkSpent`, `Invalid` for the password."""
    link = _use(session, "reset", token, now)
    user = session.get(User, link.user_id)
    if user is None or user.removed_at is not None:
        raise LinkSpent
    users.set_password(session, user, password, now=now)
    person_log.write_own(session, user, place, "user.reset_password")
    return user


def _add(session: Session, link: OneTimeLink, age: timedelta, now: datetime) -> str:
    token = secrets.token_urlsafe(TOKEN_BYTES)
    link.digest, link.created_at, link.expires_at = _digest(token), now, now + age
    session.add(link)
    session.flush()
    return token


def _use(session: Session, purpose: str, token: str, now: datetime) -> OneTimeLink:
    """Use a link up: of two at once, the second finds it used."""
    query = (
        update(OneTimeLink)
        .where(OneTimeLink.digest == _digest(token), OneTimeLink.purpose == purpose)
        .where(OneTimeLink.used_at.is_(None), OneTimeLink.expires_at > now)
        .values(used_at=now)
    )
    link: OneTimeLink | None = session.scalar(query.returning(OneTimeLink))
    if link is None:
        raise LinkSpent
    return link


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()
