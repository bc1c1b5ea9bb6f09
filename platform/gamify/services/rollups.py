"""Rollups: what follows from the ledger, kept in step with it. How they are read is in `figures`.

They are exact up to `summed_until`; whoever reads them adds what came later in the same statement, so no figure depends
on how late this job is. Nothing can turn up behind `summed_until` (see migrations/sql/0005_rollups.sql).
"""

import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, func, select, text, update
from sqlalchemy.orm import Session

from gamify.db import LOCK_TIMEOUT, Database
from gamify.errors import LockedByOthers
from gamify.models import Dimension, RollupProgress, Tenant
from gamify.services.measures import BEGINNING, RANGE
from gamify.services.rollup_parts import ADD_WORDS, BLANK_WORDS, ENLIST, NEW_WORDS, PARTS, Part

AT_ONCE = 20_000  # entries a transaction
PATIENCE = 1.0  # s to wait for movements that had begun; of those who last longer, more can be said next time
PATIENCE_OF_ALL = 30.0  # the same when everything is derived anew
POLL = 0.01  # s
LOCKED_FOR = 10_000  # ms: longer than one share of the work can take
AN_INSTANT = timedelta(microseconds=1)  # times of entries are no finer
RULES = 2  # what follows from the ledger, and how; what older rules have made is derived anew

WRITERS = text("SELECT ledger_writers(:tenant_id)")
# A tenant that is being deleted gets no new rows. Where there is one, nothing is tried: a conflict would wait for its holder.
START = text(f"""
    INSERT INTO rollup_progress (tenant_id, planned_until, made_by, time_zone)
    SELECT id, clock_timestamp(), {RULES}, time_zone FROM tenants
    WHERE id = :tenant_id AND status <> 'deleting' AND NOT EXISTS (SELECT FROM rollup_progress WHERE tenant_id = :tenant_id)
    ON CONFLICT DO NOTHING
""")  # our own number
# Where the entries, or the changes of tiers, begin that are too many for one transaction.
REST = text(f"""
    SELECT LEAST(
        (SELECT created_at FROM ledger_entries WHERE {RANGE} ORDER BY id OFFSET :most LIMIT 1),
        (SELECT at FROM tier_changes WHERE tenant_id = :tenant_id AND at >= :since AND at < :until
         ORDER BY at OFFSET :most LIMIT 1)
    )
""")  # our own
# Whether something is not summed, after so many entries.
TAIL = text("""
    SELECT EXISTS (
        SELECT FROM ledger_entries WHERE tenant_id = :tenant_id AND id >= first_entry_id(:since)
        ORDER BY id OFFSET :skipped LIMIT 1
    ) OR :skipped = 0 AND EXISTS (SELECT FROM tier_changes WHERE tenant_id = :tenant_id AND at >= :since)
""")


def advance(database: Database, tenant_id: int, *, most: int = AT_ONCE) -> bool:
    """Sum the next `most` entries, or so; return whether there is more to do.

    Three transactions, so that no movement ever waits for this:
    the first commits how far it is going to sum, and movements that begin from then on are not dated before that;
    the second waits for those that had begun earlier, which may still be dated before it;
    the third sums what nothing can be added to any more, in one piece with `summed_until`, so that it may be interrupted
    anywhere. Of several processes one works at a time, and each sums up to what it has planned itself: a plan that another
    has made meanwhile is none for which this one has waited.
    """
    with database.transaction(tenant_id) as session:
        is_outdated = not is_current(session, tenant_id)
        if not is_outdated and not has_tail(session, tenant_id):
            return False
        start(session, tenant_id)
        planned = None if is_outdated else _plan(session, tenant_id)
    if is_outdated:
        _renew(database, tenant_id)
        return True
    if planned is None or not _writers_have_ended(database, tenant_id, patience=PATIENCE):
        return True
    with database.transaction(tenant_id) as session:
        return _sum(session, tenant_id, until=planned, most=most)


