"""The ledger as a file: exactly what is filtered, of one moment, without holding more than a few rows."""

from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from gamify.models import LedgerEntry
from gamify.services import ledger_rows
from gamify.services.entries import MICROSECOND, Filter, conditions
from gamify.services.ledger_steps import Effort, steps

AT_ONCE = 500  # rows a fetch
COLUMNS = (
    "transaction_id",
    "created_at_utc",
    "created_at_local",
    "participant_id",
    "type",
    "points",
    "balance_after",
    "total_earned_after",
    "total_spent_after",
    "tier_before",
    "tier_after",
    "reason",
    "metadata",
    "api_key",
    "api_key_name",
    "person",
    "request_id",
    "idempotency_key",
    "reverses",
    "reversed_by",
    "number",
)


def every(session: Session, tenant_id: int, wanted: Filter) -> Iterator[Any]:
    """Yield every entry of the filter, newest first. The session's transaction should be one snapshot."""
    return (entry for entry in with_breaths(session, tenant_id, wanted) if entry is not None)


def with_breaths(session: Session, tenant_id: int, wanted: Filter) -> Iterator[Any | None]:
    """Yield the same, and None before each step: where few entries match, whoever waits can look up in between."""
    order = LedgerEntry.id if wanted.participant_id is None else LedgerEntry.seq
    for step in steps(session, tenant_id, wanted, before=None, step=Effort().step):
        yield None
        chosen = select(LedgerEntry).where(*step.conditions, *conditions(wanted)).order_by(order.desc())
        query = ledger_rows.decorated(tenant_id, chosen).execution_options(yield_per=AT_ONCE)
        with session.execute(query) as rows:
            yield from rows


def cells(entry: Any, zone: tzinfo) -> list[Any]:
    """Return what `COLUMNS` name of an entry; local times are `zone`'s."""
    return [
        str(entry.id),
        entry.created_at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z",
        entry.created_at.astimezone(zone).isoformat(timespec="microseconds"),
        entry.external_id,
        entry.type,
        entry.points,
        entry.balance_after,
        entry.total_earned_after,
        entry.total_spent_after,
        entry.before and entry.before.code,
        entry.after and entry.after.code,
        entry.reason,
        entry.metadata,
        entry.key_prefix,
        entry.key_name,
        entry.email,
        entry.request_id,
        entry.idempotency_key,
        entry.reverses and str(entry.reverses),
        entry.reversed_by and str(entry.reversed_by),
        entry.seq,
    ]


def file_name(slug: str, mode: str, since: datetime | None, until: datetime | None, *, zone: tzinfo, now: datetime) -> str:
    """Name a file by tenant, mode and the days that it is about."""
    last = (min(until - MICROSECOND, now) if until else now).astimezone(zone)
    first = f"{since.astimezone(zone):%Y-%m-%d}" if since else "beginning"
    return f"ledger-{slug}-{mode}-{first}-to-{last:%Y-%m-%d}.csv"
