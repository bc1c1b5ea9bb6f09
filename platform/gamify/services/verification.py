"""Verification: everything that follows from the ledger, derived anew and compared."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from gamify.db import act_as
from gamify.models import Participant, Tenant
from gamify.services import rollup_checks, tier_checks

AT_ONCE = 10_000  # participants a statement; PostgreSQL walks their entries in the primary key's order
MOST_DIFFERENCES = 1_000  # of a tenant; a broken deployment should not fill the memory

# Each entry must follow from the one before it, and the first from nothing: `seq` without a gap, totals by its own
# points, time forwards, tiers from the totals by the ladder it names (unless more than the total has a say: then the
# participant's tiers are replayed), its id and its key its own.
ENTRIES = """
    WITH entry AS (
        SELECT e.*, l.thresholds, :replays_all OR e.participant_id = ANY (CAST(:replayed AS bigint[])) AS is_replayed,
               lag(e.seq, 1, 0::bigint) OVER past AS past_seq,
               lag(e.balance_after, 1, 0::bigint) OVER past AS past_balance,
               lag(e.total_earned_after, 1, 0::bigint) OVER past AS past_earned,
               lag(e.total_spent_after, 1, 0::bigint) OVER past AS past_spent,
               lag(e.created_at, 1, '-infinity') OVER past AS past_at,
               e.type IN ('award', 'award_reversal') AS is_of_award,
               e.type IN ('award_reversal', 'deduct_reversal') AS is_reversal
        FROM ledger_entries AS e
        LEFT JOIN ladders AS l ON l.tenant_id = e.tenant_id AND l.version = e.ladder_version
        WHERE e.tenant_id = :tenant_id AND e.participant_id > :after AND e.participant_id <= :until
        WINDOW past AS (PARTITION BY e.participant_id ORDER BY e.seq)
    ), checked AS (
        SELECT participant_id, seq,
               ROW(seq, sign(points) > 0, balance_after, total_earned_after, total_spent_after, tier_before, tier_after,
                   created_at > past_at, uuid_extract_timestamp(id), reverses IS NOT NULL) AS stored,
               ROW(past_seq + 1, is_of_award <> is_reversal, past_balance + points,
                   past_earned + CASE WHEN is_of_award THEN points ELSE 0 END,
                   past_spent - CASE WHEN is_of_award THEN 0 ELSE points END,
                   CASE WHEN is_replayed THEN tier_before ELSE COALESCE(width_bucket(past_earned, thresholds), 0)::smallint END,
                   CASE WHEN is_replayed THEN tier_after ELSE COALESCE(width_bucket(
                       past_earned + CASE WHEN is_of_award THEN points ELSE 0 END, thresholds), 0)::smallint END,
                   true, date_trunc('milliseconds', created_at), is_reversal) AS derived
        FROM entry
    )
    SELECT participant_id, seq, name, stored ->> field, derived ->> field
    FROM (
        SELECT participant_id, seq, to_json(stored) AS stored, to_json(derived) AS derived
        FROM checked WHERE stored IS DISTINCT FROM derived LIMIT :most
    ) AS wrong
    JOIN (VALUES
        ('f1', 'seq'), ('f2', 'points (sign)'), ('f3', 'balance_after'), ('f4', 'total_earned_after'),
        ('f5', 'total_spent_after'), ('f6', 'tier_before'), ('f7', 'tier_after'), ('f8', 'created_at (order)'),
        ('f9', 'id (time)'), ('f10', 'reverses (presence)')
    ) AS part (field, name) ON stored ->> field IS DISTINCT FROM derived ->> field
    ORDER BY participant_id, seq
"""

# Each participant must stand where the last entry led, on the ladder in force.
PARTICIPANTS = """
    SELECT p.id, NULL::bigint, each.what, each.stored, each.derived
    FROM participants AS p
    LEFT JOIN LATERAL (
        SELECT thresholds, numbers FROM ladders WHERE tenant_id = :tenant_id ORDER BY version DESC LIMIT 1
    ) AS ladder ON true
    LEFT JOIN LATERAL (
        SELECT * FROM ledger_entries AS e
        WHERE e.tenant_id = :tenant_id AND e.participant_id = p.id ORDER BY e.seq DESC LIMIT 1
    ) AS last ON true
    CROSS JOIN LATERAL (VALUES
        ('balance', p.balance::text, COALESCE(last.balance_after, 0)::text),
        ('total_earned', p.total_earned::text, COALESCE(last.total_earned_after, 0)::text),
        ('total_spent', p.total_spent::text, COALESCE(last.total_spent_after, 0)::text),
        ('entry_count', p.entry_count::text, COALESCE(last.seq, 0)::text),
        ('last_entry_at', p.last_entry_at::text, COALESCE(last.created_at, p.last_entry_at)::text),
        ('tier', p.tier::text, CASE
            WHEN :replays_all OR p.id = ANY (CAST(:replayed AS bigint[])) THEN p.tier
            ELSE COALESCE(ladder.numbers[width_bucket(COALESCE(last.total_earned_after, 0), ladder.thresholds)], 0) END::text)
    ) AS each (what, stored, derived)
    WHERE p.tenant_id = :tenant_id AND p.id > :after AND p.id <= :until AND each.stored IS DISTINCT FROM each.derived
    LIMIT :most
