"""`gamify demo`."""

import json
import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import click
from sqlalchemy import text

from gamify.cli.shared import with_deployment
from gamify.deployment import Deployment
from gamify.services import demo as service
from gamify.services.demo import Demo

FILLED = "participants, ledger_entries, idempotency_keys, ledger_quarters, participant_standings"
SHOWN_FROM = 1_000_000  # entries; fewer take seconds


@click.command()
@click.option("--participants", default=service.PARTICIPANTS, show_default=True, type=click.IntRange(1))
@click.option("--entries", default=service.ENTRIES, show_default=True, type=click.IntRange(1), help="In the ledger, in all.")
@with_deployment
def demo(here: Deployment, participants: int, entries: int) -> None:
    """Fill the database with a believable tenant and print its keys and sign-ins. A second time changes nothing."""
    made = fill(here, participants=participants, entries=entries)
    click.echo(describe(made) if made else "The demo tenant is there already; its keys were shown when it was made.")


def fill(here: Deployment, *, participants: int = service.PARTICIPANTS, entries: int = service.ENTRIES) -> Demo | None:
    """Make the demo tenant if there is none; return what it takes to try it, or None if that is not known any more."""
    kept = here.settings.data_dir / "demo.json"
    with here.database.transaction() as session:
        if service.exists(session):
            return _kept(kept)
        made = service.fill(
            session,
            pepper=here.settings.api_key_pepper,
            now=datetime.now(UTC),
            participants=participants,
            entries=entries,
            progress=_teller(entries) if entries >= SHOWN_FROM else lambda _: None,
        )
    if here.settings.database_url is None:
        _keep(kept, made)
    _tidy(here)
    return made


def describe(made: Demo) -> str:
    """Say what there is to try."""
    people = "\n".join(f"  {email:20} {password}" for email, password in made.sign_ins.items())
    return f"Live key  {made.live_key}\nTest key  {made.test_key}\nSign in as\n{people}"


def _tidy(here: Deployment) -> None:
    """Let the database look at what was written, so that it plans well from the first page on; owners only may ask."""
    with here.database.owner_engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(text(f"VACUUM (ANALYZE) {FILLED}"))


def _teller(entries: int) -> Callable[[int], None]:
    """Return what shows on stderr how far it has come, how fast, and how long it will take."""
    began, done, shown = time.monotonic(), 0, 0.0
    end = "\r" if sys.stderr.isatty() else "\n"
    pause = 0.5 if sys.stderr.isatty() else 10.0

    def tell(more: int) -> None:
        nonlocal done, shown
        done += more
        now = time.monotonic()
        if now - shown < pause and done < entries:
            return
        shown, rate = now, done / (now - began)
        left = (entries - done) / rate
        said = f"{done:>13,} of {entries:,} entries, {rate:,.0f} a second, {left // 60:.0f} min {left % 60:02.0f} s left "
        click.echo(said + (end if done < entries else "\n"), err=True, nl=False)

    return tell


def _kept(path: Path) -> Demo | None:
    return Demo(**json.loads(path.read_text())) if path.exists() else None


def _keep(path: Path, made: Demo) -> None:
    draft = path.with_suffix(".new")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(made._asdict(), file)
    draft.rename(path)
