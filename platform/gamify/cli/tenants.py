"""`gamify tenants`."""

import os
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from gamify.cli.shared import as_json, bar, mode, operator_at_terminal, rate_limit, show, with_deployment
from gamify.deployment import Deployment
from gamify.models import Tenant
from gamify.services import deletion
from gamify.services import tenants as service
from gamify.services.archives import exporting, restoring
from gamify.services.callers import FRESH


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


@tenants.command()
@click.argument("slug")
@click.option("--yes", "is_sure", is_flag=True, help="Do not ask.")
@with_deployment
def delete(here: Deployment, slug: str, is_sure: bool) -> None:
    """Delete a tenant, its sandbox and everything in them, for good.

    Interrupted, it goes on where it was when it is run again.
    """
    with here.database.transaction() as session:
        service.get(session, slug)
    deletion.check_rights(here.database)
    if not is_sure:
        if not sys.stdin.isatty():
            raise click.ClickException(f"Deleting {slug} cannot be undone; say --yes if you mean it.")
        click.confirm(f"Delete {slug}, its sandbox and everything in them, for good?", abort=True, err=True)
    with here.database.transaction() as session:
        both = deletion.begin(session, slug, actor=operator_at_terminal())
    began = time.monotonic()
    for tenant in both:
        here.counters.advance(tenant.id)
    _sweep(here, both)
    time.sleep(max(0.0, began + FRESH - time.monotonic()))  # without Redis, workers may have known a key until now
    _sweep(here, both)
    deletion.remove_files(here.settings.exports_folder, both)
    deletion.finish(here.database, both)
    click.echo(f"{slug} is deleted.")


@tenants.command()
@click.argument("slug")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@as_json
@with_deployment
def export(here: Deployment, slug: str, file: Path, is_json: bool) -> None:
    """Write everything of a tenant and its sandbox to FILE, a ZIP that `tenants import` reads (see docs/archive.md)."""
    if file.exists():
        raise click.ClickException(f"{file} is there already.")
    draft = file.with_name(f"{file.name}.partial")
    with os.fdopen(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600), "w+b") as archive:
        try:
            with bar(slug, is_shown=not is_json) as progress:
                counts = exporting.export(here.database, slug, archive, actor=operator_at_terminal(), progress=progress)
        except BaseException:
            draft.unlink()
            raise
    draft.rename(file)
    entries = counts["live/ledger_entries.jsonl"] + counts["test/ledger_entries.jsonl"]
    show({"slug": slug, "files": counts}, is_json=is_json, text=f"{slug}: everything is in {file}, {entries:,} entries among it.")


@tenants.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--slug", help="What the tenant is called here, if not as in the archive.")
@as_json
@with_deployment
def import_(here: Deployment, file: Path, slug: str | None, is_json: bool) -> None:
    """Make a tenant of what `tenants export` has written: all of it, verified, or nothing."""
    with file.open("rb") as archive, bar(file.name, is_shown=not is_json) as progress:
        actor = operator_at_terminal()
        made = restoring.restore(here.database, archive, slug=slug, actor=actor, now=datetime.now(UTC), progress=progress)
    told = [f"{made.slug} is there, with {made.entry_count:,} entries, and adds up."]
    if made.key_count:
        told.append(f"Its {made.key_count:,} API keys are revoked, for no archive has their secrets: issue new ones.")
    if made.person_count:
        told.append("Its people have no passwords yet: each asks for one with the link on the sign-in page.")
    told += [f"{email} has a sign-in here already and got no other." for email in made.known_emails]
    show(made._asdict(), is_json=is_json, text="\n".join(told))


def _sweep(here: Deployment, both: Sequence[Tenant]) -> None:
    is_shown = sys.stderr.isatty()
    for tenant in both:
        if not is_shown:
            deletion.sweep(here.database, tenant.id)
        elif rows := deletion.size(here.database, tenant.id):
            with click.progressbar(length=rows, label=f"{tenant.slug} ({tenant.mode})", file=sys.stderr) as bar:
                deletion.sweep(here.database, tenant.id, progress=bar.update)


def _set_status(here: Deployment, slug: str, status: str) -> None:
    with here.database.transaction() as session:
        changed = [tenant.id for tenant in service.set_status(session, slug, status=status, actor=operator_at_terminal())]
    for tenant_id in changed:
        here.counters.advance(tenant_id)
    click.echo(f"{slug} is {status}.")
