"""Saved reports are made when they are due, and their recipients told when they are there."""

from collections.abc import Iterator
from datetime import UTC, datetime

from gamify.deployment import Deployment
from gamify.jobs.registry import job
from gamify.services import schedule_mails, schedules


@job(every="* * * * *", for_each_tenant=True)
def begin_reports(here: Deployment, *, tenant_id: int) -> None:
    """Have a tenant's reports made that are due."""
    schedules.begin_due(here.database, tenant_id, now=datetime.now(UTC))


@job()
def mail_export(here: Deployment, *, tenant_id: int, export_id: int) -> Iterator[None]:
    """Tell the recipients of a report that is there; begun again, it goes on with those who were not told."""
    yield from schedule_mails.send(here.database, here.settings.mail_server, tenant_id, export_id)
