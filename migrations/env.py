"""How migrations run: as the tables' owner, one container at a time, and never waiting long for a lock."""

import time

from alembic import context
from flask import current_app
from gamify.db import sqlalchemy_url
from gamify.models import Record
from sqlalchemy import Connection, text
from sqlalchemy.engine import make_url

ONE_AT_A_TIME = 7_239_518_441  # the advisory lock of this application's migrations
LOCK_TIMEOUT = "2s"

database = context.config.attributes.get("database") or current_app.extensions["gamify"].database


def run_migrations() -> None:
    with database.owner_engine.connect() as connection:
        wait_for_turn(connection)
        connection.execute(text(f"SET lock_timeout = '{LOCK_TIMEOUT}'"))
        connection.execute(text("SELECT set_config('gamify.login', :login, false)"), {"login": app_login() or ""})
        connection.commit()
        context.configure(
            connection=connection, target_metadata=Record.metadata, transaction_per_migration=True, include_name=is_ours
        )
        try:
            with context.begin_transaction():
                context.run_migrations()
        finally:
            connection.rollback()
            connection.execute(text("SELECT pg_advisory_unlock(:n)"), {"n": ONE_AT_A_TIME})
            connection.commit()


def wait_for_turn(connection: Connection) -> None:
    """Take the lock of migrations. Not by waiting in a transaction: another's CREATE INDEX CONCURRENTLY would wait for that."""
    while not connection.scalar(text("SELECT pg_try_advisory_lock(:n)"), {"n": ONE_AT_A_TIME}):
        connection.rollback()
        time.sleep(0.1)


def is_ours(name: str | None, kind: str, _parents: object) -> bool:
    """Whether a model should exist for it: tables of the queue belong to the package that made them."""
    return not (kind == "table" and (name or "").startswith("procrastinate_"))


def app_login() -> str | None:
    """The login the application uses; it may be another than the owner's and needs the app's role too."""
    return make_url(sqlalchemy_url(database.url)).username


if context.is_offline_mode():
    raise SystemExit("Migrations look at the database; run them online.")
run_migrations()
