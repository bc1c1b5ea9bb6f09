"""`gamify demo`."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import click

from gamify.cli.shared import with_deployment
from gamify.deployment import Deployment
from gamify.services import demo as service
from gamify.services.demo import Demo


@click.command()
@with_deployment
def demo(here: Deployment) -> None:
    """Fill the database with a believable tenant and print its keys and sign-ins. A second time changes nothing."""
    made = fill(here)
    click.echo(describe(made) if made else "The demo tenant is there already; its keys were shown when it was made.")


def fill(here: Deployment) -> Demo | None:
    """Make the demo tenant if there is none; return what it takes to try it, or None if that is not known any more."""
    kept = here.settings.data_dir / "demo.json"
    with here.database.transaction() as session:
        if service.exists(session):
            return _kept(kept)
        made = service.fill(session, pepper=here.settings.api_key_pepper, now=datetime.now(UTC))
    if here.settings.database_url is None:
        _keep(kept, made)
    return made


def describe(made: Demo) -> str:
    """Say what there is to try."""
    people = "\n".join(f"  {email:20} {password}" for email, password in made.sign_ins.items())
    return f"Live key  {made.live_key}\nTest key  {made.test_key}\nSign in as\n{people}"


def _kept(path: Path) -> Demo | None:
    return Demo(**json.loads(path.read_text())) if path.exists() else None


def _keep(path: Path, made: Demo) -> None:
    draft = path.with_suffix(".new")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(made._asdict(), file)
    draft.rename(path)
