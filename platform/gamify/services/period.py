"""Periods, as people write them: days, instants of RFC 3339, or by a name such as `last_7_days`."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, tzinfo

from gamify.errors import FieldError, Invalid

A_DAY = timedelta(days=1)
BAD_TIME = "Must be a day such as 2026-02-14 or a time such as 2026-02-14T10:00:00Z."


def _month_before(today: date) -> tuple[date, date]:
    last = today.replace(day=1) - A_DAY
    return last.replace(day=1), last


# The first day and the last, each by today; None is open.
PRESETS: dict[str, Callable[[date], tuple[date | None, date | None]]] = {
    "today": lambda today: (today, today),
    "yesterday": lambda today: (today - A_DAY, today - A_DAY),
    "last_7_days": lambda today: (today - 6 * A_DAY, today),
    "last_30_days": lambda today: (today - 29 * A_DAY, today),
    "last_90_days": lambda today: (today - 89 * A_DAY, today),
    "this_month": lambda today: (today.replace(day=1), today),
    "last_month": _month_before,
    "this_year": lambda today: (today.replace(month=1, day=1), today),
    "all": lambda _: (None, None),
}


def period(since: str | None, until: str | None, zone: tzinfo = UTC) -> tuple[datetime | None, datetime | None]:
    """Return the first instant of a period and the one after its last; a day that ends it belongs to it. Days are `zone`'s.

    Raises `Invalid` naming `from`, `to` or both.
    """
    found: list[datetime | None] = []
    errors: list[FieldError] = []
    for field, text in (("from", since), ("to", until)):
        try:
            found.append(_instant(text.strip(), zone, is_end=field == "to") if text and text.strip() else None)
        except (ValueError, OverflowError):
            errors.append(FieldError(field, BAD_TIME))
    if errors:
        raise Invalid(errors)
    return found[0], found[1]


def preset(name: str, *, zone: tzinfo, now: datetime) -> tuple[date | None, date | None]:
    """Return the first and the last day of a named period. Raises `Invalid` naming `period`."""
    if name not in PRESETS:
        raise Invalid([FieldError("period", f"Must be one of {', '.join(PRESETS)}.")])
    return PRESETS[name](now.astimezone(zone).date())


def days(first: date | None, last: date | None, zone: tzinfo) -> tuple[datetime | None, datetime | None]:
    """Return the first instant of the first day and the one after the last day's, in UTC."""
    return _midnight(first, zone) if first else None, _midnight(last + A_DAY, zone) if last else None


def _instant(text: str, zone: tzinfo, *, is_end: bool) -> datetime:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=zone)).astimezone(UTC)
    return _midnight(day + A_DAY if is_end else day, zone)


def _midnight(day: date, zone: tzinfo) -> datetime:
    """When a day begins; where clocks skip midnight, that is when they do."""
    return datetime.combine(day, time.min, zone).astimezone(UTC)
