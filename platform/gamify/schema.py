"""The database's schema: where its migrations are, and whether a database has them all."""

from functools import cache
from pathlib import Path

from sqlalchemy import Engine, text

from gamify.db import Database

# Beside the packages in a checkout, inside this one in an installed wheel.
DIRECTORY = next(
    folder
    for folder in (Path(__file__).parent / "migrations", Path(__file__).parents[2] / "migrations")
    if (folder / "env.py").exists()
)


@cache
def head() -> str:
    """The newest migration there is: files are named after revisions, which are numbers."""
    return max(path.name for path in (DIRECTORY / "versions").glob("[0-9]*.py")).partition("_")[0]


def is_current(engine: Engine) -> bool:
    """Whether the database has every migration."""
    with engine.connect() as connection:
        if connection.scalar(text("SELECT to_regclass('alembic_version')")) is None:
            return False
        return bool(connection.scalar(text("SELECT version_num FROM alembic_version")) == head())


def upgrade(database: Database) -> None:
    """Bring the database to the newest schema."""
    from alembic import command  # noqa: PLC0415  # it takes a fifth of the time in which a command starts
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(DIRECTORY).replace("%", "%%"))
    config.attributes["database"] = database
    command.upgrade(config, "head")
