"""How close participants are to the next tier."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

from gamify.models import Tier
from gamify.services.figures import MOVED
from gamify.services.quarters import SUMMED

NEAR, NEARER = 0.25, 0.10  # of the way from one threshold to the next

# Standings hold who has no entry that is not summed yet; the others are read from their own rows. Each tier is one
# range of an index, and no longer than what is counted.
COUNT = f"""
    WITH {SUMMED}, {MOVED}, close AS (
        SELECT total_earned FROM participant_standings AS s
        WHERE s.tenant_id = :tenant_id AND s.tier = :tier AND s.total_earned >= :near AND s.total_earned < :next
              AND NOT EXISTS (SELECT FROM moved WHERE moved.id = s.participant_id)
        UNION ALL
        SELECT p.total_earned FROM moved CROSS JOIN LATERAL (
            SELECT tier, total_earned FROM participants WHERE tenant_id = :tenant_id AND id = moved.id OFFSET 0
        ) AS p
        WHERE p.tier = :tier AND p.total_earned >= :near AND p.total_earned < :next
    )
    SELECT count(*), count(*) FILTER (WHERE total_earned >= :nearer) FROM close
"""  # noqa: S608  # our own names


class Closeness(NamedTuple):
    """How many on a tier (None: on none) have a quarter, and a tenth, of the way to the next one left, or less."""

    tier: Tier | None
    next: Tier
    near_from: int  # points earned
    nearer_from: int
    near_count: int
    nearer_count: int


def of(session: Session, tenant_id: int, tiers: Sequence[Tier]) -> list[Closeness]:
    """Return it for each step of a ladder, the lowest first."""
    steps = zip([None, *tiers], tiers, strict=False)
    return [_count(session, tenant_id, tier, above) for tier, above in steps if above.threshold > 0]


def _count(session: Session, tenant_id: int, tier: Tier | None, above: Tier) -> Closeness:
    way = above.threshold - (tier.threshold if tier else 0)
    near, nearer = (above.threshold - int(way * share) for share in (NEAR, NEARER))
    values = {"tenant_id": tenant_id, "tier": tier.number if tier else 0, "near": near, "nearer": nearer, "next": above.threshold}
    near_count, nearer_count = session.execute(text(COUNT), values).one()
    return Closeness(tier, above, near, nearer, near_count, nearer_count)