def catch_up(database: Database, tenant_id: int, *, seconds: float) -> bool:
    """Advance until everything is summed, for so long at most; return whether it is."""
    give_up_at = time.monotonic() + seconds
    while advance(database, tenant_id):
        if time.monotonic() > give_up_at:
            return False
    return True


def rebuild(database: Database, tenant_id: int) -> None:
    """Derive everything of a tenant anew, in one transaction; movements go on meanwhile.

    For repairs, and after entries have come into the ledger past its functions. Raises `LockedByOthers`, `Unavailable`.
    """
    with database.transaction(tenant_id) as session:
        hold(session, tenant_id)
        planned = _plan(session, tenant_id)
    if planned is None or not _writers_have_ended(database, tenant_id, patience=PATIENCE_OF_ALL):
        raise LockedByOthers
    with database.transaction(tenant_id) as session:
        session.execute(text("SET LOCAL statement_timeout = 0"))
        derive(session, tenant_id, until=max(planned, hold(session, tenant_id).summed_until))


def derive(session: Session, tenant_id: int, *, until: datetime) -> None:
    """Derive everything anew from the entries before `until`, which must be all of them that there will ever be."""
    progress = hold(session, tenant_id)
    _make(session, progress, PARTS, until=until)
    progress.planned_until, progress.summed_until = max(progress.planned_until, until), until
    progress.made_by = RULES
    session.flush()


def start(session: Session, tenant_id: int) -> None:
    """Let a tenant have rollups from now on; what has them already keeps them."""
    session.execute(START, {"tenant_id": tenant_id})


