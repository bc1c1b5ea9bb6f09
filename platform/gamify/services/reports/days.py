"""Which days a report is asked for: by the name of a period, by its days, or not at all."""

from datetime import date, datetime, tzinfo

from gamify.services import period
from gamify.services.reports.span import A_DAY, Span, unit_for

DAYS = 30  # unless it is said how many


def span(
    *,
    beginning: datetime | None,
    name: str | None = None,
    first: date | None = None,
    last: date | None = None,
    unit: str | None = None,
    zone: tzinfo,
    now: datetime,
) -> Span:
    """Return the days of a named period or those from `first` to `last`; without either, the last 30 days of the zone.

    A first day alone lasts until today, a last day alone ends 30 days; what has no first day by its name begins with the
    ledger, at `beginning` if it has begun. Without a unit it is cut into a readable number of periods. Raises `Invalid`
    naming `period`, `unit`, `from` or `to`.
    """
    today = now.astimezone(zone).date()
    if name:
        first, last = period.preset(name, zone=zone, now=now)
        first, last = first or min((beginning or now).astimezone(zone).date(), today), last or today
    last = last or max(first or today, today)
    first = first or last - (DAYS - 1) * A_DAY
    return Span(first, last, unit or unit_for(first, last), zone)


def as_far_before(day: date, span: Span, against: str) -> date:
    """Return the day that is to another span what a day is to this one: as many days earlier, or the same a year before."""
    if against == "year":
        return Span(day, day, "day", span.zone).before("year").last
    return day - (span.last - span.before(against).last)
