"""The `gamify` command: Flask's own commands and ours. Errors are one sentence on stderr, never a traceback."""

import logging
import os
import sys

import click
from flask.cli import FlaskGroup, ScriptInfo

from gamify.app import create_app
from gamify.cli.audit import audit
from gamify.cli.demo import demo
from gamify.cli.jobs import jobs
from gamify.cli.keys import keys
from gamify.cli.rollups import rollups
from gamify.cli.serve import serve
from gamify.cli.tenants import tenants
from gamify.cli.tiers import tiers
from gamify.cli.users import users
from gamify.cli.verify import verify
from gamify.cli.worker import worker
from gamify.config import ConfigError
from gamify.db import translated
from gamify.embedded import EmbeddedError
from gamify.errors import DomainError


class Commands(FlaskGroup):
    """Flask's group, but for the traceback it prints into `--help` when the app cannot be made."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands. Raises whatever keeps the app from being made."""
        ctx.ensure_object(ScriptInfo).load_app()
        return super().list_commands(ctx)


@click.group(cls=Commands, create_app=create_app, add_version_option=False)
def group() -> None:
    """Points and tiers for many businesses."""


for command in (audit, demo, jobs, keys, rollups, serve, tenants, tiers, users, verify, worker):
    group.add_command(command)


def main() -> None:
    """Run the command line. Exit codes: 1 for an error, 2 for wrong usage."""
    os.environ.setdefault("FLASK_SKIP_DOTENV", "1")
    try:
        with translated():
            group.main()
    except (ConfigError, DomainError, EmbeddedError) as error:
        click.echo(f"gamify: {error}", err=True)
        sys.exit(1)
    except Exception as error:  # whatever it is, a person at a terminal gets one sentence
        logging.getLogger(__name__).debug("unexpected", exc_info=error)
        reason = (str(error).splitlines() or [""])[0]
        click.echo(f"gamify: {type(error).__name__}: {reason} (GAMIFY_LOG_LEVEL=DEBUG shows more)", err=True)
        sys.exit(1)
