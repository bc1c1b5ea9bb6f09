"""Work for later, queued by its name in the transaction of whoever asks for it: done if that commits, else never.

What the names stand for is in `gamify.jobs`, which services do not know.
"""

import json
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

# Each name is a queue of its own, so that a worker of an older release takes no job that it does not know. The row that
# is queued already is locked, so that no worker takes it and misses what this transaction has not committed yet.
DEFER = text("""
    INSERT INTO procrastinate_jobs (queue_name, task_name, priority, lock, queueing_lock, args, scheduled_at)
    VALUES (:name, :name, :priority, :lock, :same, CAST(:args AS jsonb), :at)
    ON CONFLICT (queueing_lock) WHERE status = 'todo' DO UPDATE SET queueing_lock = EXCLUDED.queueing_lock
    RETURNING id
""")


def defer(
    session: Session,
    name: str,
    /,
    *,
    tenant_id: int | None = None,
    lock: str | None = None,
    at: datetime | None = None,
    **arguments: Any,
) -> int:
    """Queue the job `name` with these arguments, not before `at`, and return its number.

    The same work is queued once, however often it is asked for before it begins. Jobs with one lock run one after the
    other, those of a tenant always unless another lock is named. They may run twice: after a kill, they begin again.
    """
    if tenant_id is not None:
        arguments = {"tenant_id": tenant_id, **arguments}
        lock = lock or lock_of(tenant_id)
    written = json.dumps(arguments, sort_keys=True)
    values = {
        "name": name,
        "priority": _priority(at),
        "lock": lock,
        "same": f"{name} {written}" + (f" {at.isoformat()}" if at else ""),
        "args": written,
        "at": at,
    }
    return int(session.execute(DEFER, values).scalar_one())


def lock_of(tenant_id: int) -> str:
    """The lock under which a tenant's jobs run one at a time."""
    return f"tenant {tenant_id}"


def _priority(at: datetime | None) -> int:
    """The later, the lower: a job waits for all of its lock that are queued before it, but only while they rank as high.

    Otherwise what is due next week would hold up whatever is queued after it.
    """
    return -int(at.timestamp() // 60) if at else 0
