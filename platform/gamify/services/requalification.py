"""When participants are qualified anew, where points count for a time only: everybody, by a recalculation."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy.orm import Session

from gamify import queue
from gamify.models import Ladder, Recalculation
from gamify.models.tier import BASES
from gamify.services import ladder, recalculations, tiers

LIFETIME, WINDOW, YEAR = BASES


def begin_due(session: Session, tenant_id: int, *, now: datetime) -> Recalculation | None:
    """Begin it, if it is time to and nobody is being looked at; return it then.

    With a window that is once a day of the ladder's time zone, with years at their beginning and at the end of grace.
    """
    if recalculations.going_on(session, tenant_id):
        queue.defer(session, "recalculate", tenant_id=tenant_id)  # it may be nobody's: a job is not tried for ever
        return None
    newest = ladder.newest(session, tenant_id)
    if newest is None or newest.basis == LIFETIME or _last(session, newest) >= due_since(newest, now=now):
        return None
    tiers.one_change_at_a_time(session, tenant_id)
    made = recalculations.begin(session, tenant_id, cause="requalified")
    queue.defer(session, "recalculate", tenant_id=tenant_id)
    return made


def _last(session: Session, of: Ladder) -> datetime:
    """When everybody was last looked at by this ladder."""
    latest = recalculations.latest(session, of.tenant_id, most=1)
    return latest[0].started_at if latest and latest[0].ladder_version == of.version else of.created_at


def due_since(of: Ladder, *, now: datetime) -> datetime:
    """Return the last instant, at or before `now`, at which points have run out."""
    zone = ZoneInfo(of.time_zone)
    local = now.astimezone(zone)
    if of.basis == WINDOW:
        return local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    year = datetime(local.year, 1, 1)  # noqa: DTZ001  # a wall clock's
    begins, grace_ends = (at.replace(tzinfo=zone) for at in (year, year + timedelta(days=of.grace_days or 0)))
    return grace_ends if grace_ends <= now else begins
