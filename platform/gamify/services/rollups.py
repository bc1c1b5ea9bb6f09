"""Rollups: what follows from the ledger, kept in step with it. How they are read is in `figures`.

They are exact up to `summed_until`; whoever reads them adds what came later in the same statement, so no figure depends
on how late this job is. Nothing can turn up behind `summed_until` (see migrations/sql/0005_rollups.sql).
"""

import time
from datetime import datetime, timedelta

from sqlalchemy import Select, func, select, text, update
from sqlalchemy.orm import Session

from gamify.db import LOCK_TIMEOUT, Database
from gamify.errors import LockedByOthers
from gamify.models import RollupProgress

AT_ONCE = 20_000  # entries a transaction
PATIENCE = 1.0  # s to wait for movements that had begun; of those who last longer, more can be said next time
PATIENCE_OF_ALL = 30.0  # the same when everything is derived anew
POLL = 0.01  # s
LOCKED_FOR = 10_000  # ms: longer than one share of the work can take
AN_INSTANT = timedelta(microseconds=1)  # times of entries are no finer
BEGINNING = datetime.fromisoformat("1970-01-01T00:00:00+00:00")  # ids of entries count from here

TYPES = ("award", "deduct", "award_reversal", "deduct_reversal")
# The columns of a quarter, and what they are of its entries.
MEASURES = (
    {f"{kind}_points": f"COALESCE(sum(abs(points)) FILTER (WHERE type = '{kind}'), 0)" for kind in TYPES}
    | {f"{kind}_count": f"count(*) FILTER (WHERE type = '{kind}')" for kind in TYPES}
    | {"joined_count": "count(*) FILTER (WHERE seq = 1)"}
)
OF_ENTRIES = ", ".join(f"{measure} AS {column}" for column, measure in MEASURES.items())
QUARTER = "date_bin('15 minutes', created_at, TIMESTAMPTZ 'epoch')"
KEY = "COALESCE(api_key_id, 0)"
RANGE = "tenant_id = :tenant_id AND id >= first_entry_id(:since) AND id < first_entry_id(:until)"

