"""A believable tenant, the same for the same seed: people, keys, thousands of participants and a year of ledger."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import psycopg
from sqlalchemy.orm import Session

from gamify.db import act_as
from gamify.errors import FieldError, Invalid
from gamify.models import ApiKey, Tenant
from gamify.services import api_keys, demo_history, rollups, tenants, tiers, users
from gamify.services.audit import SYSTEM
from gamify.services.demo_history import Movers, Size

SLUG, NAME, ZONE = "demo", "Harbour Coffee", "Europe/London"
TIERS = {"bronze": 0, "silver": 500, "gold": 1500, "platinum": 4000}
PARTICIPANTS, ENTRIES, SEED = 5_000, 60_000, 20_260_214
MOST_ENTRIES_EACH = 1_000  # on average; a participant's number and an entry's are hashed as one
SANDBOX = Size(40, 400, SEED + 1_000)
OPENED = timedelta(days=370)  # ago


class Demo(NamedTuple):
    """What somebody needs to try the demo tenant."""

    live_key: str
    test_key: str
    sign_ins: dict[str, str]  # e-mail → password


def exists(session: Session) -> bool:
    """Whether the demo tenant is there already."""
    return any(tenant.slug == SLUG for tenant in tenants.every(session))


def fill(
    session: Session,
    *,
    pepper: str,
    now: datetime,
    participants: int = PARTICIPANTS,
    entries: int = ENTRIES,
    progress: Callable[[int], None] = lambda _: None,
) -> Demo:
    """Create the demo tenant with its history up to `now`, keys and people. Raises `Invalid` for sizes that cannot be.

    `progress` is told how many entries have been written since the last time.
    """
    if not 1 <= participants <= entries <= MOST_ENTRIES_EACH * participants:
        raise Invalid([FieldError("entries", f"Must be from 1 to {MOST_ENTRIES_EACH} times the participants.")])
    tenant = tenants.create(session, slug=SLUG, name=NAME, actor=SYSTEM)
    sandbox = tenants.get(session, SLUG, mode="test")
    for one in (tenant, sandbox):
        one.time_zone, one.created_at = ZONE, now - OPENED
    sign_ins, admin_id = _people(session, tenant, now)
    live_key, movers = _keys(session, tenant, pepper=pepper, now=now)
    test_key, test_movers = _test_key(session, sandbox, pepper=pepper, now=now)
    _history(session, sandbox, SANDBOX, movers=test_movers, now=now, progress=lambda _: None)
    size = Size(participants, entries, SEED)
    _history(session, tenant, size, movers=movers._replace(person=admin_id), now=now, progress=progress)
    return Demo(live_key, test_key, sign_ins)


def _people(session: Session, tenant: Tenant, now: datetime) -> tuple[dict[str, str], int]:
    """Make somebody in each role; return their passwords, and the admin's number."""
    sign_ins = {f"{role}@demo.example": users.new_password() for role in ("admin", "analyst", "operator")}
    numbers = []
    for email, password in sign_ins.items():
        role = email.partition("@")[0]
        of = None if role == "operator" else tenant
        user = users.create(session, tenant=of, email=email, role=role, password=password, actor=SYSTEM)
        user.created_at = now - OPENED
        numbers.append(user.id)
    session.flush()
    return sign_ins, numbers[0]


def _keys(session: Session, tenant: Tenant, *, pepper: str, now: datetime) -> tuple[str, Movers]:
    """Make keys as they come together over a year; return the one that may do everything, and who moves points."""

    def issue(name: str, *scopes: str, age: int = 370, left: int | None = None) -> tuple[ApiKey, str]:
        until = now + timedelta(days=left) if left else None
        key, secret = api_keys.issue(
            session, tenant, name=name, pepper=pepper, scopes=scopes, expires_at=until, actor=SYSTEM, now=now
        )
        key.created_at = now - timedelta(days=age)
        return key, secret

    till, secret = issue("Point of sale")
    shop, _ = issue("Web shop", "points:read", "points:write", "participants:read")
    app, _ = issue("Mobile app", "points:read", "points:write", "participants:read", "tiers:read", age=300)
    issue("Monthly report", "participants:read", "reports:read", age=85, left=5)
    old, _ = issue("Till of the old shop", "points:write")
    api_keys.revoke(session, old.prefix, actor=SYSTEM)
    for key in (till, shop, app):
        key.last_used_at = now.replace(second=0, microsecond=0)
    session.flush()
    return secret, Movers(till.id, shop.id, app.id, None)


def _test_key(session: Session, sandbox: Tenant, *, pepper: str, now: datetime) -> tuple[str, Movers]:
    key, secret = api_keys.issue(session, sandbox, name="First steps", pepper=pepper, actor=SYSTEM, now=now)
    key.created_at = now - OPENED
    session.flush()
    return secret, Movers(key.id, key.id, key.id, None)


def _history(
    session: Session, tenant: Tenant, size: Size, *, movers: Movers, now: datetime, progress: Callable[[int], None]
) -> None:
    act_as(session, tenant.id)
    ladder = tiers.replace(session, tenant.id, TIERS, actor=SYSTEM)
    session.flush()
    connection: psycopg.Connection[Any] = session.connection().connection.driver_connection  # type: ignore[assignment]  # psycopg's
    demo_history.fill(
        connection,
        size,
        tenant_id=tenant.id,
        ladder=(ladder.version, ladder.thresholds),
        movers=movers,
        now=now,
        zone=ZoneInfo(ZONE),
        progress=progress,
    )
    rollups.derive(session, tenant.id, until=now)  # all in the past, and nobody else knows the tenant yet
