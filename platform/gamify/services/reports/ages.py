"""How old the outstanding points are: whoever redeems spends their oldest points first.

Of what a participant had earned before an instant, so much is left as it is more than what they have spent by now. What is
taken back are the newest points there are then, and what is given back is as old as it was. Nothing but their own entries
tells it, so participants are gone through, a share at a time: a million takes a while, a share does not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from sqlalchemy import text
from sqlalchemy.orm import Session

AT_ONCE = 1_000  # participants a statement
DAYS = (30, 90, 180, 365)  # where one age ends and the next begins
BANDS = tuple(zip((0, *DAYS), (*DAYS, None), strict=True))  # each is older than so many days, up to so many; None: without end

# What was earned before each edge, unless less than that was left when something was taken back later on.
SHARE = text("""
    WITH portion AS MATERIALIZED (
        SELECT id FROM participants WHERE tenant_id = :tenant_id AND id > :after ORDER BY id LIMIT :most
    )
    SELECT (SELECT max(id) FROM portion), (SELECT count(*) FROM portion),
           ARRAY(
               SELECT sum(GREATEST(LEAST(COALESCE(earned.points, 0), taken.lowest) - had.spent, 0))::bigint
               FROM unnest(CAST(:edges AS timestamptz[])) WITH ORDINALITY AS edge (at, n)
               CROSS JOIN portion
               CROSS JOIN LATERAL (
                   SELECT total_spent_after AS spent FROM ledger_entries
                   WHERE tenant_id = :tenant_id AND participant_id = portion.id AND created_at < :at
                   ORDER BY created_at DESC LIMIT 1
               ) AS had
               LEFT JOIN LATERAL (
                   SELECT total_earned_after AS points FROM ledger_entries
                   WHERE tenant_id = :tenant_id AND participant_id = portion.id AND created_at < edge.at
                   ORDER BY created_at DESC LIMIT 1
               ) AS earned ON true
               CROSS JOIN LATERAL (
                   SELECT min(total_earned_after) AS lowest FROM ledger_entries
                   WHERE tenant_id = :tenant_id AND participant_id = portion.id AND reverses IS NOT NULL
                         AND created_at >= edge.at AND created_at < :at
               ) AS taken
               GROUP BY edge.n ORDER BY edge.n
           )
""")


@dataclass(frozen=True, slots=True)
class Ages:
    """Points left of what was earned before each edge, the newest edge first, of the participants up to `done_until`.

    The first edge is the instant itself, so the first sum is all that is outstanding.
    """

    at: datetime
    sums: tuple[int, ...] = (0,) * (len(DAYS) + 1)
    done_until: int | None = -(2**63)  # an internal id; None when everybody is done
    done_count: int = 0

    @property
    def edges(self) -> Sequence[datetime]:
        """The instants before which points were earned."""
        return [self.at, *(self.at - timedelta(days=days) for days in DAYS)]

    @property
    def points(self) -> Sequence[int]:
        """Outstanding points of each of the `BANDS`."""
        return [newer - older for newer, older in pairwise(self.sums)] + [self.sums[-1]]


def advance(session: Session, tenant_id: int, ages: Ages, *, most: int = AT_ONCE) -> Ages:
    """Add the next participants to what is done."""
    if ages.done_until is None:
        return ages
    values = {"tenant_id": tenant_id, "after": ages.done_until, "most": most, "at": ages.at, "edges": ages.edges}
    until, count, found = session.execute(SHARE, values).one()
    sums = tuple(mine + more for mine, more in zip(ages.sums, found, strict=True)) if found else ages.sums
    return Ages(ages.at, sums, until if count == most else None, ages.done_count + count)