WRITERS = text("SELECT ledger_writers(:tenant_id)")
# A tenant that is being deleted gets no new rows. Where there is one, nothing is tried: a conflict would wait for its holder.
START = text("""
    INSERT INTO rollup_progress (tenant_id, planned_until)
    SELECT id, clock_timestamp() FROM tenants
    WHERE id = :tenant_id AND status <> 'deleting' AND NOT EXISTS (SELECT FROM rollup_progress WHERE tenant_id = :tenant_id)
    ON CONFLICT DO NOTHING
""")
# Where the entries begin that are too many for one transaction.
REST = text(f"SELECT created_at FROM ledger_entries WHERE {RANGE} ORDER BY id OFFSET :most LIMIT 1")  # noqa: S608  # our own
SUM_QUARTERS = text(f"""
    INSERT INTO ledger_quarters AS q (tenant_id, quarter, api_key_id, {", ".join(MEASURES)})
    SELECT :tenant_id, {QUARTER}, {KEY}, {OF_ENTRIES}
    FROM ledger_entries WHERE {RANGE}
    GROUP BY 2, 3 ORDER BY 2, 3
    ON CONFLICT (tenant_id, quarter, api_key_id) DO UPDATE
    SET {", ".join(f"{column} = q.{column} + excluded.{column}" for column in MEASURES)}
""")  # noqa: S608  # our own names
# Participants as they are now, with entries that are not summed yet, if there are any: then nobody looks at the standing.
STAND = """
    INSERT INTO participant_standings AS s (tenant_id, participant_id, tier, balance, total_earned, last_entry_at)
    SELECT tenant_id, id, tier, balance, total_earned, last_entry_at
    FROM participants AS p WHERE tenant_id = :tenant_id {whose} ORDER BY id
"""
MOVED = f"AND id IN (SELECT participant_id FROM ledger_entries WHERE {RANGE})"  # noqa: S608  # our own names
STAND_MOVED = text(f"""
    WITH moved AS (
        {STAND.format(whose=MOVED)}
        ON CONFLICT (tenant_id, participant_id) DO UPDATE SET
            tier = excluded.tier, balance = excluded.balance, total_earned = excluded.total_earned,
            last_entry_at = excluded.last_entry_at
        RETURNING old.tier AS old_tier, old.balance AS old_balance, new.tier AS new_tier, new.balance AS new_balance
    ), change AS (
        SELECT old_tier AS tier, -1 AS participants, -old_balance AS points FROM moved WHERE old_tier IS NOT NULL
        UNION ALL
        SELECT new_tier, 1, new_balance FROM moved
    )
    INSERT INTO tier_standings AS t (tenant_id, tier, participant_count, points)
    SELECT :tenant_id, tier, sum(participants), sum(points) FROM change GROUP BY tier ORDER BY tier
    ON CONFLICT (tenant_id, tier) DO UPDATE SET
        participant_count = t.participant_count + excluded.participant_count, points = t.points + excluded.points
""")  # noqa: S608  # our own names
ENLIST = text("""
    WITH stood AS (
        INSERT INTO participant_standings (tenant_id, participant_id, tier, balance, total_earned, last_entry_at)
        VALUES (:tenant_id, :participant_id, :tier, 0, 0, :beginning)
        RETURNING tier
    )
    INSERT INTO tier_standings AS t (tenant_id, tier, participant_count, points) SELECT :tenant_id, tier, 1, 0 FROM stood
    ON CONFLICT (tenant_id, tier) DO UPDATE SET participant_count = t.participant_count + 1
""")
STAND_ALL = text(STAND.format(whose=""))
FORGET_TIERS = text("DELETE FROM tier_standings WHERE tenant_id = :tenant_id")
FORGET = (
    FORGET_TIERS,
    text("DELETE FROM participant_standings WHERE tenant_id = :tenant_id"),
    text("DELETE FROM ledger_quarters WHERE tenant_id = :tenant_id"),
)
COUNT_TIERS = text("""
    INSERT INTO tier_standings (tenant_id, tier, participant_count, points)
    SELECT :tenant_id, tier, count(*), sum(balance) FROM participant_standings WHERE tenant_id = :tenant_id GROUP BY tier
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
        if not has_tail(session, tenant_id):
            return False
        start(session, tenant_id)
        planned = _plan(session, tenant_id)
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
    values = {"tenant_id": tenant_id, "since": BEGINNING, "until": until}
    for statement in (*FORGET, SUM_QUARTERS, STAND_ALL, COUNT_TIERS):
        session.execute(statement, values)
    progress.planned_until, progress.summed_until = max(progress.planned_until, until), until
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


def has_tail(session: Session, tenant_id: int, *, longer_than: int = 0) -> bool:
    """Whether more entries than that are not summed."""
    summed_until = session.scalar(select(RollupProgress.summed_until).where(RollupProgress.tenant_id == tenant_id))
    values = {"tenant_id": tenant_id, "since": summed_until or BEGINNING, "skipped": longer_than}
    tail = "SELECT 1 FROM ledger_entries WHERE tenant_id = :tenant_id AND id >= first_entry_id(:since)"
    return session.scalar(text(f"{tail} ORDER BY id OFFSET :skipped LIMIT 1"), values) is not None


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
    values = {"tenant_id": tenant_id, "since": progress.summed_until}
    rest: datetime | None = session.scalar(REST, values | {"until": until, "most": most})
    if rest is not None:  # all of an instant belong together
        until = max(rest, progress.summed_until + AN_INSTANT)
    for statement in (SUM_QUARTERS, STAND_MOVED):
        session.execute(statement, values | {"until": until})
    progress.summed_until = until
    session.flush()
    return rest is not None


def _progress(tenant_id: int) -> Select[RollupProgress]:
    return select(RollupProgress).where(RollupProgress.tenant_id == tenant_id)
