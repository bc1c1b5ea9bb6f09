"""`gamify worker`: runs background jobs."""

from collections.abc import Callable
from contextlib import closing

import click

from gamify.cli.shared import deployed, ready
from gamify.db import translated
from gamify.deployment import Deployment
from gamify.jobs.worker import CONCURRENCY, Worker


@click.command()
@click.option("--concurrency", default=CONCURRENCY, show_default=True, type=click.IntRange(1, 64), help="Jobs at a time.")
@click.option("--with-parent", "has_parent", is_flag=True, hidden=True, help="Stop when standard input is closed.")
def worker(concurrency: int, has_parent: bool) -> None:
    """Run background jobs until SIGTERM or Ctrl-C; without a database, wait for it."""
    greet = _once(lambda: click.echo("Gamify's worker is ready."))
    with closing(deployed()) as here:
        Worker(here, concurrency=concurrency, prepare=_preparing(here), greet=greet).run(has_parent=has_parent)


def _preparing(here: Deployment) -> Callable[[], None]:
    def prepare() -> None:
        with translated():
            ready(here)

    return prepare


def _once(act: Callable[[], None]) -> Callable[[], None]:
    acts = [act]
    return lambda: acts.pop()() if acts else None
