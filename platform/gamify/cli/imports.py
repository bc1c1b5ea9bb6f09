"""`gamify import`."""

import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from gamify.cli.shared import as_json, bar, mode, operator_at_terminal, show, with_deployment
from gamify.deployment import Deployment
from gamify.services import tenants
from gamify.services.imports import run as service
from gamify.services.imports.run import Report


@click.command("import")
@click.argument("slug")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@mode
@click.option("--dry-run", "is_dry", is_flag=True, help="Say what would become of each line, and store nothing.")
@click.option("--skip-bad", "skips_bad", is_flag=True, help="Leave out participants with bad lines, not the whole file.")
@as_json
@with_deployment
def import_(here: Deployment, slug: str, file: Path, mode: str, is_dry: bool, skips_bad: bool, is_json: bool) -> None:
    """Import opening balances or a history from a CSV file; its columns tell which (see docs/import.md).

    Interrupted, it goes on where it was when it is run again; a line that is there already changes nothing.
    """
    with here.database.transaction() as session:
        tenant = tenants.get(session, slug, mode=mode)
    with file.open("rb") as content, bar(f"{slug} ({mode})", is_shown=not (is_json or is_dry)) as progress:
        report = service.run(
            here.database,
            tenant.id,
            content,
            name=file.name,
            is_dry=is_dry,
            skips_bad=skips_bad,
            actor=operator_at_terminal(),
            now=datetime.now(UTC),
            progress=progress,
        )
    said = report._asdict() | {"remarks": [remark._asdict() for remark in report.remarks]}
    show(said, is_json=is_json, text="\n".join(_lines(report, is_dry=is_dry)))
    sys.exit(1 if report.bad_count and not skips_bad else 0)


def _lines(report: Report, *, is_dry: bool) -> list[str]:
    told = [f"line {remark.line}: {remark.field}: {remark.message}" for remark in report.remarks]
    whose = f"of {report.participant_count:,} participants"
    if report.is_stored or is_dry:
        done = "are stored" if report.is_stored else "can be stored"
        end = f"{report.new_count:,} of {report.line_count:,} lines of {report.kind} {done}, {whose}"
    else:
        end = f"Nothing is stored: {report.new_count:,} of {report.line_count:,} lines of {report.kind} are good, {whose}"
    counts = {"there already": report.known_count, "bad": report.bad_count, "left out": report.left_out_count}
    return [*told, "; ".join([end, *(f"{count:,} are {what}" for what, count in counts.items() if count)]) + "."]
