"""Migrations: there and back, on empty databases of these tests' own."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from gamify import schema
from gamify.app import create_app
from gamify.config import Settings
from gamify.embedded import EmbeddedServers

from tests.harness import Api, gamify, make_database, settings_for, url_of

# Everything in a database that somebody has put there.
OBJECTS = """
    SELECT 'table ' || relname FROM pg_class WHERE relnamespace = 'public'::regnamespace
    UNION ALL SELECT 'function ' || proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    UNION ALL SELECT 'type ' || typname FROM pg_type WHERE typnamespace = 'public'::regnamespace
    UNION ALL SELECT 'schema ' || nspname FROM pg_namespace WHERE nspname !~ '^(pg_|information_schema$|public$)'
    UNION ALL SELECT 'extension ' || extname FROM pg_extension WHERE extname <> 'plpgsql'
"""
ALEMBICS_OWN = {"table alembic_version", "table alembic_version_pkc", "type alembic_version", "type _alembic_version"}


@pytest.fixture
def empty(servers: EmbeddedServers, run_folder: Path, worker_id: str) -> Iterator[Settings]:
    """A database with nothing in it."""
    name = f"empty_{worker_id}"
    make_database(servers, name)
    yield settings_for(servers, run_folder, name)
    with psycopg.connect(url_of(servers, "postgres"), autocommit=True) as admin:
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


def objects(settings: Settings) -> set[str]:
    assert settings.database_url
    with psycopg.connect(settings.database_url) as connection:
        return {name for (name,) in connection.execute(OBJECTS)}


def succeed(settings: Settings, *arguments: str) -> str:
    done = gamify(settings, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_upgrade_leads_to_what_the_models_say_and_downgrade_back_to_empty(empty):
    succeed(empty, "db", "upgrade")
    first = objects(empty)
    succeed(empty, "db", "check")

    succeed(empty, "db", "downgrade", "base")
    assert objects(empty) == ALEMBICS_OWN

    succeed(empty, "db", "upgrade")
    assert objects(empty) == first


def test_downgrade_works_with_data(empty):
    succeed(empty, "db", "upgrade")
    succeed(empty, "tenants", "create", "acme", "--name", "Acme")

    succeed(empty, "db", "downgrade", "base")

    assert objects(empty) == ALEMBICS_OWN


def test_upgrade_twice_changes_nothing(empty):
    succeed(empty, "db", "upgrade")
    first = objects(empty)

    succeed(empty, "db", "upgrade")

    assert objects(empty) == first
    assert schema.head() in succeed(empty, "db", "current")


def test_two_upgrades_at_once_both_succeed(empty):
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda _: gamify(empty, "db", "upgrade"), range(2)))

    assert [each.returncode for each in done] == [0, 0], [each.stderr for each in done]
    succeed(empty, "db", "check")


def test_commands_ask_for_migrations_of_a_database_that_lacks_them(empty):
    done = gamify(empty, "tenants", "list")

    assert done.returncode == 1
    assert "gamify db upgrade" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.fixture
def cluster(data_dir: Path) -> Iterator[EmbeddedServers]:
    """PostgreSQL and Valkey that nobody has used yet, so that not even the app's role exists."""
    held = EmbeddedServers(data_dir)
    held.join()
    yield held
    held.leave()


def test_an_owner_who_is_no_superuser_and_another_login_are_enough(cluster, run_folder):
    with psycopg.connect(cluster.database_url, autocommit=True) as admin:
        admin.execute("CREATE ROLE keeper LOGIN CREATEROLE")
        admin.execute("CREATE ROLE clerk LOGIN")
        admin.execute("CREATE DATABASE points OWNER keeper")
    keeper, clerk = (url_of(cluster, "points").replace("//postgres@", f"//{name}@") for name in ("keeper", "clerk"))
    serving = replace(settings_for(cluster, run_folder, "points"), database_url=clerk)  # who serves need not know the owner
    migrating = replace(serving, database_owner_url=keeper)

    succeed(migrating, "db", "upgrade")
    succeed(migrating, "db", "check")
    succeed(serving, "tenants", "create", "acme", "--name", "Acme")
    key = succeed(serving, "keys", "create", "acme", "--name", "k").split()[0]
    app = create_app(serving)
    try:
        api = Api(app.test_client(), key)
        assert api.award("p", 100).status == 200
        assert api.deduct("p", 30).json["new_balance"] == 70
        assert api.history("p").json["total"] == 2
    finally:
        app.extensions["gamify"].close()
    succeed(serving, "verify")
    with psycopg.connect(clerk) as login, pytest.raises(psycopg.errors.InsufficientPrivilege):
        login.execute("DELETE FROM ledger_entries")
    with psycopg.connect(keeper) as login, pytest.raises(psycopg.errors.RestrictViolation):
        login.execute("TRUNCATE ledger_entries")
    refused = gamify(serving, "tenants", "delete", "acme", "--yes")
    assert (refused.returncode, "DATABASE_OWNER_URL" in refused.stderr) == (1, True)
    assert "active" in succeed(serving, "tenants", "list")
    succeed(migrating, "tenants", "delete", "acme", "--yes")
    with psycopg.connect(url_of(cluster, "points")) as admin:
        assert admin.execute("SELECT count(*) FROM participants").fetchone() == (0,)
        assert admin.execute("SELECT count(*) FROM tenants").fetchone() == (0,)
