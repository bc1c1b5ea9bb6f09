"""When a schedule is due: days and hours of the tenant's zone, whatever its clocks do."""

from calendar import monthrange
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from gamify.models.export import DAILY, WEEKLY

A_DAY = timedelta(days=1)


class Rhythm(NamedTuple):
    """Every day, every week on a `weekday` (0: Monday), or every month on a `day` (of a shorter month: its last), at an hour."""

    kind: str
    hour: int
    weekday: int | None = None
    day: int | None = None

    def is_on(self, day: date) -> bool:
        """Whether a day is one of its days."""
        if self.kind == DAILY:
            return True
        if self.kind == WEEKLY:
            return day.weekday() == self.weekday
        return day.day == min(self.day or 1, monthrange(day.year, day.month)[1])


def after(instant: datetime, rhythm: Rhythm, zone: ZoneInfo) -> datetime:
    """Return the first time of a rhythm after an instant, in UTC.

    An hour that clocks skip is when they have skipped it; one that they show twice is the first.
    """
    day = instant.astimezone(zone).date()
    while True:
        found = datetime.combine(day, time(rhythm.hour), zone).astimezone(UTC)
        if found > instant and rhythm.is_on(day):
            return found
        day += A_DAY


def last_until(instant: datetime, first: datetime, rhythm: Rhythm, zone: ZoneInfo) -> datetime:
    """Return the last time of a rhythm that is not after an instant; `first` is one of them."""
    found = first
    while (following := after(found, rhythm, zone)) <= instant:
        found = following
    return found
