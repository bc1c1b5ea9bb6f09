"""Drafts publish themselves when their time has come."""

from datetime import UTC, datetime

from gamify.deployment import Deployment
from gamify.jobs.registry import job
from gamify.services import publishing


@job(every="* * * * *", for_each_tenant=True)
def publish_scheduled(here: Deployment, *, tenant_id: int) -> None:
    """Publish a tenant's draft if it is due."""
    publishing.publish_due(here.database, tenant_id, now=datetime.now(UTC))
