"""Writing opening balances: awards by the ledger's own function, names, and those who have nothing yet."""

from collections.abc import Sequence
from itertools import islice
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from gamify.db import Database
from gamify.errors import DomainError, IdempotencyMismatch
from gamify.services import ladder, ledger, rollups
from gamify.services.details import SHARE_LADDER
from gamify.services.imports import lines
from gamify.services.measures import BEGINNING

AT_ONCE = 500  # lines a transaction

AWARDS = text("""
    SELECT line, participant, points, spent FROM import_lines
    WHERE share = :share AND standing = 'new' AND points > 0 ORDER BY line
""")
REFUSE = text("UPDATE import_lines SET standing = 'opened' WHERE line = ANY (:lines)")
# Whoever has nothing, and is new: as `details.register` makes one.
ENLIST = text("""
    WITH made AS (
        INSERT INTO participants
            (tenant_id, external_id, balance, total_earned, total_spent, entry_count, tier, last_entry_at, ladder_version)
        SELECT :tenant_id, participant, 0, 0, 0, 0, :tier, :beginning, :version
        FROM import_lines WHERE share = :share AND standing = 'new' AND points = 0 ORDER BY participant
        ON CONFLICT (tenant_id, external_id) DO NOTHING
        RETURNING id
    ), told AS (
        INSERT INTO tier_changes (
            tenant_id, participant_id, after_seq, at, cause, ladder_version, number_before, number_after, is_kept)
        SELECT :tenant_id, id, 0, tier_instant(:tenant_id, NULL), 'registered', :version, 0, :tier, false
        FROM made WHERE :version > 0
    ), stood AS (
        INSERT INTO participant_standings (tenant_id, participant_id, tier, balance, total_earned, last_entry_at)
        SELECT :tenant_id, id, :tier, 0, 0, :beginning FROM made
        RETURNING participant_id
    ), size AS (
        INSERT INTO balance_standings AS b (tenant_id, step, participant_count, points)
        SELECT :tenant_id, 0, count(*), 0 FROM stood HAVING count(*) > 0
        ON CONFLICT (tenant_id, step) DO UPDATE SET participant_count = b.participant_count + excluded.participant_count
    )
    INSERT INTO tier_standings AS t (tenant_id, tier, participant_count, points)
    SELECT :tenant_id, :tier, count(*), 0 FROM stood HAVING count(*) > 0
    ON CONFLICT (tenant_id, tier) DO UPDATE SET participant_count = t.participant_count + excluded.participant_count
""")
_NAMED = """
    INSERT INTO participant_details AS d (tenant_id, participant_id, display_name)
    SELECT :tenant_id, p.id, l.name
    FROM import_lines AS l JOIN participants AS p ON p.tenant_id = :tenant_id AND p.external_id = l.participant
    WHERE {which} AND l.name IS NOT NULL
    ORDER BY p.id
    ON CONFLICT (tenant_id, participant_id)
"""
NAMES = text(
    _NAMED.format(which="l.share = :share AND l.standing = 'new'")
    + """DO UPDATE SET display_name = excluded.display_name, updated_at = clock_timestamp()
    WHERE d.display_name IS DISTINCT FROM excluded.display_name"""
)
# Of who was awarded by a run that was stopped before it came to the names; whatever was said since stays.
MISSING_NAMES = text(_NAMED.format(which="l.standing = 'known'") + "DO NOTHING")
COUNT = text("SELECT count(*) FROM import_lines WHERE share = :share AND standing = 'new'")


def complete(session: Session, tenant_id: int) -> None:
    """Do what a run that was stopped has left undone for lines that are there already."""
    session.execute(MISSING_NAMES, {"tenant_id": tenant_id})


def award(session: Session, database: Database, tenant_id: int, share: int) -> None:
    """Award a share of the opening balances, in a transaction of its own.

    Another import of a participant may have come first: nothing is awarded twice, and what differs from it is refused.
    """
    rows = session.execute(AWARDS, {"share": share}).all()
    movements = [_movements(row) for row in rows]
    asked = [movement for mine in movements for movement in mine]
    outcomes = iter(ledger.post(database, tenant_id, asked) if asked else [])
    refused = []
    for row, mine in zip(rows, movements, strict=True):
        errors = [outcome for outcome in islice(outcomes, len(mine)) if isinstance(outcome, DomainError)]
        if errors and not isinstance(errors[0], IdempotencyMismatch):
            raise errors[0]
        refused += [row.line] if errors else []
    session.execute(REFUSE, {"lines": refused})


def introduce(session: Session, tenant_id: int, share: int) -> int:
    """Make those who have nothing, and say what people are called; return how many lines of the share are done."""
    rollups.hold(session, tenant_id)
    session.execute(SHARE_LADDER, {"tenant_id": tenant_id})
    newest = ladder.newest(session, tenant_id)
    values = {"tenant_id": tenant_id, "share": share}
    placed = {"tier": ladder.number_at(session, tenant_id), "version": newest.version if newest else 0}
    session.execute(ENLIST, values | placed | {"beginning": BEGINNING})
    session.execute(NAMES, values)
    count: int = session.scalars(COUNT, values).one()
    return count


def _movements(row: Any) -> Sequence[ledger.Movement]:
    made = lines.awarded(row.participant, row.points, row.points - row.spent)
    return [made, lines.spent(made, row.spent)] if row.spent else [made]
