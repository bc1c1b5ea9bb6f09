"""Real servers for every test: one PostgreSQL and one Valkey a run, one database a worker, one tenant a test."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import psycopg
import pytest
from filelock import FileLock
from flask import Flask
from gamify import schema
from gamify.app import create_app
from gamify.config import Settings
from gamify.deployment import Deployment
from gamify.embedded import EmbeddedServers

from tests import secrets_issued
from tests.clock import Clock, running
from tests.harness import (
    NO_TLS,
    Api,
    Server,
    TenantUnderTest,
    make_database,
    new_tenant,
    settings_for,
    start_server,
    stop,
    url_of,
)

FOLDER = "TESTS_OF_THIS_RUN"


def pytest_configure(config: pytest.Config) -> None:
    """Make the folder that all workers of this run share.

    Not among pytest's own: each run that starts closes those of the same user to everyone else, and servers that root
    starts run as `nobody`.
    """
    if not hasattr(config, "workerinput"):
        os.environ[FOLDER] = tempfile.mkdtemp(prefix="gamify-tests-")


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        shutil.rmtree(os.environ.pop(FOLDER), ignore_errors=True)


@pytest.fixture(scope="session")
def run_folder() -> Path:
    """A folder that all workers of this run share, and other accounts may enter."""
    return Path(os.environ[FOLDER])


@pytest.fixture(scope="session", autouse=True)
def no_log_holds_a_secret() -> Iterator[None]:
    """Whatever the suite does, no log tells a key, password, token or cookie; checked when everything else has ended."""
    secrets_issued.watch()
    yield
    assert secrets_issued.leaks() == []


@pytest.fixture
def data_dir(run_folder: Path) -> Iterator[Path]:
    """A folder of this test's own for servers of its own."""
    with tempfile.TemporaryDirectory(dir=run_folder, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def servers(run_folder: Path) -> Iterator[EmbeddedServers]:
    """PostgreSQL and Valkey, stopped when the last worker leaves them."""
    held = EmbeddedServers(run_folder / "servers")
    held.join()
    with psycopg.connect(url_of(held, "postgres"), autocommit=True) as admin:  # nothing here outlives the machine
        for name in ("fsync", "full_page_writes"):
            admin.execute(f"ALTER SYSTEM SET {name} = off")
        admin.execute("SELECT pg_reload_conf()")
    yield held
    held.leave()


@pytest.fixture(scope="session")
def template(servers: EmbeddedServers, run_folder: Path) -> str:
    """A database with every migration, made once a run and copied from then on."""
    with FileLock(run_folder / "template.lock"):
        if not (run_folder / "template.done").exists():
            make_database(servers, "migrated")
            with closing(Deployment(settings_for(servers, run_folder, "migrated"))) as here:
                schema.upgrade(here.database)
            (run_folder / "template.done").touch()
    return "migrated"


@pytest.fixture(scope="session")
def settings(servers: EmbeddedServers, run_folder: Path, template: str, worker_id: str) -> Settings:
    """Settings with a migrated database and a Valkey database of this worker's own."""
    number = 0 if worker_id == "master" else int(worker_id.removeprefix("gw")) + 1
    with FileLock(run_folder / "template.lock"):  # a template can be copied by one at a time
        make_database(servers, f"worker_{number}", template=template)
    return settings_for(servers, run_folder, f"worker_{number}", number)


@pytest.fixture(scope="session")
def app(settings: Settings) -> Iterator[Flask]:
    made = create_app(settings)
    yield made
    made.extensions["gamify"].close()


@pytest.fixture(scope="session")
def here(app: Flask) -> Deployment:
    """The app's deployment: its database, counters and callers."""
    found: Deployment = app.extensions["gamify"]
    return found


@pytest.fixture(scope="session")
def clockwork(servers: EmbeddedServers, settings: Settings, template: str, worker_id: str) -> Iterator[Clock]:
    """A deployment of its own, on a database whose clock can be set."""
    with running(servers, settings, f"clockwork_{worker_id}", template=template) as made:
        yield made


@pytest.fixture
def clock(clockwork: Clock) -> Clock:
    """That deployment, with the clock set to its beginning."""
    clockwork.set()
    return clockwork


@pytest.fixture
def owner(settings: Settings) -> Iterator[psycopg.Connection]:
    """A superuser's connection, bound by no policy; it commits each statement."""
    assert settings.database_url
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def tenant(here: Deployment) -> Iterator[TenantUnderTest]:
    """A new tenant; whatever the test did to it, its ledger must add up."""
    made = new_tenant(here)
    yield made
    assert made.differences() == []


@pytest.fixture
def api(app: Flask, tenant: TenantUnderTest) -> Api:
    """The API through Flask's test client, with an unlimited live key."""
    return Api(app.test_client(), tenant.key)


@pytest.fixture(scope="session")
def server(settings: Settings) -> Iterator[Server]:
    """The production server, over TCP, on this worker's database."""
    started = start_server(settings)
    yield started
    stop(started)


@pytest.fixture
def tcp(server: Server, tenant: TenantUnderTest) -> Iterator[Api]:
    """The API over TCP, with an unlimited live key."""
    with httpx.Client(base_url=server.url, timeout=30, verify=NO_TLS, limits=httpx.Limits(max_connections=64)) as client:
        yield Api(client, tenant.key)
