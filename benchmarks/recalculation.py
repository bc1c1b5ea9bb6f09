"""New tiers for everybody: while a recalculation moves each participant of a large tenant, awards go on nearly as usual.

The recalculation runs in a process of its own, as in a worker, and awards are sent for as long as it takes.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median

from gamify.db import Database
from gamify.services import recalculations, tiers
from gamify.services.audit import SYSTEM

from benchmarks import load
from benchmarks.stage import Stage, Tenant

QUIET = 5.0  # seconds of awards before and after
SLICE = 2.0  # seconds of awards at a time beside it
LEAST = 0.7
LADDER = {"bronze": 0, "silver": 1_000_000, "gold": 2_000_000}  # from which everybody falls


def measure(stage: Stage, url: str, request: Callable[[], bytes], tenant: Tenant) -> dict:
    """Send awards before, beside and after the recalculation; return the bar."""
    before = load.run(url, request, seconds=QUIET).rate
    _publish(stage.database, tenant.id)
    command = [sys.executable, "-m", "benchmarks.recalculation", stage.servers.database_url, str(tenant.id)]
    going_on = subprocess.Popen(command, env=stage.env, stdout=subprocess.PIPE)
    rates = []
    while going_on.poll() is None:
        done = load.run(url, request, seconds=SLICE)
        if bad := sum(n for status, n in done.statuses.items() if status != 200):
            raise SystemExit(f"{bad} awards beside a recalculation: {dict(done.statuses)}")
        rates.append(done.rate)
    told = json.loads(going_on.communicate()[0])
    quiet = median([before, load.run(url, request, seconds=QUIET).rate])
    value = median(rates) / quiet
    text = (
        f"awards while {told['moved']:,} participants change their tier over awards"
        f" ({told['seconds']:.0f} s in all, the longest range {told['longest'] * 1000:.0f} ms)"
    )
    return {"text": text, "value": value, "bound": f"at least {LEAST:g}", "met": value >= LEAST}


def _publish(database: Database, tenant_id: int) -> None:
    with database.transaction(tenant_id) as session:
        tiers.put(session, tenant_id, LADDER, {}, policy=tiers.MOVE_NOW, actor=SYSTEM)
        tiers.shut(session, tenant_id)
        recalculations.begin(session, tenant_id)


def _recalculate(url: str, tenant_id: int) -> None:
    database = Database(lambda: url, owner_url=lambda: url, pool_size=1)
    began, longest, is_more = time.perf_counter(), 0.0, True
    while is_more:
        range_began = time.perf_counter()
        is_more = recalculations.advance(database, tenant_id)
        longest = max(longest, time.perf_counter() - range_began)
    with database.transaction(tenant_id) as session:
        [done] = recalculations.latest(session, tenant_id, most=1)
    database.close()
    print(json.dumps({"seconds": time.perf_counter() - began, "longest": longest, "moved": done.moved_count}))


if __name__ == "__main__":
    _recalculate(sys.argv[1], int(sys.argv[2]))
