"""`gamify rollups`."""

from collections.abc import Iterator

import click

from gamify.cli.shared import with_deployment
from gamify.deployment import Deployment
from gamify.errors import Conflict
from gamify.models import Tenant
from gamify.services import rollups as service
from gamify.services import tenants

PATIENCE = 60.0  # s a tenant; movements that last longer than that are stuck


@click.group()
def rollups() -> None:
    """What is summed from the ledger so that pages need not read it; the server keeps it up by itself."""


@rollups.command()
@click.argument("slug", required=False)
@with_deployment
def rebuild(here: Deployment, slug: str | None) -> None:
    """Derive the rollups of the tenant SLUG and its sandbox anew, or of all; awards go on meanwhile."""
    for tenant in _chosen(here, slug):
        service.rebuild(here.database, tenant.id)
        click.echo(f"{tenant.slug} ({tenant.mode}): derived anew from the ledger.")


@rollups.command()
@click.argument("slug", required=False)
@with_deployment
def advance(here: Deployment, slug: str | None) -> None:
    """Sum what has come into the ledger of the tenant SLUG and its sandbox, or of all."""
    for tenant in _chosen(here, slug):
        if not service.catch_up(here.database, tenant.id, seconds=PATIENCE):
            raise Conflict(f"{tenant.slug} ({tenant.mode}): some is left; call again.")
        click.echo(f"{tenant.slug} ({tenant.mode}): everything is summed.")


def _chosen(here: Deployment, slug: str | None) -> Iterator[Tenant]:
    with here.database.transaction() as session:
        asked = tenants.both(session, slug) if slug else tenants.every(session)
    return (tenant for tenant in asked if tenant.status != tenants.DELETING)
