"""Figures of a tenant: points and entries of periods, days and tiers, exact at any moment.

Each function is one statement, hence one snapshot: what is rolled up, and the ledger's tail that is not yet. Whoever
shows figures that must agree with each other asks for them in one `Database.snapshot`.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from datetime import date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import text
from sqlalchemy.orm import Session

from gamify.services import quarters
from gamify.services.measures import BEGINNING, KEY, MEASURES
from gamify.services.quarters import END, SUMMED, Rollup

LAST_ID = "ffffffff-ffff-ffff-ffff-ffffffffffff"  # a range with two ends is what the planner takes for a small one

# A single value, so that the tail is a range of the index; joined with, all of the ledger would be read.
TAIL = f"e.tenant_id = :tenant_id AND e.id >= (SELECT first_entry_id(until) FROM summed) AND e.id < '{LAST_ID}'"  # noqa: S608  # our own names
MOVED = f"""moved AS MATERIALIZED (
    SELECT DISTINCT e.participant_id AS id FROM ledger_entries AS e WHERE {TAIL}
)"""  # noqa: S608  # our own names
OF_KEY = "(CAST(:key AS bigint) IS NULL OR {key} = :key)"
BETWEEN = Rollup(
    "ledger_quarters", MEASURES, groups={}, which=OF_KEY.format(key="api_key_id"), whose=OF_KEY.format(key=KEY)
).statement()
# The offsets keep the planner from reading all participants for the sake of a few.
TIERS = f"""
    WITH {SUMMED}, {MOVED}
    SELECT tier, sum(participant_count)::bigint, sum(points)::bigint
    FROM (
        SELECT tier, participant_count, points FROM tier_standings WHERE tenant_id = :tenant_id
        UNION ALL
        SELECT s.tier, -1, -s.balance FROM moved CROSS JOIN LATERAL (
            SELECT tier, balance FROM participant_standings WHERE tenant_id = :tenant_id AND participant_id = moved.id OFFSET 0
        ) AS s
        UNION ALL
        SELECT p.tier, 1, p.balance FROM moved CROSS JOIN LATERAL (
            SELECT tier, balance FROM participants WHERE tenant_id = :tenant_id AND id = moved.id OFFSET 0
        ) AS p
    ) AS part
    GROUP BY tier HAVING sum(participant_count) <> 0 ORDER BY tier
"""  # noqa: S608  # our own names


@dataclass(frozen=True, slots=True)
class Sums:
    """Entries of a period. Points are positive, whatever their direction."""

    award_points: int = 0
    deduct_points: int = 0
    award_reversal_points: int = 0
    deduct_reversal_points: int = 0
    award_count: int = 0
    deduct_count: int = 0
    award_reversal_count: int = 0
    deduct_reversal_count: int = 0
    joined_count: int = 0  # participants whose first entry is among these

    @property
    def awarded(self) -> int:
        """Points awarded and not taken back: what `total_earned` of everybody has grown by."""
        return self.award_points - self.award_reversal_points

    @property
    def deducted(self) -> int:
        """Points deducted and not given back: what `total_spent` of everybody has grown by."""
        return self.deduct_points - self.deduct_reversal_points

    @property
    def net(self) -> int:
        """What all balances together have grown by."""
        return self.awarded - self.deducted

    @property
    def entry_count(self) -> int:
        """Entries of every type."""
        return self.award_count + self.deduct_count + self.award_reversal_count + self.deduct_reversal_count

    def __add__(self, other: "Sums") -> "Sums":
        """Both periods together."""
        return Sums(*(mine + others for mine, others in zip(astuple(self), astuple(other), strict=True)))


class Day(NamedTuple):
    """A day of some zone, and what happened on it."""

    day: date
    sums: Sums


class TierCount(NamedTuple):
    """Participants on a tier (0: none), and their balances together."""

    tier: int
    participant_count: int
    points: int


def sums(
    session: Session, tenant_id: int, since: datetime | None, until: datetime | None, *, api_key_id: int | None = None
) -> Sums:
    """Return the sums of since ≤ t < until, None being open, of everybody or of one key (0: people, and no key)."""
    return between(session, tenant_id, [since or BEGINNING, until or END], api_key_id=api_key_id)[0]


def by_day(
    session: Session, tenant_id: int, first: date, last: date, zone: ZoneInfo, *, api_key_id: int | None = None
) -> list[Day]:
    """Return each day from `first` to `last`, as days go in `zone`: some have 23 or 25 hours."""
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    edges = [datetime(day.year, day.month, day.day, tzinfo=zone) for day in [*days, last + timedelta(days=1)]]
    found = between(session, tenant_id, edges, api_key_id=api_key_id)
    return [Day(*pair) for pair in zip(days, found, strict=True)]


def between(session: Session, tenant_id: int, edges: Sequence[datetime], *, api_key_id: int | None = None) -> list[Sums]:
    """Return the sums between each of the ascending `edges` and the next; an edge belongs to what comes after it."""
    found = [Sums()] * (len(edges) - 1)
    for n, row in quarters.between(session, tenant_id, BETWEEN, edges, key=api_key_id):
        found[n] = Sums(*row)
    return found


def outstanding(session: Session, tenant_id: int, *, at: datetime | None = None) -> int:
    """Return the points that all participants had together just before an instant, or have now."""
    if at is None:
        return sum(tier.points for tier in tier_counts(session, tenant_id))
    return sums(session, tenant_id, None, at).net


def tier_counts(session: Session, tenant_id: int) -> list[TierCount]:
    """Return the tiers that somebody is on, in order; 0 stands for having none."""
    return [TierCount(*row) for row in session.execute(text(TIERS), {"tenant_id": tenant_id})]


def participant_count(session: Session, tenant_id: int) -> int:
    """Return how many participants there are."""
    return sum(tier.participant_count for tier in tier_counts(session, tenant_id))
