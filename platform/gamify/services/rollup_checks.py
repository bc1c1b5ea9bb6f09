"""What rollups must be: queries for `verification`, on one snapshot. Those for a tenant have no participant and no entry."""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from gamify.models import RollupProgress
from gamify.services.rollups import BEGINNING, KEY, MEASURES, OF_ENTRIES, QUARTER

TIERS = ("participant_count", "points")

# Standings of participants without entries that are not summed; nobody looks at the others' but to count them.
STANDINGS = """
    SELECT p.id, NULL::bigint, 'standing: ' || each.what, each.stored, each.derived
    FROM participants AS p
    LEFT JOIN participant_standings AS s ON s.tenant_id = :tenant_id AND s.participant_id = p.id
    CROSS JOIN LATERAL (VALUES
        ('presence', CASE WHEN s.participant_id IS NULL THEN 'missing' ELSE 'there' END, 'there'),
        ('tier', COALESCE(s.tier, p.tier)::text, p.tier::text),
        ('balance', COALESCE(s.balance, p.balance)::text, p.balance::text),
        ('total_earned', COALESCE(s.total_earned, p.total_earned)::text, p.total_earned::text),
        ('last_entry_at', COALESCE(s.last_entry_at, p.last_entry_at)::text, p.last_entry_at::text)
    ) AS each (what, stored, derived)
    WHERE p.tenant_id = :tenant_id AND p.id > :after AND p.id <= :until AND p.last_entry_at < :summed_until
          AND each.stored <> each.derived
    LIMIT :most
"""
STRAY = """
    SELECT s.participant_id, NULL::bigint, 'standing: presence', 'there', 'missing'
    FROM participant_standings AS s
    WHERE s.tenant_id = :tenant_id
          AND NOT EXISTS (SELECT FROM participants AS p WHERE p.tenant_id = :tenant_id AND p.id = s.participant_id)
    LIMIT :most
"""
QUARTERS = f"""
    WITH stored AS (SELECT * FROM ledger_quarters WHERE tenant_id = :tenant_id), derived AS (
        SELECT {QUARTER} AS quarter, {KEY} AS api_key_id, {OF_ENTRIES}
        FROM ledger_entries WHERE tenant_id = :tenant_id AND id < first_entry_id(:summed_until)
        GROUP BY 1, 2
    )
    SELECT NULL::bigint, NULL::bigint,
           to_char(quarter AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24"h"MI') || ' UTC, key ' || api_key_id || ': ' || each.what,
           each.stored::text, each.derived::text
    FROM stored FULL JOIN derived USING (quarter, api_key_id)
    CROSS JOIN LATERAL (VALUES
        {", ".join(f"('{name}', COALESCE(stored.{name}, 0), COALESCE(derived.{name}, 0))" for name in MEASURES)}
    ) AS each (what, stored, derived)
    WHERE each.stored <> each.derived
    ORDER BY quarter, api_key_id
    LIMIT :most
"""  # noqa: S608  # our own names
TIER_STANDINGS = f"""
    WITH stored AS (SELECT * FROM tier_standings WHERE tenant_id = :tenant_id), derived AS (
        SELECT tier, count(*) AS participant_count, sum(balance) AS points
        FROM participant_standings WHERE tenant_id = :tenant_id GROUP BY tier
    )
    SELECT NULL::bigint, NULL::bigint, 'tier ' || tier || ' of standings: ' || each.what, each.stored::text, each.derived::text
    FROM stored FULL JOIN derived USING (tier)
    CROSS JOIN LATERAL (VALUES
        {", ".join(f"('{name}', COALESCE(stored.{name}, 0), COALESCE(derived.{name}, 0))" for name in TIERS)}
    ) AS each (what, stored, derived)
    WHERE each.stored <> each.derived
    ORDER BY tier
"""  # noqa: S608  # our own names
PROGRESS = """
    SELECT NULL::bigint, NULL::bigint, 'rollups: planned_until', planned_until::text, 'not before ' || summed_until
    FROM rollup_progress WHERE tenant_id = :tenant_id AND planned_until < summed_until
"""
OF_TENANT = (PROGRESS, QUARTERS, STRAY, TIER_STANDINGS)


def summed_until(session: Session, tenant_id: int) -> datetime:
    """Return the instant up to which rollups must agree with the ledger."""
    found = session.scalar(select(RollupProgress.summed_until).where(RollupProgress.tenant_id == tenant_id))
    return found or BEGINNING
