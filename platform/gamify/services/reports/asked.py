"""Which days a report is asked for: by the name of a period, by its days, or not at all."""

from datetime import date, datetime, tzinfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from gamify.models import LedgerEntry
from gamify.services import period
from gamify.services.reports.span import A_DAY, Span, unit_for

DAYS = 30  # unless it is said how many


def span(
    session: Session,
    tenant_id: int,
    *,
    name: str | None = None,
    first: date | None = None,
    last: date | None = None,
    unit: str | None = None,
    zone: tzinfo,
    now: datetime,
) -> Span:
    """Return the days of a named period or those from `first` to `last`; without either, the last 30 days of the zone.

    A first day alone lasts until today, a last day alone ends 30 days. Without a unit it is cut into a readable number of
    periods. Raises `Invalid` naming `period`, `unit` or `to`.
    """
    today = now.astimezone(zone).date()
    if name:
        first, last = period.preset(name, zone=zone, now=now)
        first, last = first or min(_beginning(session, tenant_id, zone) or today, today), last or today
    last = last or max(first or today, today)
    first = first or last - (DAYS - 1) * A_DAY
    return Span(first, last, unit or unit_for(first, last), zone)


def as_far_before(day: date, span: Span, against: str) -> date:
    """Return the day that is to another span what a day is to this one: as many days earlier, or the same a year before."""
    if against == "year":
        return Span(day, day, "day", span.zone).before("year").last
    return day - (span.last - span.before(against).last)


def _beginning(session: Session, tenant_id: int, zone: tzinfo) -> date | None:
    """The day of the first entry."""
    oldest = select(LedgerEntry.created_at).where(LedgerEntry.tenant_id == tenant_id).order_by(LedgerEntry.id).limit(1)
    found: datetime | None = session.scalar(oldest)
    return found.astimezone(zone).date() if found else None
