"""What was written about participants who are erased goes from their entries."""

from collections.abc import Iterator

from gamify.deployment import Deployment
from gamify.jobs.registry import job
from gamify.services import erasures


@job()
def blank_erased(here: Deployment, *, tenant_id: int) -> Iterator[None]:
    """Blank the words about a tenant's erased participants, a share at a time; begun again, it goes on from the last."""
    while erasures.advance(here.database, tenant_id):
        yield


@job(every="7 * * * *", for_each_tenant=True)
def blank_leftovers(here: Deployment, *, tenant_id: int) -> Iterator[None]:
    """Do the same for whom the job above was given up: no job is tried for ever."""
    yield from blank_erased(here, tenant_id=tenant_id) or ()
