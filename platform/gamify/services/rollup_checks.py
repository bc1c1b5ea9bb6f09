"""What rollups must be: queries for `verification`, on one snapshot. Those for a tenant have no participant and no entry."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from gamify.models import RollupProgress
from gamify.services.measures import BEGINNING, KEY, MEASURES, MOVEMENTS, QUARTER, selected, step
from gamify.services.rollup_parts import (
    ACTIVE,
    ACTIVITY_BEFORE,
    COHORT,
    FLOW,
    FLOW_MEASURES,
    SAID,
    SIZE_MEASURES,
    WORD_ID,
)
from gamify.services.rollups import RULES

STANDING = ("participant_count", "points")

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


def _compared(table: str, keys: Sequence[str], columns: Iterable[str], derived: str, label: str) -> str:
    """A query for what differs between the rows of a rollup and what they must be; `label` says which row, by its keys."""
    each = ", ".join(f"('{name}', COALESCE(stored.{name}, 0), COALESCE(derived.{name}, 0))" for name in columns)
    return f"""
        WITH stored AS (SELECT * FROM {table} WHERE tenant_id = :tenant_id), derived AS ({derived})
        SELECT NULL::bigint, NULL::bigint, {label} || ': ' || each.what, each.stored::text, each.derived::text
        FROM stored FULL JOIN derived USING ({", ".join(keys)})
        CROSS JOIN LATERAL (VALUES {each}) AS each (what, stored, derived)
        WHERE each.stored <> each.derived
        ORDER BY {", ".join(keys)}
        LIMIT :most
    """


WHEN = """to_char(quarter AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24"h"MI') || ' UTC, """
_BEFORE = "tenant_id = :tenant_id AND id < first_entry_id(:summed_until)"
_ENTRIES = f"(SELECT * FROM ledger_entries WHERE {_BEFORE})"
_EVENTS = "tier_events_before(:tenant_id, :summed_until)"
QUARTERS = _compared(
    "ledger_quarters",
    ("quarter", "api_key_id"),
    MEASURES,
    f"SELECT {QUARTER} AS quarter, {KEY} AS api_key_id, {selected(MEASURES)} FROM ledger_entries WHERE {_BEFORE} GROUP BY 1, 2",
    f"{WHEN}key ' || api_key_id",
)
TIER_STANDINGS = _compared(
    "tier_standings",
    ("tier",),
    STANDING,
    "SELECT tier, count(*) AS participant_count, sum(balance) AS points"
    " FROM participant_standings WHERE tenant_id = :tenant_id GROUP BY tier",
    "'tier ' || tier || ' of standings'",
)
BALANCE_STANDINGS = _compared(
    "balance_standings",
    ("step",),
    STANDING,
    f"SELECT {step('balance')} AS step, count(*) AS participant_count, sum(balance) AS points"
    " FROM participant_standings WHERE tenant_id = :tenant_id GROUP BY 1",
    "'balances of step ' || step",
)
TIER_QUARTERS = _compared(
    "tier_quarters",
    ("quarter", "tier"),
    MOVEMENTS,
    f"SELECT {QUARTER} AS quarter, tier_before AS tier, {selected(MOVEMENTS)}"
    f" FROM {_EVENTS} WHERE type IS NOT NULL GROUP BY 1, 2",
    f"{WHEN}movements on tier ' || tier",
)
TIER_FLOWS = _compared(
    "tier_flow_quarters",
    ("quarter", "tier_from", "tier_to"),
    FLOW_MEASURES,
    f"SELECT {QUARTER} AS quarter, flow.tier_from, flow.tier_to, {selected(FLOW_MEASURES)}"
    f" FROM {_EVENTS} AS event {FLOW} GROUP BY 1, 2, 3",
    f"{WHEN}from tier ' || tier_from || ' to ' || tier_to",
)
WORDS = _compared(
    "word_quarters",
    ("quarter", "dimension", "word_id"),
    MOVEMENTS,
    f"SELECT {QUARTER} AS quarter, d.number AS dimension, {WORD_ID} AS word_id, {selected(MOVEMENTS)}"
    f" {SAID.format(entries=_ENTRIES)} GROUP BY 1, 2, 3",
    f"{WHEN}dimension ' || dimension || ', word ' || word_id",
)
ACTIVITY = _compared(
    "activity_days",
    ("day", "cohort"),
    ACTIVE,
    f"SELECT at::date AS day, {COHORT} AS cohort, {selected(ACTIVE)}"
    f" FROM ({ACTIVITY_BEFORE.format(until=':summed_until')}) AS entry"
    " WHERE past_at IS NULL OR past_at::date < at::date GROUP BY 1, 2",
    "day || ', cohort ' || cohort",
)
SIZES = _compared(
    "award_size_days",
    ("day", "step"),
    SIZE_MEASURES,
    f"SELECT (created_at AT TIME ZONE :zone)::date AS day, {step('points')} AS step, {selected(SIZE_MEASURES)}"
    f" FROM ledger_entries WHERE {_BEFORE} AND type = 'award' GROUP BY 1, 2",
    "day || ', awards of step ' || step",
)
PROGRESS = """
    SELECT NULL::bigint, NULL::bigint, 'rollups: planned_until', planned_until::text, 'not before ' || summed_until
    FROM rollup_progress WHERE tenant_id = :tenant_id AND planned_until < summed_until
"""
OF_TENANT = (PROGRESS, QUARTERS, STRAY, TIER_STANDINGS)
OF_REPORTS = (BALANCE_STANDINGS, TIER_QUARTERS, TIER_FLOWS, WORDS, ACTIVITY, SIZES)


def of_tenant(session: Session, tenant_id: int) -> tuple[str, ...]:
    """Return the queries for a tenant; what older rules have made waits to be derived anew, and has less in it."""
    made_by = session.scalar(select(RollupProgress.made_by).where(RollupProgress.tenant_id == tenant_id))
    return OF_TENANT + (OF_REPORTS if made_by in (None, RULES) else ())


def progress(session: Session, tenant_id: int) -> tuple[datetime, str]:
    """Return the instant up to which rollups must agree with the ledger, and the zone whose days they have."""
    query = select(RollupProgress.summed_until, RollupProgress.time_zone).where(RollupProgress.tenant_id == tenant_id)
    found = session.execute(query).one_or_none()
    return (found.summed_until, found.time_zone) if found else (BEGINNING, "UTC")
