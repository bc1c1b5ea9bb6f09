"""Who moves points: a tenant's keys and people, as the ledger names them."""

from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from gamify.errors import FieldError, Invalid
from gamify.models import ApiKey, Tenant, User

MOST_LISTED = 200
NO_KEY = "-"  # no key begins so
UNKNOWN = f"Must be the prefix of one of your API keys, somebody's e-mail, or {NO_KEY} for no key."


class LedgerActor(NamedTuple):
    """A key by its prefix and name, or somebody by their e-mail."""

    name: str
    label: str


def listed(session: Session, tenant_id: int) -> list[LedgerActor]:
    """Return keys, the newest first, and then people."""
    keys = select(ApiKey.prefix, ApiKey.name).where(ApiKey.tenant_id == tenant_id).order_by(ApiKey.id.desc()).limit(MOST_LISTED)
    people = select(User.email, User.role).where(User.tenant_id == _home(tenant_id)).order_by(User.email).limit(MOST_LISTED)
    return [LedgerActor(*row) for query in (keys, people) for row in session.execute(query)]


def find(session: Session, tenant_id: int, text: str) -> tuple[int | None, int | None]:
    """Return the number of the key that begins so (0: no key), or that of the person. Raises `Invalid` naming `key`."""
    if text == NO_KEY:
        return 0, None
    if "@" in text:
        # Somebody who was removed and invited again has two numbers; the later is who they are now.
        people = select(User.id).where(User.tenant_id == _home(tenant_id), func.lower(User.email) == text.lower())
        user_id = session.scalar(people.order_by(User.id.desc()).limit(1))
        found: tuple[int | None, int | None] = (None, user_id)
    else:
        keys = select(ApiKey.id).where(ApiKey.tenant_id == tenant_id, ApiKey.prefix.startswith(text, autoescape=True))
        ids = session.scalars(keys.limit(2)).all()
        found = (ids[0] if len(ids) == 1 else None, None)
    if found == (None, None):
        raise Invalid([FieldError("key", UNKNOWN)])
    return found


def _home(tenant_id: int) -> object:
    """People belong to the live tenant, and move points in its sandbox, too."""
    return select(func.coalesce(Tenant.sandbox_of, Tenant.id)).where(Tenant.id == tenant_id).scalar_subquery()
