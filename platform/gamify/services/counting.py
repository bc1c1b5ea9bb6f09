"""Which points count towards tiers: all ever earned, or those of some days or of a year."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import text
from sqlalchemy.orm import Session

from gamify.models import Ladder, Participant

QUALIFYING = text("""
    SELECT qualifying_points(:tenant_id, ladder, :participant_id, :total_earned, :at),
           :total_earned - earned_before(:tenant_id, :participant_id, :since)
    FROM ladders AS ladder WHERE tenant_id = :tenant_id AND version = :version
""")


class Counting(NamedTuple):
    """Points that count towards tiers: those earned in since ≤ t < until, None being open."""

    basis: str
    points: int
    since: datetime | None = None
    until: datetime | None = None
    lasts_until: datetime | None = None  # when they cease to count, together; None: never, or each at a time of its own
    behind: int = 0  # of points to come, how many add nothing: those of a new year, until they are more than the last year's

    def after(self, earning: int) -> "Counting":
        """Return what counts when so many points more are earned."""
        return self._replace(points=self.points + max(earning - self.behind, 0), behind=max(self.behind - earning, 0))


def of(session: Session, ladder: Ladder | None, participant: Participant, *, now: datetime) -> Counting:
    """Return which of a participant's points count by a ladder at an instant."""
    if ladder is None or ladder.basis == "lifetime":
        return Counting("lifetime", participant.total_earned)
    if ladder.basis == "window":
        since = now - timedelta(days=ladder.window_days or 0)
        points, recent = _points(session, ladder, participant, since=since, now=now)
        return Counting("window", points, since, behind=points - recent)
    return _of_year(session, ladder, participant, now=now)


def _of_year(session: Session, ladder: Ladder, participant: Participant, *, now: datetime) -> Counting:
    zone, grace = ZoneInfo(ladder.time_zone), timedelta(days=ladder.grace_days or 0)
    year = now.astimezone(zone).year
    last, this, following = (datetime(year + n, 1, 1, tzinfo=zone) for n in (-1, 0, 1))
    points, recent = _points(session, ladder, participant, since=this, now=now)
    is_of_last = now < this + grace and points > max(recent, 0)
    since, until = (last, this) if is_of_last else (this, following)
    # Sums of zoned times go by the wall clock, as days of grace do.
    since, until, lasts_until = (at.astimezone(UTC) for at in (since, until, until + grace))
    return Counting("year", points, since, until, lasts_until, behind=points - recent)


def _points(session: Session, ladder: Ladder, participant: Participant, *, since: datetime, now: datetime) -> tuple[int, int]:
    """The points that count, and those of an open time; these can be fewer than none, by reversals of what was before."""
    whose = {"tenant_id": ladder.tenant_id, "version": ladder.version, "participant_id": participant.id}
    values = {"total_earned": participant.total_earned, "since": since, "at": now}
    points, recent = session.execute(QUALIFYING, {**whose, **values}).one()
    return points, recent
