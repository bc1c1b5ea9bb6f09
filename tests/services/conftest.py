"""A database in which anything can be corrupted, for tests of what verify finds."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from filelock import FileLock
from gamify.app import create_app
from gamify.config import Settings
from gamify.deployment import Deployment
from gamify.embedded import EmbeddedServers

from tests.harness import make_database, url_of

CHECKS = """
    SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname)
    FROM pg_constraint WHERE contype IN ('c', 'f') AND connamespace = 'public'::regnamespace AND conislocal AND coninhcount = 0
"""


@pytest.fixture(scope="module")
def scratch(servers: EmbeddedServers, settings: Settings, run_folder: Path, template: str, worker_id: str) -> Iterator[Settings]:
    """A database in which nothing but the code stops nonsense: no checks, no foreign keys."""
    name = f"corrupted_{worker_id}"
    with FileLock(run_folder / "template.lock"):
        make_database(servers, name, template=template)
    with psycopg.connect(url_of(servers, name), autocommit=True) as owner:
        for (statement,) in owner.execute(CHECKS).fetchall():
            owner.execute(statement)
    yield replace(settings, database_url=url_of(servers, name))
    with psycopg.connect(url_of(servers, "postgres"), autocommit=True) as admin:
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="module")
def scratch_here(scratch: Settings) -> Iterator[Deployment]:
    app = create_app(scratch)
    made: Deployment = app.extensions["gamify"]
    made.app = app  # type: ignore[attr-defined]
    made.rollups.close()  # a corrupted entry would be seen in them as well, or not, as it happens
    yield made
    made.close()


@pytest.fixture
def corrupt(scratch: Settings):
    """Changes an entry or a participant past every trigger and policy."""
    assert scratch.database_url
    with psycopg.connect(scratch.database_url, autocommit=True) as owner:
        owner.execute("SET session_replication_role = replica")

        def run(statement: str, tenant_id: int, **values: object) -> None:
            ids = {"tenant": tenant_id, "who": "ana", "seq": 2} | values
            assert owner.execute(statement, ids).rowcount == 1

        yield run
