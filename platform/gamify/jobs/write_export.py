"""A file is made that somebody has asked for; what has expired is removed."""

from collections.abc import Iterator
from datetime import UTC, datetime

from gamify.deployment import Deployment
from gamify.jobs.registry import job
from gamify.services import export_files, export_job, exports


@job()
def write_export(here: Deployment, *, tenant_id: int, export_id: int) -> Iterator[None]:
    """Make an export's file; stopped or killed, it is made anew, for it is of one moment."""
    here.rollups.catch_up(tenant_id)
    yield from export_job.make(here.database, here.settings.exports_folder, tenant_id, export_id)


@job(every="37 * * * *", for_each_tenant=True)
def expire_exports(here: Deployment, *, tenant_id: int) -> None:
    """Remove a tenant's exports that have expired, and files that belong to none."""
    with here.database.transaction(tenant_id) as session:
        left = exports.expire(session, tenant_id, now=datetime.now(UTC))
    export_files.remove_strays(here.settings.exports_folder, tenant_id, left)
