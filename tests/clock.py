"""A database whose clock can be set: its statements find another `clock_timestamp()` before PostgreSQL's own."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import psycopg
from filelock import FileLock
from flask import Flask
from gamify.app import create_app
from gamify.config import Settings
from gamify.deployment import Deployment
from gamify.embedded import EmbeddedServers

from tests.harness import make_database, url_of

BEGINNING = datetime(2030, 3, 5, 10, 17, tzinfo=UTC)  # no round moment: what is counted in days or years ends elsewhere
SET_UP = """
    CREATE SCHEMA clock;
    CREATE TABLE clock.hands AS SELECT pg_catalog.clock_timestamp() AS shown, pg_catalog.clock_timestamp() AS since;
    CREATE FUNCTION clock.clock_timestamp() RETURNS timestamptz LANGUAGE sql
        AS 'SELECT shown + (pg_catalog.clock_timestamp() - since) FROM clock.hands';
    GRANT USAGE ON SCHEMA clock TO gamify_app;
    GRANT SELECT ON clock.hands TO gamify_app;
"""


@dataclass
class Clock:
    """A deployment on such a database, and what sets its clock."""

    app: Flask
    owner: psycopg.Connection

    @property
    def here(self) -> Deployment:
        """The deployment that lives by the clock."""
        found: Deployment = self.app.extensions["gamify"]
        return found

    def now(self) -> datetime:
        """What the clock shows."""
        [(shown,)] = self.owner.execute("SELECT clock.clock_timestamp()").fetchall()
        return shown  # type: ignore[no-any-return]

    def set(self, at: datetime = BEGINNING) -> None:
        """Let it be another time; it goes on from there."""
        self.owner.execute("UPDATE clock.hands SET shown = %s, since = pg_catalog.clock_timestamp()", [at])

    def pass_by(self, by: timedelta) -> None:
        """Let time pass."""
        self.owner.execute("UPDATE clock.hands SET shown = shown + %s", [by])


@contextmanager
def running(servers: EmbeddedServers, settings: Settings, name: str, *, template: str) -> Iterator[Clock]:
    """A deployment on a database of that name, with a clock that shows `BEGINNING`."""
    with FileLock(settings.data_dir / "template.lock"):
        make_database(servers, name, template=template)
    url = url_of(servers, name)
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute(SET_UP)
        owner.execute(f"ALTER DATABASE {name} SET search_path = clock, pg_catalog, public")
    app = create_app(replace(settings, database_url=url))
    app.extensions["gamify"].rollups.close()  # rollups are advanced when a test says so
    with psycopg.connect(url, autocommit=True) as owner:
        clock = Clock(app, owner)
        clock.set()
        yield clock
    app.extensions["gamify"].close()
    with psycopg.connect(url_of(servers, "postgres"), autocommit=True) as admin:
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
