"""The plans that connections keep: made on an empty table, and still right on a full one."""

from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest
from filelock import FileLock
from gamify.app import create_app
from gamify.config import Settings
from gamify.deployment import Deployment
from gamify.embedded import EmbeddedServers
from gamify.services import entries, ledger, reversals
from gamify.services.ledger import AWARD, DEDUCT, Movement
from gamify.services.reversals import Reversal

from tests.harness import make_database, new_tenant, url_of

WORK = """
    SELECT relname, seq_tup_read, idx_scan, idx_tup_fetch FROM pg_stat_user_tables
    WHERE relname IN ('participants', 'ledger_entries', 'idempotency_keys')
"""


@pytest.fixture
def empty(servers: EmbeddedServers, settings: Settings, run_folder, template: str, worker_id: str) -> Iterator[Settings]:
    """A database that was never used, nor looked at by the planner's statistics."""
    name = f"plans_{worker_id}"
    with FileLock(run_folder / "template.lock"):
        make_database(servers, name, template=template)
    yield replace(settings, database_url=url_of(servers, name))
    with psycopg.connect(url_of(servers, "postgres"), autocommit=True) as admin:
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def fresh(empty: Settings) -> Iterator[Deployment]:
    made: Deployment = create_app(empty).extensions["gamify"]
    yield made
    made.close()


def test_no_movement_or_look_up_ever_scans_a_table(fresh: Deployment, empty: Settings):
    tenant = new_tenant(fresh)

    def use(n: int) -> None:
        who, key = f"user_{n}", f"key_{n}"
        [receipt] = ledger.post(fresh.database, tenant.id, [Movement(AWARD, who, 700, idempotency_key=key)])
        ledger.post(fresh.database, tenant.id, [Movement(AWARD, who, 700, idempotency_key=key)])
        ledger.post(fresh.database, tenant.id, [Movement(DEDUCT, f"user_{n - 1}", 5, idempotency_key=f"{key}_b")])
        reversals.reverse(fresh.database, tenant.id, Reversal(receipt.transaction_id, idempotency_key=f"{key}_c"))
        entries.points(fresh.database, tenant.id, who)
        entries.history(fresh.database, tenant.id, who, page=1, page_size=20)

    for n in range(1, 60):
        use(n)
    fresh.close()  # a connection that ends has reported what it did

    with psycopg.connect(str(empty.database_url), autocommit=True) as owner:
        work = {name: figures for name, *figures in owner.execute(WORK)}
    assert set(work) == {"participants", "ledger_entries", "idempotency_keys"}
    for name, (scanned, probes, fetched) in work.items():
        assert probes > 59, f"the statistics of {name} have not been reported"
        assert scanned <= 2 * 59, name
        assert fetched <= 3 * probes, name  # a plan that reads the whole index would fetch thousands
