"""The audit log of people: a tenant's own for its staff, the platform's for operators."""

from dataclasses import dataclass

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


def write_own(session: Session, user: User, place: Place, action: str) -> None:
    """Write down what somebody did for themselves."""
    audit.record(session, user.tenant_id, acting(user, place), action=action, subject=user.email)


def acting(user: User, place: Place) -> Actor:
    """Somebody who acts, from where they are."""
    return Actor("user", user.email, user.id, place.address, place.request_id)
