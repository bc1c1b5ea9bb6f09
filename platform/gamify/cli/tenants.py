"""`gamify tenants`."""

import click

from gamify.cli.shared import as_json, mode, operator_at_terminal, rate_limit, show, with_deployment
from gamify.deployment import Deployment
from gamify.services import tenants as service


@click.group()
def tenants() -> None:
    """Client businesses."""


@tenants.command()
@click.argument("slug")
@click.option("--name", required=True)
@as_json
@with_deployment
def create(here: Deployment, slug: str, name: str, is_json: bool) -> None:
    """Create a tenant with its sandbox and starter tiers."""
    with here.database.transaction() as session:
        tenant = service.create(session, slug=slug, name=name, actor=operator_at_terminal())
    show({"slug": tenant.slug, "name": tenant.name}, is_json=is_json, text=f"Created the tenant {slug} and its sandbox.")


@tenants.command("set")
@click.argument("slug")
@rate_limit
@mode
@with_deployment
def set_(here: Deployment, slug: str, rate_limit: int | None, mode: str) -> None:
    """Change a tenant's limits."""
    with here.database.transaction() as session:
        tenant = service.get(session, slug, mode=mode)
        if rate_limit is not None:
            service.set_rate_limit(session, tenant, rate_limit=rate_limit, actor=operator_at_terminal())
        limit = tenant.rate_limit
    here.counters.advance(tenant.id)
    click.echo(f"{slug} ({mode}): " + (f"{limit} requests a minute." if limit else "no limit."))


@tenants.command("list")
@with_deployment
def list_(here: Deployment) -> None:
    """List tenants and their sandboxes."""
    with here.database.transaction() as session:
        for tenant in service.every(session):
            click.echo(f"{tenant.slug}\t{tenant.mode}\t{tenant.status}\t{tenant.rate_limit}/min\t{tenant.name}")


@tenants.command()
@click.argument("slug")
@with_deployment
def suspend(here: Deployment, slug: str) -> None:
    """Refuse every request of a tenant until it is resumed."""
    _set_status(here, slug, "suspended")


@tenants.command()
@click.argument("slug")
@with_deployment
def resume(here: Deployment, slug: str) -> None:
    """Let a suspended tenant work again."""
    _set_status(here, slug, "active")


def _set_status(here: Deployment, slug: str, status: str) -> None:
    with here.database.transaction() as session:
        changed = [tenant.id for tenant in service.set_status(session, slug, status=status, actor=operator_at_terminal())]
    for tenant_id in changed:
        here.counters.advance(tenant_id)
    click.echo(f"{slug} is {status}.")
