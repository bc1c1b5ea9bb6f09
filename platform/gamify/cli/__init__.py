"""The `gamify` command: Flask's own commands and ours. Errors are one sentence on stderr, never a traceback."""

import logging
import os
import sys

import click
from flask import Flask
from flask.cli import FlaskGroup, ScriptInfo
from werkzeug.utils import import_string

from gamify.config import ConfigError
from gamify.db import translated
from gamify.embedded import EmbeddedError
from gamify.errors import DomainError

OURS = ("audit", "demo", "import", "jobs", "keys", "rollups", "serve", "tenants", "tiers", "users", "verify", "worker")


class Commands(FlaskGroup):
    """Flask's group with our commands, each imported when it is called: with all of them it would take twice as long to start.

    Unlike Flask's it prints no traceback into `--help` when the app cannot be made.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands. Raises whatever keeps the app from being made."""
        ctx.ensure_object(ScriptInfo).load_app()
        return sorted({*super().list_commands(ctx), *OURS})

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Return one of ours, or of Flask's and its extensions'."""
        if name not in OURS:
            return super().get_command(ctx, name)
        place = "imports:import_" if name == "import" else f"{name}:{name}"  # a word of the language
        found: click.Command = import_string(f"gamify.cli.{place}")
        return found


def _whole_app() -> Flask:
    """Make the app with both doors, for Flask's commands; none of ours looks at it."""
    from gamify.app import create_app_with_migrations  # noqa: PLC0415

    return create_app_with_migrations()


@click.group(cls=Commands, create_app=_whole_app, add_version_option=False)
def group() -> None:
    """Points and tiers for many businesses."""


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
