"""Jobs that are over for long are forgotten."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from gamify.deployment import Deployment
from gamify.jobs.registry import job
from gamify.services import job_records

KEPT_DAYS = {"succeeded": 7, "cancelled": 30, "aborted": 30, "failed": 30}


@job(every="17 * * * *")
def forget_old_jobs(here: Deployment) -> Iterator[None]:
    """Delete jobs that ended a week ago, or a month if they did not end well."""
    for status, days in KEPT_DAYS.items():
        before = datetime.now(UTC) - timedelta(days=days)
        is_more = True
        while is_more:
            with here.database.transaction() as session:
                is_more = job_records.prune(session, statuses=[status], before=before) > 0
            yield
