"""`gamify demo` on a given database."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from filelock import FileLock
from gamify.app import create_app
from gamify.config import Settings
from gamify.embedded import EmbeddedServers

from tests.cli.asserting import prints
from tests.harness import Api, make_database, settings_for, url_of


@pytest.fixture
def demo_settings(servers: EmbeddedServers, run_folder: Path, template: str, worker_id: str) -> Iterator[Settings]:
    """A migrated database with nothing in it yet."""
    name = f"demo_{worker_id}"
    with FileLock(run_folder / "template.lock"):
        make_database(servers, name, template=template)
    yield settings_for(servers, run_folder, name)
    with psycopg.connect(url_of(servers, "postgres"), autocommit=True) as admin:
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_demo_fills_a_believable_tenant_once(demo_settings):
    started = time.monotonic()
    said = prints(demo_settings, "demo")
    took = time.monotonic() - started
    live, test = re.search(r"gk_live_\w+", said)[0], re.search(r"gk_test_\w+", said)[0]
    assert re.search(r"admin@\S+ +\S{12,}", said)
    assert re.search(r"analyst@\S+ +\S{12,}", said)
    assert took < 30  # ten seconds of a machine that does nothing else

    counts = "SELECT (SELECT count(*) FROM participants), (SELECT count(*) FROM ledger_entries), (SELECT count(*) FROM users)"
    months = "SELECT count(DISTINCT date_trunc('month', created_at)) FROM ledger_entries"
    with psycopg.connect(demo_settings.database_url) as owner:
        first = owner.execute(counts).fetchone()
        assert first[0] >= 2_000
        assert first[1] > 5 * first[0]
        assert owner.execute(months).fetchone()[0] >= 6

    assert "adds up" in prints(demo_settings, "verify")
    again = prints(demo_settings, "demo")
    assert live not in again  # nobody but an embedded deployment keeps it
    with psycopg.connect(demo_settings.database_url) as owner:
        assert owner.execute(counts).fetchone() == first

    app = create_app(demo_settings)
    try:
        api = Api(app.test_client(), live)
        assert api.award("user_123", 100).status == 200
        assert api.with_key(test).points("user_123").status == 404
    finally:
        app.extensions["gamify"].close()
