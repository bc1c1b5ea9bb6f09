"""Moving a tenant's whole past back, which is the same to it as moving the clock forward."""

from datetime import timedelta

import psycopg
from gamify.services import rollups

from tests.harness import TenantUnderTest

# Ids hold the time of their entries, so they move with it, and so does whatever names them.
SHIFT = """
    CREATE TEMP TABLE moved ON COMMIT DROP AS
        SELECT id, entry_id(created_at - %(by)s) AS new_id FROM ledger_entries WHERE tenant_id = %(tenant)s;
    UPDATE ledger_entries AS e SET created_at = created_at - %(by)s, id = m.new_id,
           reverses = (SELECT new_id FROM moved WHERE moved.id = e.reverses)
        FROM moved AS m WHERE e.tenant_id = %(tenant)s AND m.id = e.id;
    UPDATE idempotency_keys AS k SET entry_id = m.new_id FROM moved AS m WHERE k.tenant_id = %(tenant)s AND m.id = k.entry_id;
    UPDATE participants SET last_entry_at = last_entry_at - %(by)s, created_at = created_at - %(by)s WHERE tenant_id = %(tenant)s;
    UPDATE tier_changes SET at = at - %(by)s WHERE tenant_id = %(tenant)s;
    UPDATE tier_holds SET until = until - %(by)s, created_at = created_at - %(by)s WHERE tenant_id = %(tenant)s;
    UPDATE ladders SET created_at = created_at - %(by)s, kept_until = kept_until - %(by)s WHERE tenant_id = %(tenant)s;
"""


def pass_by(owner: psycopg.Connection, tenant: TenantUnderTest, by: timedelta) -> dict[str, str]:
    """Let time pass for a live tenant; return the new ids of its entries by the old ones."""
    with owner.transaction():
        owner.execute("SET LOCAL session_replication_role = replica")
        for statement in SHIFT.split(";\n"):
            if statement.strip():
                owner.execute(statement, {"by": by, "tenant": tenant.id})
        ids = dict(owner.execute("SELECT id::text, new_id::text FROM moved").fetchall())
    rollups.rebuild(tenant.here.database, tenant.id)
    return ids
