"""Recalculations: everybody is brought to where the ladder in force has them, a range of participants at a time.

A range is one transaction, with how far it has come, so that it can be stopped anywhere and goes on from there. Awards
wait for the rows of one range at most, and are right before, during and after (see migrations/sql/0007_ladders.sql).
"""

from collections.abc import Sequence

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from gamify.db import Database
from gamify.models import Ladder, Participant, Recalculation, TierStanding
from gamify.services import ladder, rollups
from gamify.services.tiers import RECALCULATE

AT_ONCE = 1_000  # participants a transaction: awards to them wait for it, so it should not take long

R = Recalculation


def begin(session: Session, tenant_id: int, *, cause: str = "published") -> Recalculation:
    """Note that everybody is to be looked at by the ladder in force; `advance` does it. One at a time goes on."""
    newest = ladder.newest(session, tenant_id)
    if newest is None:
        raise ValueError("There is no ladder.")
    made = Recalculation(tenant_id=tenant_id, cause=cause, ladder_version=newest.version, total_count=people(session, tenant_id))
    session.add(made)
    session.flush()
    return made


def people(session: Session, tenant_id: int) -> int:
    """Return about how many participants there are."""
    counted = select(func.coalesce(func.sum(TierStanding.participant_count), 0)).where(TierStanding.tenant_id == tenant_id)
    return int(session.scalars(counted).one())


def going_on(session: Session, tenant_id: int) -> Recalculation | None:
    """Return the recalculation that is not finished yet."""
    return session.scalar(select(R).where(R.tenant_id == tenant_id, R.finished_at.is_(None)))


def latest(session: Session, tenant_id: int, *, most: int = 20) -> Sequence[Recalculation]:
    """Return the last recalculations, newest first."""
    return session.scalars(select(R).where(R.tenant_id == tenant_id).order_by(R.id.desc()).limit(most)).all()


def advance(database: Database, tenant_id: int, *, most: int = AT_ONCE) -> bool:
    """Do the next range of the recalculation that goes on; return whether there is more to do.

    Raises `Unavailable` and `LockedByOthers`: nothing of the range is done then, and it can be tried again.
    """
    with database.transaction(tenant_id) as session:
        rollups.hold(session, tenant_id)  # and with it, of several processes one at a time
        found = going_on(session, tenant_id)
        if found is None:
            return False
        until, count = _range(session, tenant_id, found.done_until, most)
        if count:
            values = {"tenant_id": tenant_id, "after": found.done_until, "until": until, "cause": found.cause}
            found.moved_count += session.scalars(RECALCULATE, values).one()
            found.done_until, found.done_count = until, found.done_count + count
            found.total_count = max(found.total_count, found.done_count)
        found.advanced_at = session.scalars(select(func.clock_timestamp())).one()
        if count < most:
            _finish(session, found)
        return count == most


def _range(session: Session, tenant_id: int, after: int, most: int) -> tuple[int, int]:
    """The end of the next range of internal ids, and how many are in it."""
    ids = select(Participant.id).where(Participant.tenant_id == tenant_id, Participant.id > after)
    some = ids.order_by(Participant.id).limit(most).subquery()
    last, count = session.execute(select(func.max(some.c.id), func.count()).select_from(some)).one()
    return last, count


def _finish(session: Session, done: Recalculation) -> None:
    """Whoever came in meanwhile was put in place by the ladder in force, so from now on it is true of everybody."""
    done.finished_at = done.advanced_at
    done.total_count = done.done_count
    if done.cause == "published":
        settled = update(Ladder).where(Ladder.tenant_id == done.tenant_id, Ladder.version == done.ladder_version)
        session.execute(settled.values(is_settled=True))
    session.flush()


def waiting_count(session: Session, tenant_id: int) -> int:
    """Return how many have not met the ladder in force yet, because it waits for everybody's next award; else 0."""
    newest = ladder.newest(session, tenant_id)
    if newest is None or newest.is_settled or newest.effect != "next_award":
        return 0
    waiting = select(func.count()).where(Participant.tenant_id == tenant_id, Participant.ladder_version != newest.version)
    return session.scalars(waiting).one()
