"""Records of jobs: what is queued, what has failed and why, what can be tried again, and what can go."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from gamify.errors import Conflict, NotFound
from gamify.models import JobError

STATUSES = ("todo", "doing", "succeeded", "failed", "cancelled", "aborted")
UNSUCCESSFUL = ("failed", "cancelled", "aborted")
AT_ONCE = 5_000  # jobs deleted in a transaction

FIND = text("""
    SELECT job.id, job.task_name AS name, job.status::text, (job.args ->> 'tenant_id')::bigint AS tenant_id,
           job.args, job.attempts, job.scheduled_at AS due_at,
           (SELECT min(at) FROM procrastinate_events WHERE job_id = job.id AND type = 'deferred') AS queued_at,
           (SELECT max(at) FROM procrastinate_events
            WHERE job_id = job.id AND type IN ('succeeded', 'failed', 'cancelled', 'aborted')) AS ended_at,
           CASE WHEN job.status <> 'succeeded' THEN error END AS error
    FROM procrastinate_jobs AS job LEFT JOIN job_errors ON job_id = job.id
    WHERE job.status::text = ANY(:statuses)
          AND (CAST(:tenants AS bigint[]) IS NULL OR (job.args ->> 'tenant_id')::bigint = ANY(:tenants))
    ORDER BY job.id DESC LIMIT :most
""")
# Without its queueing lock a job goes back into the queue whatever has been queued meanwhile.
TRY_AGAIN = """
    UPDATE procrastinate_jobs SET status = 'todo', attempts = 0, scheduled_at = NULL, queueing_lock = NULL
    WHERE status::text = ANY(:statuses)
"""
# A worker that has not been heard of is dead, or cut off, and its connections with it. What another process takes up
# meanwhile is looked at again when its row is locked, and no longer stalled then.
TAKE_UP = text("""
    WITH stalled AS (
        SELECT id FROM procrastinate_jobs AS job
        WHERE status = 'doing' AND NOT EXISTS (
            SELECT FROM procrastinate_workers AS worker WHERE worker.id = job.worker_id
            AND worker.last_heartbeat > clock_timestamp() - make_interval(secs => :seconds))
        FOR UPDATE SKIP LOCKED
    )
    UPDATE procrastinate_jobs AS job
    SET status = 'todo', attempts = attempts + 1, worker_id = NULL, queueing_lock = NULL, abort_requested = false
    FROM stalled WHERE stalled.id = job.id RETURNING job.id
""")
BEGUN = text("UPDATE procrastinate_jobs SET queueing_lock = NULL WHERE id = :id")
PRUNE = text("""
    WITH gone AS (
        DELETE FROM procrastinate_jobs WHERE id IN (
            SELECT id FROM procrastinate_jobs AS job
            WHERE status::text = ANY(:statuses)
                  AND NOT EXISTS (SELECT FROM procrastinate_events WHERE job_id = job.id AND at >= :before)
            LIMIT :most FOR UPDATE SKIP LOCKED)
        RETURNING id
    ), errors AS (
        DELETE FROM job_errors USING gone WHERE job_id = gone.id
    )
    SELECT count(*) FROM gone
""")


@dataclass(frozen=True, slots=True)
class JobRecord:
    """A job as it stands; `attempts` are the goes it has had, `error` is what ended the last one."""

    id: int
    name: str
    status: str
    tenant_id: int | None
    args: Mapping[str, Any]
    attempts: int
    due_at: datetime | None
    queued_at: datetime | None
    ended_at: datetime | None
    error: str | None


def find(
    session: Session, *, statuses: Sequence[str] = STATUSES, tenant_ids: Sequence[int] | None = None, most: int = 50
) -> list[JobRecord]:
    """Return the newest jobs, of some tenants or of all."""
    tenants = None if tenant_ids is None else list(tenant_ids)
    found = session.execute(FIND, {"statuses": list(statuses), "tenants": tenants, "most": most})
    return [JobRecord(**row) for row in found.mappings()]


def retry(session: Session, job_id: int) -> None:
    """Queue a job that has ended without success once more. Raises `NotFound`, and `Conflict` for any other job."""
    asked = {"id": job_id, "statuses": list(UNSUCCESSFUL)}
    if session.execute(text(f"{TRY_AGAIN} AND id = :id RETURNING id"), asked).scalar() is None:
        status = session.scalar(text("SELECT status::text FROM procrastinate_jobs WHERE id = :id"), {"id": job_id})
        if status is None:
            raise NotFound(f"There is no job {job_id}.")
        raise Conflict(f"The job {job_id} is {status}; only one that has failed can be tried again.")


def retry_failed(session: Session) -> int:
    """Queue every job that has failed once more, and return how many there were."""
    return len(session.execute(text(f"{TRY_AGAIN} RETURNING id"), {"statuses": ["failed"]}).all())


def take_up(session: Session, *, unheard_for: float) -> list[int]:
    """Queue the jobs of workers not heard of for so many seconds, and return their numbers."""
    return list(session.scalars(TAKE_UP, {"seconds": unheard_for}))


def begin(session: Session, job_id: int) -> None:
    """Note that a job has begun: the same work may be queued anew from now on, and this one go back into the queue."""
    session.execute(BEGUN, {"id": job_id})


def note_error(session: Session, job_id: int, error: str) -> None:
    """Remember what has ended a go at a job."""
    added = insert(JobError).values(job_id=job_id, error=error)
    session.execute(added.on_conflict_do_update(index_elements=[JobError.job_id], set_={"error": error, "at": added.excluded.at}))


def prune(session: Session, *, statuses: Sequence[str], before: datetime) -> int:
    """Delete some of the jobs with these statuses that ended before; return how many, which is 0 when none is left."""
    return int(session.execute(PRUNE, {"statuses": list(statuses), "before": before, "most": AT_ONCE}).scalar_one())
