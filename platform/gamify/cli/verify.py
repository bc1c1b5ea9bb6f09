"""`gamify verify`."""

import json
import sys

import click

from gamify.cli.shared import as_json, with_deployment
from gamify.deployment import Deployment
from gamify.models import Tenant
from gamify.services import tenants, verification
from gamify.services.verification import Report


@click.command()
@click.argument("slug", required=False)
@as_json
@with_deployment
def verify(here: Deployment, slug: str | None, is_json: bool) -> None:
    """Re-derive everything from the ledger, of the tenant SLUG or of all; exit with 1 if anything differs."""
    with here.database.transaction() as session:
        asked = tenants.both(session, slug) if slug else tenants.every(session)
    chosen = [tenant for tenant in asked if tenant.status != tenants.DELETING]  # a part of those is missing rightly
    reports = [_verify(here, tenant, is_shown=not is_json and sys.stderr.isatty()) for tenant in chosen]
    differences = [difference for report in reports for difference in report.differences]
    entry_count = sum(report.entry_count for report in reports)
    if is_json:
        found = [difference._asdict() for difference in differences]
        click.echo(json.dumps({"tenants": len(chosen), "entries": entry_count, "differences": found}))
    else:
        for difference in differences:
            click.echo(difference.sentence)
        if not differences:
            click.echo(f"{entry_count:,} entries of {len(chosen)} tenants and sandboxes: everything adds up.")
    sys.exit(1 if differences else 0)


def _verify(here: Deployment, tenant: Tenant, *, is_shown: bool) -> Report:
    with here.database.transaction() as session:
        expected = verification.begin(session, tenant)
        if not is_shown:
            return verification.verify(session, tenant)
        with click.progressbar(length=expected, label=f"{tenant.slug} ({tenant.mode})", file=sys.stderr) as bar:
            return verification.verify(session, tenant, progress=bar.update)
