"""What the commands have in common."""

import getpass
import json
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import click

from gamify import config, logs, schema
from gamify.deployment import Deployment
from gamify.errors import Unavailable
from gamify.services.audit import Actor

log = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")

as_json = click.option("--json", "is_json", is_flag=True, help="Print one JSON object, nothing else.")
mode = click.option(
    "--mode", type=click.Choice(["live", "test"]), default="live", show_default=True, help="The tenant or its sandbox."
)
rate_limit = click.option("--rate-limit", type=int, help="Requests a minute; 0 is no limit.")


def with_deployment(command: Callable[Concatenate[Deployment, P], R]) -> Callable[P, R]:
    """Give a command the deployment with a database that is up to date, and let go of everything after it."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        with closing(deployed()) as here:
            ready(here)
            return command(here, *args, **kwargs)

    return run


def deployed() -> Deployment:
    """Return what the environment tells of, without an app: no command of ours needs one. Raises `ConfigError`."""
    settings = config.load()
    logs.configure(settings)
    return Deployment(settings)


def operator_at_terminal() -> Actor:
    """Who runs this command, for the audit logs: the machine's account."""
    return Actor("command", getpass.getuser())


def ready(here: Deployment) -> None:
    """Migrate an embedded database; another must have been.

    Raises `Unavailable` when it has not.
    """
    is_current = schema.is_current(here.database.owner_engine)
    if not is_current and here.settings.owner_url is None:
        schema.upgrade(here.database)
    elif not is_current:
        raise Unavailable("The database lacks migrations; run `gamify db upgrade` first.")
    if here.settings.is_production and here.database.can_bypass_policies():
        log.warning("the login of DATABASE_URL can bypass row-level security; give the app a plain login")


def show(values: dict[str, Any], *, is_json: bool, text: str) -> None:
    """Print the result of a command."""
    click.echo(json.dumps(values) if is_json else text)


@contextmanager
def bar(label: str, *, is_shown: bool) -> Iterator[Callable[[int, int], None]]:
    """What shows on a terminal how far something has come; it is told how much was done since the last time, of how much."""
    if not is_shown or not sys.stderr.isatty():
        yield lambda _count, _total: None
        return
    with click.progressbar(length=1, label=label, file=sys.stderr) as bar:

        def advance(count: int, total: int) -> None:
            bar.length = total
            bar.update(count)

        yield advance
