"""What was to hold participants on their tiers until a time ends then."""

from collections.abc import Iterator
from datetime import UTC, datetime

from gamify.deployment import Deployment
from gamify.jobs.registry import job
from gamify.services import holds


@job(every="* * * * *", for_each_tenant=True)
def end_holds(here: Deployment, *, tenant_id: int) -> Iterator[None]:
    """End a tenant's holds that are over, so many at a time."""
    count = holds.AT_ONCE
    while count:
        with here.database.transaction(tenant_id) as session:
            count = holds.end_due(session, tenant_id, now=datetime.now(UTC))
        yield
