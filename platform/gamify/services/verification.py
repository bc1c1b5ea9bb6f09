"""Verification: what participants hold, derived anew from the ledger alone."""

from typing import Any, NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

from gamify.db import act_as
from gamify.models import Tenant

MOST_DIFFERENCES = 1000  # of a tenant; a broken deployment should not fill the memory

# Each entry must follow from the one before it: `seq` without a gap, totals by the entry's own points, time forwards,
# tiers from the totals by the ladder the entry names. The first must start from nothing.
ENTRIES = text(
    """
    WITH step AS (
        SELECT e.*, l.thresholds,
               lag(seq, 1, 0::bigint) OVER same AS seq_before,
               lag(balance_after, 1, 0::bigint) OVER same AS balance_before,
               lag(total_earned_after, 1, 0::bigint) OVER same AS earned_before,
               lag(total_spent_after, 1, 0::bigint) OVER same AS spent_before,
               lag(e.created_at) OVER same AS at_before
        FROM ledger_entries AS e
        LEFT JOIN ladders AS l ON l.tenant_id = e.tenant_id AND l.version = e.ladder_version
        WHERE e.tenant_id = :tenant_id
        WINDOW same AS (PARTITION BY participant_id ORDER BY seq)
    ), checked AS (
        SELECT participant_id, seq, wrong.what, wrong.is_value, wrong.should
        FROM step CROSS JOIN LATERAL (VALUES
            ('seq', seq::text, (seq_before + 1)::text),
            ('points', sign(points)::text, CASE type WHEN 'award' THEN '1' ELSE '-1' END),
            ('balance_after', balance_after::text, (balance_before + points)::text),
            ('total_earned_after', total_earned_after::text, (earned_before + GREATEST(points, 0))::text),
            ('total_spent_after', total_spent_after::text, (spent_before + GREATEST(-points, 0))::text),
            ('tier_before', tier_before::text, COALESCE(width_bucket(earned_before, thresholds), 0)::text),
            ('tier_after', tier_after::text, COALESCE(width_bucket(total_earned_after, thresholds), 0)::text),
            ('created_at', created_at::text, GREATEST(created_at, at_before)::text)
        ) AS wrong (what, is_value, should)
        WHERE wrong.is_value IS DISTINCT FROM wrong.should
    )
    SELECT p.external_id, c.seq, c.what, c.is_value, c.should
    FROM checked AS c LEFT JOIN participants AS p ON p.tenant_id = :tenant_id AND p.id = c.participant_id
    ORDER BY c.participant_id, c.seq LIMIT :most
    """
)

# And each participant must stand where its last entry left it, on the ladder in force.
PARTICIPANTS = text(
    """
    WITH ladder AS (
        SELECT COALESCE((SELECT thresholds FROM ladders WHERE tenant_id = :tenant_id ORDER BY version DESC LIMIT 1), '{}') AS now
    )
    SELECT p.external_id, NULL::bigint, wrong.what, wrong.is_value, wrong.should
    FROM participants AS p CROSS JOIN ladder
    LEFT JOIN LATERAL (
        SELECT e.* FROM ledger_entries AS e
        WHERE e.tenant_id = :tenant_id AND e.participant_id = p.id ORDER BY seq DESC LIMIT 1
    ) AS last ON true
    CROSS JOIN LATERAL (VALUES
        ('balance', p.balance::text, COALESCE(last.balance_after, 0)::text),
        ('total_earned', p.total_earned::text, COALESCE(last.total_earned_after, 0)::text),
        ('total_spent', p.total_spent::text, COALESCE(last.total_spent_after, 0)::text),
        ('entry_count', p.entry_count::text, COALESCE(last.seq, 0)::text),
        ('last_entry_at', p.last_entry_at::text, COALESCE(last.created_at, p.last_entry_at)::text),
        ('tier', p.tier::text, width_bucket(COALESCE(last.total_earned_after, 0), ladder.now)::text)
    ) AS wrong (what, is_value, should)
    WHERE p.tenant_id = :tenant_id AND wrong.is_value IS DISTINCT FROM wrong.should
    ORDER BY p.id LIMIT :most
    """
)


class Difference(NamedTuple):
    """Something stored that does not follow from the ledger; `seq` is None for a participant's own row."""

    tenant: str
    mode: str
    participant_id: str
    seq: int | None
    what: str
    is_value: str
    should: str

    @property
    def sentence(self) -> str:
        """One line for a person."""
        where = f"entry {self.seq}" if self.seq is not None else "participant"
        return (
            f"{self.tenant} ({self.mode}) {self.participant_id!r} {where}:"
            f" {self.what} is {self.is_value}, should be {self.should}"
        )


class Report(NamedTuple):
    """What verifying one tenant has found."""

    entry_count: int
    differences: list[Difference]


def verify(session: Session, tenant: Tenant) -> Report:
    """Compare everything of a tenant with its ledger, on one snapshot (so awards may go on meanwhile)."""
    session.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
    session.execute(text("SET LOCAL statement_timeout = 0"))
    act_as(session, tenant.id)
    values: dict[str, Any] = {"tenant_id": tenant.id, "most": MOST_DIFFERENCES}
    count = text("SELECT count(*) FROM ledger_entries WHERE tenant_id = :tenant_id")
    found = [row for query in (ENTRIES, PARTICIPANTS) for row in session.execute(query, values)]
    return Report(session.scalars(count, values).one(), [Difference(tenant.slug, tenant.mode, *row) for row in found])
