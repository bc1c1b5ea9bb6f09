"""The database's schema: where its migrations are, and whether a database has them all."""

from functools import cache
from pathlib import Path

import flask_migrate
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine

# Beside the packages in a checkout, inside this one in an installed wheel.
DIRECTORY = next(
    folder
    for folder in (Path(__file__).parent / "migrations", Path(__file__).parents[2] / "migrations")
    if (folder / "env.py").exists()
)


@cache
def head() -> str | None:
    """The newest migration there is."""
    config = Config()
    config.set_main_option("script_location", str(DIRECTORY))
    return ScriptDirectory.from_config(config).get_current_head()


def is_current(engine: Engine) -> bool:
    """Whether the database has every migration."""
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision() == head()


def upgrade() -> None:
    """Bring the current app's database to the newest schema."""
    flask_migrate.upgrade(directory=str(DIRECTORY))
