"""How much tenants hold and how busy they are, for operators: counts, and nothing of what is counted."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from gamify.db import Database
from gamify.models import RequestMonth, Tenant
from gamify.services import figures, tenants
from gamify.services.measures import BEGINNING
from gamify.services.quarters import END


@dataclass(frozen=True, slots=True)
class Month:
    """What a tenant did in a month (UTC)."""

    begins: date
    request_count: int
    movement_count: int


@dataclass(frozen=True, slots=True)
class Size:
    """A tenant, or its sandbox, as it is now; `months` begin with the one of now."""

    tenant: Tenant
    participant_count: int
    entry_count: int
    months: Sequence[Month]


def of(database: Database, tenant: Tenant, *, months: int, now: datetime) -> Size:
    """Return a tenant's size and its last `months` months, in a transaction of its own."""
    begins = last_months(months, now=now)
    edges = [datetime(day.year, day.month, day.day, tzinfo=UTC) for day in reversed(begins)]
    with database.transaction(tenant.id) as session:
        parts = figures.between(session, tenant.id, [BEGINNING, *edges, END])  # all there was before, then month by month
        query = select(RequestMonth.month, RequestMonth.request_count).where(RequestMonth.tenant_id == tenant.id)
        asked = {month: count for month, count in session.execute(query)}  # noqa: C416  # rows are no pairs to mypy
    moved = [part.entry_count for part in reversed(parts[1:])]
    return Size(
        tenant=tenant,
        participant_count=sum(part.joined_count for part in parts),
        entry_count=sum(part.entry_count for part in parts),
        months=[Month(each, asked.get(each, 0), count) for each, count in zip(begins, moved, strict=True)],
    )


def of_both(database: Database, live: Sequence[Tenant], *, months: int, now: datetime) -> Iterator[tuple[Size, Size]]:
    """Yield the sizes of tenants and their sandboxes, one tenant after the other."""
    for tenant in live:
        with database.transaction() as session:
            sandbox = _sandbox(session, tenant)
        yield of(database, tenant, months=months, now=now), of(database, sandbox, months=months, now=now)


def last_months(count: int, *, now: datetime) -> list[date]:
    """Return the first days of the last months (UTC), that of `now` first."""
    found = [now.date().replace(day=1)]
    while len(found) < count:
        found.append((found[-1] - timedelta(days=1)).replace(day=1))
    return found


def header(months: int, *, now: datetime) -> list[str]:
    """Name the columns of `cells`."""
    of_months = [f"{what} {month:%Y-%m}" for month in last_months(months, now=now) for what in ("requests", "movements")]
    return ["tenant", "name", "mode", "status", "requests_a_minute", "created_at", "participants", "entries", *of_months]


def cells(size: Size) -> list[Any]:
    """Return a size as cells of a table."""
    tenant = size.tenant
    mode = "live" if tenant.mode == "live" else "sandbox"
    of_months = [count for month in size.months for count in (month.request_count, month.movement_count)]
    described = [tenant.slug, tenant.name, mode, tenant.status, tenant.rate_limit, f"{tenant.created_at:%Y-%m-%d}"]
    return [*described, size.participant_count, size.entry_count, *of_months]


def _sandbox(session: Session, live: Tenant) -> Tenant:
    return session.get_one(Tenant, tenants.sandbox_id(session, live.id))
