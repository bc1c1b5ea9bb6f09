"""The audit log of people: a tenant's own for its staff, the platform's for operators."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from gamify.models import User
from gamify.services import audit
from gamify.services.audit import Actor


@dataclass(frozen=True, slots=True)
class Place:
    """Where a request comes from, and its name in the logs."""

    address: str | None = None
    user_agent: str | None = None
    request_id: str | None = None


def write(
    session: Session,
    tenant_id: int | None,
    actor: Actor,
    *,
    action: str,
    subject: str,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> None:
    """Write down what happened to somebody of `tenant_id`, or (without one) to an operator."""
    said: dict[str, Any] = {"action": action, "subject": subject, "before": before, "after": after}
    if tenant_id is None:
        audit.record_platform(session, actor, **said)
    else:
        audit.record(session, tenant_id, actor, **said)


def write_own(session: Session, user: User, place: Place, action: str) -> None:
    """Write down what somebody did for themselves."""
    write(session, user.tenant_id, acting(user, place), action=action, subject=user.email)


def acting(user: User, place: Place) -> Actor:
    """Somebody who acts, from where they are."""
    return Actor("user", user.email, user.id, place.address, place.request_id)
