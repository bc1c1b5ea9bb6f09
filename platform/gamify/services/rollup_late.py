"""What comes into the ledger behind the end of what is summed: whole histories of participants who had no entries.

The statements are those of `rollup_parts`, so that each rollup is defined once: not over a range of the ledger, but over all
that some participants have before :until. What they have from then on is summed like everything else.
"""

from collections.abc import Sequence

from sqlalchemy import TextClause, text
from sqlalchemy.orm import Session

from gamify.services import rollups
from gamify.services.measures import QUARTER, RANGE
from gamify.services.rollup_parts import (
    ADD_SIZES,
    ADD_WORDS,
    FLOW,
    MAKE_ACTIVITY,
    MAKE_TIERS,
    NEW_WORDS,
    QUARTERS,
    STAND_MOVED,
)

_PEOPLE = "CAST(:people AS bigint[])"
_THEIRS = f"tenant_id = :tenant_id AND participant_id = ANY ({_PEOPLE}) AND id < first_entry_id(:until)"
_EVENTS = f"tier_events_of(:tenant_id, {_PEOPLE}, :until)"


def _of_people(statement: TextClause, everybody: str, theirs: str) -> TextClause:
    """The same statement of some participants."""
    if everybody not in statement.text:
        raise AssertionError(f"A rollup is made otherwise than from {everybody}")
    return text(statement.text.replace(everybody, theirs))


# A tier before the standings, for these are what participants are now.
ADD = (
    _of_people(QUARTERS, RANGE, _THEIRS),
    _of_people(MAKE_TIERS, "tier_events_before(:tenant_id, :until)", _EVENTS),
    _of_people(NEW_WORDS, RANGE, _THEIRS),
    _of_people(ADD_WORDS, RANGE, _THEIRS),
    _of_people(MAKE_ACTIVITY, "tenant_id = :tenant_id AND id < first_entry_id(:until)", _THEIRS),
    _of_people(ADD_SIZES, RANGE, _THEIRS),
    _of_people(STAND_MOVED, f"id IN (SELECT participant_id FROM ledger_entries WHERE {RANGE})", f"id = ANY ({_PEOPLE})"),
)
WITHDRAW_FLOWS = text(f"""
    INSERT INTO tier_flow_quarters AS f (tenant_id, quarter, tier_from, tier_to, participant_count, points)
    SELECT :tenant_id, {QUARTER}, flow.tier_from, flow.tier_to, -count(*), -sum(moved)
    FROM {_EVENTS} AS event {FLOW}
    GROUP BY 2, 3, 4 ORDER BY 2, 3, 4
    ON CONFLICT (tenant_id, quarter, tier_from, tier_to) DO UPDATE SET
        participant_count = f.participant_count + excluded.participant_count, points = f.points + excluded.points
""")


def withdraw(session: Session, tenant_id: int, people: Sequence[int]) -> None:
    """Take back what is summed of participants without entries, whose history is about to be written.

    The caller holds the rollups from here until `add`, and has locked the participants (internal ids).
    """
    _execute(session, tenant_id, [WITHDRAW_FLOWS], people)


def add(session: Session, tenant_id: int, people: Sequence[int]) -> None:
    """Add the histories of these participants, as far as they lie before the end of what is summed."""
    _execute(session, tenant_id, ADD, people)


def _execute(session: Session, tenant_id: int, statements: Sequence[TextClause], people: Sequence[int]) -> None:
    progress = rollups.hold(session, tenant_id)
    values = rollups.everything(progress) | {"people": list(people)}
    for statement in statements:
        session.execute(statement, values)
