"""`gamify jobs`."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import click
from sqlalchemy.orm import Session

from gamify.cli.shared import as_json, show, with_deployment
from gamify.deployment import Deployment
from gamify.services import job_records as service
from gamify.services import tenants
from gamify.services.job_records import JobRecord


@click.group()
def jobs() -> None:
    """Background jobs: what is queued, what runs, what has failed."""


@jobs.command("list")
@click.option("--status", "statuses", multiple=True, type=click.Choice(service.STATUSES), help="Only these; may be repeated.")
@click.option("--failed", is_flag=True, help="Short for --status failed.")
@click.option("--tenant", "slug", metavar="SLUG", help="Only those of a tenant and its sandbox.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000), help="The newest so many.")
@as_json
@with_deployment
def list_(here: Deployment, statuses: tuple[str, ...], failed: bool, slug: str | None, limit: int, is_json: bool) -> None:
    """List jobs, newest first."""
    wanted = [*statuses, *(["failed"] if failed else [])] or service.STATUSES
    with here.database.transaction() as session:
        found = service.find(session, statuses=wanted, tenant_ids=_tenants(session, slug), most=limit)
    show({"jobs": [_plain(each) for each in found]}, is_json=is_json, text="\n".join(map(_line, found)) or "There are none.")


@jobs.command()
@click.argument("job_id", metavar="[ID]", required=False, type=int)
@click.option("--failed", "is_all", is_flag=True, help="Every job that has failed.")
@with_deployment
def retry(here: Deployment, job_id: int | None, is_all: bool) -> None:
    """Try the job ID, or every one that has failed, once more."""
    if (job_id is None) != is_all:
        raise click.UsageError("Name one job by its number, or say --failed.")
    with here.database.transaction() as session:
        if job_id is None:
            click.echo(f"Queued again: {service.retry_failed(session)}.")
        else:
            service.retry(session, job_id)
            click.echo(f"The job {job_id} is queued again.")


@jobs.command()
@click.option("--older-than", "days", default=7, show_default=True, type=click.IntRange(0, 36_500), metavar="DAYS")
@with_deployment
def prune(here: Deployment, days: int) -> None:
    """Delete jobs that ended so many days ago, well or not; a worker does so by itself after a week, or a month."""
    before, count = datetime.now(UTC) - timedelta(days=days), 0
    while True:
        with here.database.transaction() as session:
            gone = service.prune(session, statuses=("succeeded", *service.UNSUCCESSFUL), before=before)
        count += gone
        if not gone:
            break
    click.echo(f"Deleted: {count}.")


def _tenants(session: Session, slug: str | None) -> Sequence[int] | None:
    return [tenant.id for tenant in tenants.both(session, slug)] if slug else None


def _plain(record: JobRecord) -> dict[str, object]:
    told = asdict(record).items()
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in told}


def _line(record: JobRecord) -> str:
    arguments = " ".join(f"{name}={value}" for name, value in record.args.items() if name != "timestamp")
    when = record.ended_at or record.due_at or record.queued_at
    parts = [str(record.id), record.status, record.name, arguments, f"{when:%Y-%m-%d %H:%M:%S}Z" if when else ""]
    return "\t".join([*parts, record.error or ""]).rstrip()
