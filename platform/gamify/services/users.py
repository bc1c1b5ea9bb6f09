"""Users: people who may sign in."""

import re
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from gamify.errors import Conflict, FieldError, Invalid, NotFound
from gamify.models import OneTimeLink, Tenant, User
from gamify.services import audit, passwords, roles, sessions
from gamify.services.audit import Actor
from gamify.services.passwords import make as new_password

__all__ = ["authenticate", "change_password", "change_role", "create", "find", "get", "new_password", "of_tenant", "remove"]

EMAIL = re.compile(r"[^@\s\x00-\x1f\x7f]{1,64}@[^@\s\x00-\x1f\x7f]{1,189}")


def create(
    session: Session, *, tenant: Tenant | None, email: str, role: str, password: str, actor: Actor, action: str = "user.create"
) -> User:
    """Create someone who can sign in: staff of `tenant`, or an operator without one.

    Raises `Invalid` for an unusable e-mail or password, `Conflict` for an e-mail in use.
    """
    errors = [error for error in (email_problem(email), passwords.problem(password)) if error]
    if errors:
        raise Invalid(errors)
    session.execute(select(func.pg_advisory_xact_lock(func.hashtext("user " + email.lower()))))
    if find(session, email):
        raise Conflict(f"There is a user {email} already.")
    user = User(tenant_id=tenant and tenant.id, email=email, role=role, password_hash=passwords.digest(password))
    session.add(user)
    session.flush()
    audit.record(session, user.tenant_id, actor, action=action, subject=email, after={"role": role})
    return user


def email_problem(email: str) -> FieldError | None:
    """What is wrong with an e-mail address."""
    return None if EMAIL.fullmatch(email) else FieldError("email", "Must be an e-mail address.")


def find(session: Session, email: str) -> User | None:
    """Return who has this e-mail address, however it is written."""
    if not EMAIL.fullmatch(email):
        return None
    return session.scalar(select(User).where(func.lower(User.email) == func.lower(email), User.removed_at.is_(None)))


def get(session: Session, tenant_id: int | None, user_id: int) -> User:
    """Return somebody of this tenant, or (without one) an operator. Raises `NotFound` for all others."""
    query = select(User).where(User.id == user_id, User.tenant_id.is_not_distinct_from(tenant_id), User.removed_at.is_(None))
    user = session.scalar(query)
    if user is None:
        raise NotFound("There is no such person here.")
    return user


def of_tenant(session: Session, tenant_id: int | None) -> Sequence[User]:
    """Return a tenant's people, or (without one) the operators, by e-mail."""
    query = select(User).where(User.tenant_id.is_not_distinct_from(tenant_id), User.removed_at.is_(None))
    return session.scalars(query.order_by(func.lower(User.email))).all()


def authenticate(session: Session, *, email: str, password: str) -> User | None:
    """Return whose e-mail and password these are. It takes as long for an e-mail that nobody has."""
    user = find(session, email)
    if not passwords.matches(user.password_hash if user else None, password) or user is None:
        return None
    if passwords.is_outdated(user.password_hash):
        user.password_hash = passwords.digest(password)
        session.flush()
    return user


def change_password(
    session: Session, user: User, password: str, *, actor: Actor, now: datetime, keep: UUID | None = None
) -> None:
    """Set a new password; it ends all sessions but `keep`, and every reset link. Raises `Invalid`."""
    set_password(session, user, password, now=now, keep=keep)
    audit.record(session, user.tenant_id, actor, action="user.change_password", subject=user.email)


def set_password(session: Session, user: User, password: str, *, now: datetime, keep: UUID | None = None) -> None:
    """Set a new password, without a word in the log. Raises `Invalid`."""
    if error := passwords.problem(password):
        raise Invalid([error])
    user.password_hash = passwords.digest(password)
    session.flush()
    _cut_off(session, user, now=now, keep=keep)


def change_role(session: Session, user: User, role: str, *, actor: Actor, now: datetime, keep: UUID | None = None) -> None:
    """Give somebody another role; it ends their sessions but `keep`. Raises `Conflict` for the last admin, `Invalid`."""
    if role not in roles.assignable(is_operator=user.tenant_id is None):
        raise Invalid([FieldError("role", "There is no such role here.")])
    if role == user.role:
        return
    _check_not_last(session, user)
    before, user.role = user.role, role
    session.flush()
    sessions.end_all(session, user.id, now=now, but=keep)
    said = {"before": {"role": before}, "after": {"role": role}}
    audit.record(session, user.tenant_id, actor, action="user.change_role", subject=user.email, **said)


def remove(session: Session, user: User, *, actor: Actor, now: datetime) -> None:
    """Somebody may not sign in any more, from this moment. Raises `Conflict` for the last admin or operator."""
    _check_not_last(session, user)
    user.removed_at = now
    session.flush()
    _cut_off(session, user, now=now)
    audit.record(session, user.tenant_id, actor, action="user.remove", subject=user.email, before={"role": user.role})


def _check_not_last(session: Session, user: User) -> None:
    """Somebody must be left who can let others in. One such change at a time, or two could each leave the other."""
    if user.role not in ("admin", "operator"):
        return
    session.execute(select(func.pg_advisory_xact_lock(func.hashtext(f"people of {user.tenant_id}"))))
    others = select(func.count()).where(
        User.tenant_id.is_not_distinct_from(user.tenant_id),
        User.role == user.role,
        User.removed_at.is_(None),
        User.id != user.id,
    )
    if not session.scalar(others):
        raise Conflict(f"{user.email} is the last {user.role}; make somebody else one first.")


def _cut_off(session: Session, user: User, *, now: datetime, keep: UUID | None = None) -> None:
    sessions.end_all(session, user.id, now=now, but=keep)
    links = update(OneTimeLink).where(OneTimeLink.user_id == user.id, OneTimeLink.used_at.is_(None))
    session.execute(links.values(used_at=now))
