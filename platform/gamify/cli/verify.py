"""`gamify verify`."""

import json
import sys

import click

from gamify.cli.shared import as_json, with_deployment
from gamify.deployment import Deployment
from gamify.services import tenants, verification


@click.command()
@click.argument("slug", required=False)
@as_json
@with_deployment
def verify(here: Deployment, slug: str | None, is_json: bool) -> None:
    """Re-derive everything from the ledger, of the tenant SLUG or of all; exit with 1 if anything differs."""
    differences: list[verification.Difference] = []
    with here.database.transaction() as session:
        chosen = tenants.both(session, slug) if slug else tenants.every(session)
    entry_count = 0
    for tenant in chosen:
        with here.database.transaction() as session:
            report = verification.verify(session, tenant)
        entry_count += report.entry_count
        differences += report.differences
        if not is_json:
            for difference in report.differences:
                click.echo(difference.sentence)
    if is_json:
        found = [difference._asdict() for difference in differences]
        click.echo(json.dumps({"tenants": len(chosen), "entries": entry_count, "differences": found}))
    elif not differences:
        click.echo(f"{entry_count:,} entries of {len(chosen)} tenants and sandboxes: everything adds up.")
    sys.exit(1 if differences else 0)
