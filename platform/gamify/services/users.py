"""Users: people who may sign in."""

import re
import secrets
from typing import Any

from argon2 import PasswordHasher
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from gamify.errors import Conflict, FieldError, Invalid
from gamify.models import Tenant, User
from gamify.services import audit
from gamify.services.audit import Actor

EMAIL = re.compile(r"[^@\s\x00-\x1f\x7f]{1,64}@[^@\s\x00-\x1f\x7f]{1,189}")
SHORTEST_PASSWORD, LONGEST_PASSWORD = 12, 1024

# OWASP's password storage cheat sheet, argon2id: 19 MiB, two passes, one lane.
HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


def new_password() -> str:
    """Make a password nobody has to invent."""
    return secrets.token_urlsafe(15)


def create(session: Session, *, tenant: Tenant | None, email: str, role: str, password: str, actor: Actor) -> User:
    """Create someone who can sign in: staff of `tenant`, or an operator without one.

    Raises `Invalid` for an unusable e-mail or password, `Conflict` for an e-mail in use.
    """
    errors = []
    if not EMAIL.fullmatch(email):
        errors.append(FieldError("email", "Must be an e-mail address."))
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        errors.append(FieldError("password", f"Must have {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters."))
    if errors:
        raise Invalid(errors)
    session.execute(select(func.pg_advisory_xact_lock(func.hashtext("user " + email.lower()))))
    if session.scalar(select(User.id).where(func.lower(User.email) == func.lower(email), User.removed_at.is_(None))):
        raise Conflict(f"There is a user {email} already.")
    user = User(tenant_id=tenant and tenant.id, email=email, role=role, password_hash=HASHER.hash(password))
    session.add(user)
    session.flush()
    said: dict[str, Any] = {"action": "user.create", "subject": email, "after": {"role": role}}
    if tenant is None:
        audit.record_platform(session, actor, **said)
    else:
        audit.record(session, tenant.id, actor, **said)
    return user