def hold(session: Session, tenant_id: int) -> RollupProgress:
    """Keep the rollups of a tenant from being advanced until the transaction ends; no movement waits for that."""
    session.execute(text(f"SET LOCAL lock_timeout = {LOCKED_FOR}"))
    start(session, tenant_id)
    progress = session.scalars(_progress(tenant_id).with_for_update().execution_options(populate_existing=True)).one()
    session.execute(text(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT}"))
    return progress


def enlist(session: Session, tenant_id: int, number: int, *, tier: int) -> None:
    """Count a participant who has no entries yet, whom no summing would find; the caller holds the rollups."""
    values = {"tenant_id": tenant_id, "participant_id": number, "tier": tier, "beginning": BEGINNING}
    session.execute(ENLIST, values)


def blank(session: Session, tenant_id: int, participant_id: int, *, after: int, until: int) -> None:
    """Take the words of a person's entries after < seq ≤ until out of what is summed, before they are blanked."""
    progress = hold(session, tenant_id)
    values = {"tenant_id": tenant_id, "participant_id": participant_id, "after": after, "until": until, "dimension": None}
    for statement in BLANK_WORDS:
        session.execute(statement, values | {"summed_until": progress.summed_until})


def advance_dimension(session: Session, dimension: Dimension, *, most: int = AT_ONCE) -> None:
    """Break the next `most` entries of what is summed down by a dimension, or so; with the last of them it is ready.

    From then on entries are broken down by it as they are summed. The caller holds the rollups since before it was read.
    """
    progress = hold(session, dimension.tenant_id)
    values = _range(progress, since=dimension.done_until, until=progress.summed_until)
    is_cut = _cut(session, values, most=most)
    for statement in (NEW_WORDS, ADD_WORDS):
        session.execute(statement, values | {"dimension": dimension.number})
    dimension.done_until, dimension.is_ready = values["until"], not is_cut
    session.flush()


def everything(progress: RollupProgress) -> dict[str, Any]:
    """What statements of `rollup_parts` are told of all that is summed."""
    return _range(progress, since=BEGINNING, until=progress.summed_until)


def has_tail(session: Session, tenant_id: int, *, longer_than: int = 0) -> bool:
    """Whether more entries than that are not summed, or (for 0) any change of a tier."""
    summed_until = session.scalar(select(RollupProgress.summed_until).where(RollupProgress.tenant_id == tenant_id))
    values = {"tenant_id": tenant_id, "since": summed_until or BEGINNING, "skipped": longer_than}
    found: bool = session.scalars(TAIL, values).one()
    return found


def is_current(session: Session, tenant_id: int) -> bool:
    """Whether everything was made by the rules that there are now, with the days of the tenant's zone."""
    made = select(RollupProgress.made_by, RollupProgress.time_zone).where(RollupProgress.tenant_id == tenant_id)
    found = session.execute(made).one_or_none()
    return found is None or tuple(found) == (RULES, session.scalar(_time_zone(tenant_id)))


def _plan(session: Session, tenant_id: int) -> datetime | None:
    """Date entries from now on after what can be summed, which is returned; None while another process sums."""
    if session.scalar(_progress(tenant_id).with_for_update(skip_locked=True)) is None:
        return None
    planned = func.greatest(RollupProgress.planned_until, func.clock_timestamp())  # the clock may have been set back
    plan = update(RollupProgress).where(RollupProgress.tenant_id == tenant_id).values(planned_until=planned)
    return session.scalar(plan.returning(RollupProgress.planned_until))


def _writers_have_ended(database: Database, tenant_id: int, *, patience: float) -> bool:
    """Wait until none is left of the movements that are being written when this begins."""
    give_up_at = time.monotonic() + patience
    with database.transaction(tenant_id) as session:
        values = {"tenant_id": tenant_id}
        writers = set(session.scalars(WRITERS, values))
        while writers and time.monotonic() < give_up_at:
            time.sleep(POLL)
            writers &= set(session.scalars(WRITERS, values))
    return not writers


def _sum(session: Session, tenant_id: int, *, until: datetime, most: int) -> bool:
    """Sum entries dated before `until`; return whether there are more. Nothing happens while another process sums."""
    progress = session.scalar(_progress(tenant_id).with_for_update(skip_locked=True))
    if progress is None:
        return True
    if progress.summed_until >= until:
        return False  # another process was faster
    values = _range(progress, since=progress.summed_until, until=until)
    is_cut = _cut(session, values, most=most)
    for part in PARTS:
        session.execute(part.add, values)
    progress.summed_until = values["until"]
    session.flush()
    return is_cut


def _renew(database: Database, tenant_id: int) -> None:
    """Derive anew what older rules have made; what is of days of another zone, if it is nothing but that."""
    with database.transaction(tenant_id) as session:
        progress = hold(session, tenant_id)
        if is_current(session, tenant_id):
            return  # another process was faster
        is_made = progress.made_by == RULES
        if is_made:
            session.execute(text("SET LOCAL statement_timeout = 0"))
            _make(session, progress, [part for part in PARTS if part.is_of_days], until=progress.summed_until)
    if not is_made:
        rebuild(database, tenant_id)


def _make(session: Session, progress: RollupProgress, parts: Sequence[Part], *, until: datetime) -> None:
    """Derive rollups anew, with the days of the zone that the tenant has now."""
    progress.time_zone = session.scalars(_time_zone(progress.tenant_id)).one()
    values = _range(progress, since=BEGINNING, until=until)
    for part in parts:
        for table in part.tables:
            session.execute(text(f"DELETE FROM {table} WHERE tenant_id = :tenant_id"), values)  # our own names
        session.execute(part.make, values)
    session.flush()


def _cut(session: Session, values: dict[str, Any], *, most: int) -> bool:
    """Let a range end after its first `most` entries, or changes of tiers; return whether it was longer."""
    rest: datetime | None = session.scalar(REST, values | {"most": most})
    if rest is not None:  # all of an instant belong together
        values["until"] = values["summed_until"] = max(rest, values["since"] + AN_INSTANT)
    return rest is not None


def _range(progress: RollupProgress, *, since: datetime, until: datetime) -> dict[str, Any]:
    """What statements of `rollup_parts` are told."""
    of = {"tenant_id": progress.tenant_id, "zone": progress.time_zone, "dimension": None}
    return of | {"since": since, "until": until, "summed_until": until}


def _time_zone(tenant_id: int) -> Select[str]:
    return select(Tenant.time_zone).where(Tenant.id == tenant_id)


def _progress(tenant_id: int) -> Select[RollupProgress]:
    return select(RollupProgress).where(RollupProgress.tenant_id == tenant_id)
