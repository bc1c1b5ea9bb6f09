"""`gamify keys`."""

import re
from datetime import UTC, datetime, timedelta

import click

from gamify.cli.shared import as_json, mode, operator_at_terminal, rate_limit, show, with_deployment
from gamify.deployment import Deployment
from gamify.models import ApiKey
from gamify.models.api_key import REQUESTS_A_MINUTE
from gamify.services import api_keys as service
from gamify.services import tenants

UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


class Duration(click.ParamType[timedelta]):
    """A number of hours, days or weeks."""

    name = "duration"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Return the time that `value` says."""
        found = re.fullmatch(r"([1-9]\d{0,4})([hdw])", value, re.ASCII)
        if found is None:
            self.fail(f"{value!r} is no duration such as 12h, 90d or 2w.", param, ctx)
        return int(found[1]) * UNITS[found[2]]


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
@click.option("--expires-in", type=Duration(), help="Such as 12h, 90d or 2w; never unless given.")
@click.option("--allow", "networks", multiple=True, metavar="CIDR", help="May be repeated; from anywhere unless given.")
@as_json
@with_deployment
def create(
    here: Deployment,
    slug: str,
    name: str,
    mode: str,
    scopes: tuple[str, ...],
    rate_limit: int | None,
    expires_in: timedelta | None,
    networks: tuple[str, ...],
    is_json: bool,
) -> None:
    """Create a key; it is shown this once."""
    now = datetime.now(UTC)
    with here.database.transaction() as session:
        key, secret = service.issue(
            session,
            tenants.get(session, slug, mode=mode),
            name=name,
            scopes=scopes,
            rate_limit=REQUESTS_A_MINUTE if rate_limit is None else rate_limit,
            allowed_networks=networks,
            expires_at=now + expires_in if expires_in else None,
            pepper=here.settings.api_key_pepper,
            actor=operator_at_terminal(),
            now=now,
        )
    _show_once(key, secret, is_json=is_json)


@keys.command("list")
@click.argument("slug")
@with_deployment
def list_(here: Deployment, slug: str) -> None:
    """List a tenant's keys, live and test."""
    now = datetime.now(UTC)
    with here.database.transaction() as session:
        for tenant in tenants.both(session, slug):
            for key in service.of_tenant(session, tenant):
                click.echo("\t".join([f"{key.prefix}…{key.last_four}", tenant.mode, *_described(key, now)]))


@keys.command()
@click.argument("prefix")
@click.option(
    "--overlap",
    type=click.Choice(list(service.OVERLAPS)),
    default="24h",
    show_default=True,
    help="How long the old key goes on.",
)
@as_json
@with_deployment
def roll(here: Deployment, prefix: str, overlap: str, is_json: bool) -> None:
    """Replace a key by a new one that may do the same; it is shown this once."""
    with here.database.transaction() as session:
        key, secret = service.roll(
            session,
            prefix,
            overlap=service.OVERLAPS[overlap],
            pepper=here.settings.api_key_pepper,
            actor=operator_at_terminal(),
            now=datetime.now(UTC),
        )
    here.counters.advance(key.tenant_id)
    _show_once(key, secret, is_json=is_json)


@keys.command()
@click.argument("prefix")
@with_deployment
def revoke(here: Deployment, prefix: str) -> None:
    """Put a key out of use at once."""
    with here.database.transaction() as session:
        key = service.revoke(session, prefix, actor=operator_at_terminal())
    here.counters.advance(key.tenant_id)
    click.echo(f"{key.prefix}… is revoked.")


def _show_once(key: ApiKey, secret: str, *, is_json: bool) -> None:
    show({"api_key": secret, "prefix": key.prefix}, is_json=is_json, text=f"{secret}\nKeep it: it is not shown again.")


def _described(key: ApiKey, now: datetime) -> list[str]:
    expiry = f"until {_at(key.expires_at)}" if key.expires_at else "no expiry"
    used = f"used {_at(key.last_used_at)} from {key.last_used_address}" if key.last_used_at else "never used"
    networks = ",".join(key.allowed_networks) or "anywhere"
    return [service.state_of(key, now=now), f"{key.rate_limit}/min", ",".join(key.scopes), networks, expiry, used, key.name]


def _at(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%dT%H:%MZ}"
