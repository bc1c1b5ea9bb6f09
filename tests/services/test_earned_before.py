"""What counts for a time is looked up by one probe of an index, however long somebody's history is."""

import json

import psycopg
import pytest
from gamify.deployment import Deployment
from gamify.services import ledger
from gamify.services.ledger import AWARD, Movement

from tests.harness import new_tenant

LONG = """
    INSERT INTO ledger_entries (tenant_id, participant_id, seq, id, type, points, balance_after, total_earned_after,
        total_spent_after, ladder_version, tier_before, tier_after, created_at)
    SELECT tenant_id, id, n + 1, entry_id(now()), 'award', 1, n + 1, n + 1, 0, 1, 1, 1, now() - (100000 - n) * interval '1 minute'
    FROM participants, generate_series(1, 100000) AS n WHERE tenant_id = %s AND external_id = 'long'
"""
PROBE = """
    EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON)
    SELECT total_earned_after FROM ledger_entries
    WHERE tenant_id = {tenant} AND participant_id = {participant} AND created_at < now() - interval '{days} days'
    ORDER BY created_at DESC LIMIT 1
"""


@pytest.mark.parametrize("days", [0, 30, 365])
def test_what_was_earned_before_an_instant_is_one_probe(here: Deployment, owner: psycopg.Connection, days: int):
    tenant = new_tenant(here)
    ledger.post(here.database, tenant.id, [Movement(AWARD, "long", 1)])
    with owner.transaction(force_rollback=True):
        owner.execute(LONG, [tenant.id])
        owner.execute("ANALYZE ledger_entries")
        [(participant,)] = owner.execute("SELECT id FROM participants WHERE tenant_id = %s", [tenant.id]).fetchall()
        [(found,)] = owner.execute(PROBE.format(tenant=tenant.id, participant=participant, days=days)).fetchall()
        plan = found[0]["Plan"]
        [scan] = plan["Plans"]
        earned = "SELECT earned_before(%s, %s, now() - %s * interval '1 day')"
        [(before,)] = owner.execute(earned, [tenant.id, participant, days]).fetchall()

    assert scan["Node Type"].startswith("Index"), json.dumps(plan)
    assert scan["Actual Rows"] <= 1
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 12
    assert before == max(0, 100_000 - days * 24 * 60 + (days == 0))
