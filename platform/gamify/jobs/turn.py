"""One go at a job: to its end, to where it can be let go, or to an error that is kept."""

import logging
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from procrastinate import BaseRetryStrategy, RetryDecision
from procrastinate.jobs import Job as Queued

from gamify.deployment import Deployment
from gamify.errors import DomainError, Unavailable
from gamify.jobs.registry import Job
from gamify.logs import name_exception
from gamify.services import job_records, tenants

log = logging.getLogger(__name__)

MOST_ATTEMPTS = 50  # about three quarters of an hour of faults
LONGEST_PAUSE = 60  # seconds between two of them

Stopping = Callable[[], bool]


class LetGo(Exception):
    """The worker stops; whoever takes the job up goes on from where it was."""


class Retries(BaseRetryStrategy):
    """Faults of the database pass, so what met one is tried again, less and less soon. Mistakes stay."""

    def get_retry_decision(self, *, exception: BaseException, job: Queued) -> RetryDecision | None:
        """Say when to try again, if at all."""
        now = datetime.now(UTC)
        if isinstance(exception, LetGo):
            return RetryDecision(retry_at=now)
        if isinstance(exception, Unavailable) and job.attempts < MOST_ATTEMPTS:
            return RetryDecision(retry_at=now + timedelta(seconds=min(2**job.attempts, LONGEST_PAUSE)))
        return None


def take(job: Job, here: Deployment, job_id: int, arguments: dict[str, Any], *, is_stopping: Stopping) -> None:
    """Do a queued job. Raises whatever it raises, once that is written down, and `LetGo` when it is to stop."""
    try:
        with here.database.transaction() as session:
            job_records.begin(session, job_id)
        perform(job, here, arguments, is_stopping=is_stopping)
    except LetGo:
        raise
    except Exception as error:
        _note(here, job, job_id, error)
        raise


def perform(job: Job, here: Deployment, arguments: dict[str, Any], *, is_stopping: Stopping) -> None:
    """Do a job, for each tenant if it is such a one. What concerns a tenant that is gone is done already."""
    if job.is_for_each_tenant:
        _for_each_tenant(job, here, arguments, is_stopping)
    elif "tenant_id" not in arguments or _is_there(here, arguments["tenant_id"]):
        _finish(job.run(here, **arguments), is_stopping)


def _for_each_tenant(job: Job, here: Deployment, arguments: dict[str, Any], is_stopping: Stopping) -> None:
    failures: list[Exception] = []
    with here.database.transaction() as session:
        found = [tenant.id for tenant in tenants.every(session) if tenant.status != tenants.DELETING]
    for tenant_id in found:
        if is_stopping():
            raise LetGo
        try:
            _finish(job.run(here, tenant_id=tenant_id, **arguments), is_stopping)
        except LetGo:
            raise
        except Exception as error:  # the others have their turn all the same
            log.warning("a job has failed for a tenant", exc_info=error, extra={"job": job.name, "tenant_id": tenant_id})
            failures.append(error)
    if failures:
        raise next((each for each in failures if not isinstance(each, Unavailable)), failures[0])


def _finish(steps: Iterable[None] | None, is_stopping: Stopping) -> None:
    for _ in steps or ():
        if is_stopping():
            raise LetGo


def _is_there(here: Deployment, tenant_id: int) -> bool:
    with here.database.transaction() as session:
        return tenants.is_there(session, tenant_id)


def _note(here: Deployment, job: Job, job_id: int, error: Exception) -> None:
    level = logging.WARNING if isinstance(error, Unavailable) else logging.ERROR
    log.log(level, "a job did not end well", exc_info=error, extra={"job": job.name, "job_id": job_id})
    try:
        with here.database.transaction() as session:
            job_records.note_error(session, job_id, describe(error))
    except Unavailable:
        log.debug("nobody can write down why", exc_info=True)


def describe(error: Exception) -> str:
    """What may be shown of an error: the sentence of a refusal, or its kind and where it came from, never its text."""
    if isinstance(error, DomainError):
        return f"{type(error).__name__}: {error}"
    told = name_exception(None, "", {"exc_info": error})
    return f"{told['error']} at {told['at']}" if "at" in told else str(told["error"])
