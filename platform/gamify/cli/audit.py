"""`gamify audit`."""

import json

import click
from sqlalchemy.orm import Session

from gamify.cli.shared import as_json, mode, with_deployment
from gamify.db import act_as
from gamify.deployment import Deployment
from gamify.services import audit as service
from gamify.services import spreadsheet, tenants
from gamify.services.audit import Entry, Filter
from gamify.services.period import period


@click.command()
@click.argument("slug", required=False)
@mode
@click.option("--actor", help="An e-mail, the first 16 characters of a key, or the account that ran a command.")
@click.option("--action", help="What was done (api_key.revoke), or to what kind of thing (api_key).")
@click.option("--from", "since", help="A day, or a time such as 2026-02-14T10:00:00Z.")
@click.option("--to", "until", help="A day, which is included, or a time, which is not.")
@click.option("--csv", "is_csv", is_flag=True, help="Print CSV.")
@as_json
@with_deployment
def audit(
    here: Deployment,
    slug: str | None,
    mode: str,
    actor: str | None,
    action: str | None,
    since: str | None,
    until: str | None,
    is_csv: bool,
    is_json: bool,
) -> None:
    """Show who changed what of the tenant SLUG, newest first; without SLUG, the operators' log."""
    if is_csv and is_json:
        raise click.UsageError("Choose one of --csv and --json.")
    begin, end = period(since, until)
    with here.database.transaction() as session:
        tenant_id = _log_of(session, slug, mode)
        entries = service.every(session, tenant_id, Filter(actor=actor, action=action, since=begin, until=end))
        if is_json:
            click.echo(json.dumps({"entries": [service.shown(entry) for entry in entries]}))
        elif is_csv:
            for line in spreadsheet.lines(service.COLUMNS, map(service.cells, entries)):
                click.echo(line, nl=False)
        else:
            for entry in entries:
                click.echo(_line(entry))


def _log_of(session: Session, slug: str | None, mode: str) -> int | None:
    if slug is None:
        return None
    tenant = tenants.get(session, slug, mode=mode)
    act_as(session, tenant.id)
    return tenant.id


def _line(entry: Entry) -> str:
    """One line of text, whatever line feeds and control characters a name holds."""
    at, kind, actor, _, address, action, subject, before, after, _ = service.cells(entry)
    who = f"{kind} {actor}" + (f" at {address}" if address else "")
    line = "\t".join([at, who, action, subject, f"{before or '-'} -> {after or '-'}"])
    return "".join(character if character.isprintable() or character == "\t" else "�" for character in line)
