"""A member of the metadata becomes a dimension of reports."""

from collections.abc import Iterator

from gamify.deployment import Deployment
from gamify.jobs.registry import job
from gamify.services.reports import dimensions


@job()
def add_dimensions(here: Deployment, *, tenant_id: int) -> Iterator[None]:
    """Look through a tenant's ledger for each dimension that waits for it."""
    while dimensions.make_ready(here.database, tenant_id):
        yield
