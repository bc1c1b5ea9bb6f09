"""The periods that a report is about: days, weeks or months of a time zone, one after the other."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import NamedTuple

from gamify.errors import FieldError, Invalid

A_DAY = timedelta(days=1)
FIRST, LAST = date(1900, 1, 1), date(2999, 12, 31)  # no ledger begins before or goes on after; dates near their ends overflow
MOST = 400  # periods of a report: a year of days, and some
READABLE = (("day", 31), ("week", 182))  # up to so many days they make so many periods that one can still read them
AGAINST = ("previous", "year")  # what a span can be compared with


def _day(day: date) -> date:
    return day


def _week(day: date) -> date:
    return day - timedelta(days=day.weekday())


def _month(day: date) -> date:
    return day.replace(day=1)


# The first day of the period that a day is in. Weeks begin on Monday.
BEGINS: dict[str, Callable[[date], date]] = {"day": _day, "week": _week, "month": _month}
UNITS = tuple(BEGINS)


class Period(NamedTuple):
    """Days from `first` to `last`, which may be the same."""

    first: date
    last: date


@dataclass(frozen=True, slots=True)
class Span:
    """Days from `first` to `last` of a zone, cut into periods of a unit; those at the ends may be shorter than it."""

    first: date
    last: date
    unit: str
    zone: tzinfo

    def __post_init__(self) -> None:
        """Raise `Invalid` for what cannot be shown."""
        if self.unit not in BEGINS:
            raise Invalid([FieldError("unit", f"Must be one of {', '.join(UNITS)}.")])
        if not FIRST <= self.first <= LAST:
            raise Invalid([FieldError("from", f"Must be a day from {FIRST} to {LAST}.")])
        if not FIRST <= self.last <= LAST:
            raise Invalid([FieldError("to", f"Must be a day from {FIRST} to {LAST}.")])
        if self.last < self.first:
            raise Invalid([FieldError("to", "Must not be before the beginning.")])
        if (self.last - self.first).days >= MOST * {"day": 1, "week": 7, "month": 28}[self.unit]:
            raise Invalid(
                [FieldError("unit", f"That would be more than {MOST} {self.unit}s: choose a longer unit or fewer days.")]
            )

    @property
    def periods(self) -> Sequence[Period]:
        """Its periods, in order."""
        found, first = [], self.first
        while first <= self.last:
            last = min(self._next(first) - A_DAY, self.last)
            found.append(Period(first, last))
            first = last + A_DAY
        return found

    @property
    def edges(self) -> Sequence[datetime]:
        """The first instant of each period, and the one after the last."""
        return [self.begin_of(period.first) for period in self.periods] + [self.until]

    @property
    def since(self) -> datetime:
        """Its first instant."""
        return self.begin_of(self.first)

    @property
    def until(self) -> datetime:
        """The instant after its last."""
        return self.begin_of(self.last + A_DAY)

    def before(self, against: str = "previous") -> "Span":
        """The span to compare with: as many days right before it, or the same days a year earlier."""
        if against == "year":
            return Span(_year_before(self.first), _year_before(self.last), self.unit, self.zone)
        days = (self.last - self.first).days + 1
        return Span(self.first - days * A_DAY, self.first - A_DAY, self.unit, self.zone)

    def begin_of(self, day: date) -> datetime:
        """When a day begins; where clocks skip midnight, that is when they do."""
        return datetime.combine(day, time.min, self.zone).astimezone(UTC)

    def _next(self, day: date) -> date:
        """The first day of the period after the one that a day is in."""
        begin = BEGINS[self.unit](day)
        if self.unit == "month":
            return (begin + 31 * A_DAY).replace(day=1)
        return begin + (7 if self.unit == "week" else 1) * A_DAY


def unit_for(first: date, last: date) -> str:
    """Return the unit that makes a readable number of periods of these days."""
    days = (last - first).days + 1
    return next((unit for unit, most in READABLE if days <= most), "month")


def _year_before(day: date) -> date:
    try:
        return day.replace(year=day.year - 1)
    except ValueError:  # the 29th of February
        return day.replace(year=day.year - 1, day=28)
