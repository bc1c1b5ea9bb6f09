"""`gamify tiers`."""

import click

from gamify.cli.shared import mode, operator_at_terminal, with_deployment
from gamify.db import act_as
from gamify.deployment import Deployment
from gamify.services import tenants
from gamify.services import tiers as service


@click.group()
def tiers() -> None:
    """The tiers of a tenant."""


@tiers.command("set")
@click.argument("slug")
@click.argument("tiers", nargs=-1, required=True, metavar="CODE=THRESHOLD...")
@mode
@with_deployment
def set_(here: Deployment, slug: str, tiers: tuple[str, ...], mode: str) -> None:
    """Replace the tiers, for example: bronze=0 silver=500 gold=1500. Everyone is re-evaluated, down too."""
    thresholds = dict(_read(tier) for tier in tiers)
    if len(thresholds) < len(tiers):
        raise click.UsageError("A code is given twice.")
    with here.database.transaction() as session:
        tenant = tenants.get(session, slug, mode=mode)
        act_as(session, tenant.id)
        ladder = service.replace(session, tenant.id, thresholds, actor=operator_at_terminal())
    click.echo(f"{slug} ({mode}) has {len(ladder.thresholds)} tiers, version {ladder.version}.")


def _read(tier: str) -> tuple[str, int]:
    code, _, threshold = tier.partition("=")
    if not (code and threshold.isascii() and threshold.isdigit()):
        raise click.UsageError(f"{tier!r} is not CODE=THRESHOLD, such as silver=500.")
    return code, int(threshold)
