"""`gamify keys`."""

import click

from gamify.cli.shared import as_json, mode, operator_at_terminal, rate_limit, show, with_deployment
from gamify.deployment import Deployment
from gamify.models.api_key import REQUESTS_A_MINUTE
from gamify.services import api_keys as service
from gamify.services import tenants


@click.group()
def keys() -> None:
    """API keys of a tenant."""


@keys.command()
@click.argument("slug")
@click.option("--name", required=True)
@mode
@click.option(
    "--scope", "scopes", multiple=True, type=click.Choice(service.SCOPES), help="May be repeated; every scope unless given."
)
@rate_limit
@as_json
@with_deployment
def create(
    here: Deployment, slug: str, name: str, mode: str, scopes: tuple[str, ...], rate_limit: int | None, is_json: bool
) -> None:
    """Create a key; it is shown this once."""
    limit = REQUESTS_A_MINUTE if rate_limit is None else rate_limit
    with here.database.transaction() as session:
        tenant = tenants.get(session, slug, mode=mode)
        key, secret = service.issue(
            session,
            tenant,
            name=name,
            scopes=scopes,
            rate_limit=limit,
            pepper=here.settings.api_key_pepper,
            actor=operator_at_terminal(),
        )
    show({"api_key": secret, "prefix": key.prefix}, is_json=is_json, text=f"{secret}\nKeep it: it is not shown again.")


@keys.command("list")
@click.argument("slug")
@with_deployment
def list_(here: Deployment, slug: str) -> None:
    """List a tenant's keys, live and test."""
    with here.database.transaction() as session:
        for tenant in tenants.both(session, slug):
            for key in service.of_tenant(session, tenant):
                state = "revoked" if key.revoked_at else "valid"
                scopes = ",".join(key.scopes)
                click.echo(f"{key.prefix}…{key.last_four}\t{tenant.mode}\t{state}\t{key.rate_limit}/min\t{scopes}\t{key.name}")


@keys.command()
@click.argument("prefix")
@with_deployment
def revoke(here: Deployment, prefix: str) -> None:
    """Put a key out of use at once."""
    with here.database.transaction() as session:
        key = service.revoke(session, prefix, actor=operator_at_terminal())
    here.counters.advance(key.tenant_id)
    click.echo(f"{key.prefix}… is revoked.")