"""

# An entry's key must have decided that very entry.
KEYS = """
    SELECT e.participant_id, e.seq, 'entry of its idempotency key', k.entry_id::text, e.id::text
    FROM ledger_entries AS e
    LEFT JOIN idempotency_keys AS k ON k.tenant_id = :tenant_id AND k.key = e.idempotency_key
    WHERE e.tenant_id = :tenant_id AND e.participant_id > :after AND e.participant_id <= :until
          AND e.idempotency_key IS NOT NULL AND k.entry_id IS DISTINCT FROM e.id
    LIMIT :most
"""

# What an entry reverses must be an earlier award or deduct of the same participant, of at least its points.
REVERSALS = """
    SELECT r.participant_id, r.seq, 'reverses', r.reverses::text,
           'an earlier ' || replace(r.type, '_reversal', '') || ' of its size'
    FROM ledger_entries AS r
    LEFT JOIN ledger_entries AS o ON o.tenant_id = :tenant_id AND o.id = r.reverses
    WHERE r.tenant_id = :tenant_id AND r.reverses IS NOT NULL
          AND (o.participant_id = r.participant_id AND o.seq < r.seq AND o.type || '_reversal' = r.type
               AND abs(o.points) >= abs(r.points)) IS NOT TRUE
    LIMIT :most
"""

# And no entry may be without its participant, where the passes by participant do not look.
ORPHANS = """
    SELECT e.participant_id, e.seq, 'participant', 'missing', 'there'
    FROM ledger_entries AS e
    WHERE e.tenant_id = :tenant_id
          AND NOT EXISTS (SELECT FROM participants AS p WHERE p.tenant_id = :tenant_id AND p.id = e.participant_id)
    LIMIT :most
"""

OF_PARTICIPANTS = (ENTRIES, PARTICIPANTS, KEYS, rollup_checks.STANDINGS)  # in ranges of them
OF_TENANT = (REVERSALS, ORPHANS)


class Difference(NamedTuple):
    """Something stored that does not follow from the ledger; `seq` is None for a participant's own row, both for rollups."""

    tenant: str
    mode: str
    participant_id: str | None
    seq: int | None
    what: str
    stored: str | None
    derived: str | None

    @property
    def sentence(self) -> str:
        """One line for a person."""
        where = ""
        if self.participant_id is not None:
            where = f" {self.participant_id!r} " + (f"entry {self.seq}" if self.seq is not None else "participant")
        return f"{self.tenant} ({self.mode}){where}: {self.what} is {self.stored}, should be {self.derived}"


class Report(NamedTuple):
    """What verifying one tenant has found."""

    entry_count: int
    differences: list[Difference]


def begin(session: Session, tenant: Tenant) -> int:
    """Fix the snapshot on which `verify` looks at the tenant; return how many entries its participants count."""
    session.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
    session.execute(text("SET LOCAL statement_timeout = 0"))
    act_as(session, tenant.id)
    counted = text("SELECT COALESCE(sum(entry_count), 0)::bigint FROM participants WHERE tenant_id = :tenant_id")
    count: int = session.scalars(counted, {"tenant_id": tenant.id}).one()
    return count


def verify(session: Session, tenant: Tenant, *, progress: Callable[[int], None] = lambda _: None) -> Report:
    """Compare everything of a tenant with its ledger on the snapshot of `begin`, so awards may go on meanwhile.

    `progress` is told how many entries have been looked at since the last time.
    """
    wrong: list[tuple[Any, ...]] = []
    entry_count = 0
    summed_until, zone = rollup_checks.progress(session, tenant.id)
    whole = {"tenant_id": tenant.id, "most": MOST_DIFFERENCES, "summed_until": summed_until, "zone": zone, "dimension": None}
    for after, until in _ranges(session, tenant.id):
        chunk = whole | {"after": after, "until": until}
        chunk |= tier_checks.replayed(session, chunk)
        wrong += tier_checks.replay(session, chunk, most=MOST_DIFFERENCES)
        wrong += [tuple(row) for query in OF_PARTICIPANTS for row in session.execute(text(query), chunk)]
        entry_count += (looked_at := _count(session, chunk))
        progress(looked_at)
        if len(wrong) >= MOST_DIFFERENCES:
            break
    queries = OF_TENANT + rollup_checks.of_tenant(session, tenant.id)
    wrong += [tuple(row) for query in queries for row in session.execute(text(query), whole)]
    return Report(entry_count, [_difference(session, tenant, row) for row in wrong[:MOST_DIFFERENCES]])


def _ranges(session: Session, tenant_id: int) -> Iterator[tuple[int, int]]:
    """Cut the tenant's participants into ranges (after, until] of their internal ids."""
    after = -(2**63)
    while True:
        ids = select(Participant.id).where(Participant.tenant_id == tenant_id, Participant.id > after).order_by(Participant.id)
        until = session.scalar(ids.offset(AT_ONCE - 1).limit(1))
        yield after, 2**63 - 1 if until is None else until
        if until is None:
            return
        after = until


def _count(session: Session, chunk: dict[str, Any]) -> int:
    counted = text(
        "SELECT COALESCE(sum(entry_count), 0)::bigint FROM participants"
        " WHERE tenant_id = :tenant_id AND id > :after AND id <= :until"
    )
    count: int = session.scalars(counted, chunk).one()
    return count


def _difference(session: Session, tenant: Tenant, row: tuple[Any, ...]) -> Difference:
    internal_id, *rest = row
    if internal_id is None:
        return Difference(tenant.slug, tenant.mode, None, *rest)
    known = select(Participant.external_id).where(Participant.tenant_id == tenant.id, Participant.id == internal_id)
    return Difference(tenant.slug, tenant.mode, session.scalar(known) or f"(number {internal_id})", *rest)
