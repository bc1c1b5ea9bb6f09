"""A recalculation whose process is killed goes on where it was, and ends right."""

import subprocess
import sys
import time

import psycopg
import pytest
from gamify.config import Settings
from gamify.services import ledger, recalculations, tiers
from gamify.services.audit import SYSTEM
from gamify.services.ledger import AWARD, Movement
from gamify.services.tiers import Policy

from tests.harness import TenantUnderTest, environment

PEOPLE = 1_500
WORK = """
import sys
from gamify.db import Database
from gamify.services import recalculations
url, tenant_id = sys.argv[1], int(sys.argv[2])
database = Database(lambda: url, owner_url=lambda: url, pool_size=1)
while recalculations.advance(database, tenant_id, most=5):
    pass
print("finished")
"""
PROGRESS = "SELECT done_count FROM recalculations WHERE tenant_id = %s ORDER BY id DESC LIMIT 1"


@pytest.mark.long
def test_a_killed_recalculation_is_taken_up_again(tenant: TenantUnderTest, settings: Settings, owner: psycopg.Connection):
    database = tenant.here.database
    for first in range(0, PEOPLE, 100):
        some = [Movement(AWARD, f"p{n}", 300 + n) for n in range(first, first + 100)]
        ledger.post(database, tenant.id, some)
    with database.transaction(tenant.id) as session:
        policy = Policy("now", "keep")
        tiers.put(session, tenant.id, {"bronze": 0, "silver": 1000, "gold": 1500}, {}, policy=policy, actor=SYSTEM)
        tiers.shut(session, tenant.id)
        recalculations.begin(session, tenant.id)

    def done() -> int:
        [(count,)] = owner.execute(PROGRESS, [tenant.id]).fetchall()
        return count  # type: ignore[no-any-return]

    command = [sys.executable, "-c", WORK, str(settings.database_url), str(tenant.id)]
    for _ in range(3):
        before = done()
        with subprocess.Popen(command, env=environment(settings), stdout=subprocess.PIPE) as process:
            while done() == before:
                assert process.poll() is None
                time.sleep(0.005)
            process.kill()  # in the middle of whatever it does
            assert process.stdout.read() == b""
        ledger.post(database, tenant.id, [Movement(AWARD, f"p{n}", 50) for n in range(200, 700, 10)])
        assert 0 < done() < PEOPLE
        assert tenant.differences() == []
    while recalculations.advance(database, tenant.id):
        pass

    with database.transaction(tenant.id) as session:
        [latest] = recalculations.latest(session, tenant.id)
    assert (latest.done_count, latest.total_count) == (PEOPLE, PEOPLE)
    assert latest.finished_at
    kept = owner.execute("SELECT count(*) FROM tier_holds WHERE tenant_id = %s AND kind = 'keep'", [tenant.id]).fetchone()
    fell = "SELECT count(*) FROM participants WHERE tenant_id = %s AND total_earned BETWEEN 500 AND 999"
    assert kept == owner.execute(fell, [tenant.id]).fetchone()
    stands = (
        "SELECT count(*) FROM participants WHERE tenant_id = %s AND tier <> width_bucket(total_earned, '{0,500,1500}'::bigint[])"
    )
    assert owner.execute(stands, [tenant.id]).fetchone() == (0,)
    assert tenant.differences() == []
