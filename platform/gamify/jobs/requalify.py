"""Points that count for a time only run out; then everybody is qualified anew."""

from datetime import UTC, datetime

from gamify.deployment import Deployment
from gamify.jobs.registry import job
from gamify.services import requalification


@job(every="1 * * * *", for_each_tenant=True)
def requalify(here: Deployment, *, tenant_id: int) -> None:
    """Begin to qualify a tenant's participants anew, if it is time to."""
    with here.database.transaction(tenant_id) as session:
        requalification.begin_due(session, tenant_id, now=datetime.now(UTC))
