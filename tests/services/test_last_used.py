"""When keys were last used: written seldom, by nobody who is in a hurry."""

import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from gamify.app import create_app
from gamify.services.last_used import LastUsed

from tests.harness import Api, TenantUnderTest, environment, free_port

NOW = datetime(2026, 3, 1, 12, 30, 20, tzinfo=UTC)
MINUTE = NOW.replace(second=0)


class Uses:
    """The uses of one tenant's first key, as a process remembers them."""

    def __init__(self, tenant: TenantUnderTest, owner, database=None) -> None:
        self.tenant, self.owner = tenant, owner
        self.remembered = LastUsed(database or tenant.here.database, look_every=3600)
        [self.key_id] = owner.execute("SELECT id FROM api_keys WHERE prefix = %s", [tenant.key[:16]]).fetchone()

    def note(self, address="192.0.2.7", *, now=NOW, tenant_id=None) -> None:
        self.remembered.note(tenant_id or self.tenant.id, self.key_id, address, now=now)

    def row(self):
        """The last use, and the row's version: another for every UPDATE that has found it."""
        query = "SELECT last_used_at, last_used_address, xmin::text FROM api_keys WHERE id = %s"
        return self.owner.execute(query, [self.key_id]).fetchone()


@pytest.fixture
def uses(tenant, owner):
    made = Uses(tenant, owner)
    yield made
    made.remembered.close()


def test_a_use_is_written_to_the_minute_with_its_address(uses):
    uses.note()
    assert uses.row()[0] is None

    uses.remembered.write(now=NOW)

    assert uses.row()[:2] == (MINUTE, "192.0.2.7")


def test_a_key_is_written_once_a_minute_at_most(uses):
    versions = set()
    for second in range(0, 60, 5):
        now = MINUTE + timedelta(seconds=second)
        uses.note(now=now)
        uses.remembered.write(now=now)
        versions.add(uses.row()[2])
    assert len(versions) == 1

    uses.note(now=MINUTE + timedelta(minutes=1))
    uses.remembered.write(now=MINUTE + timedelta(minutes=1))

    assert uses.row()[0] == MINUTE + timedelta(minutes=1)
    assert uses.row()[2] not in versions


def test_of_several_processes_the_first_writes(uses, tenant, owner):
    other = Uses(tenant, owner)
    uses.note()
    other.note("192.0.2.8")

    uses.remembered.write(now=NOW)
    first = uses.row()
    other.remembered.write(now=NOW)

    assert uses.row() == first
    other.remembered.close()


def test_time_never_runs_backwards(uses, tenant, owner):
    other = Uses(tenant, owner)
    uses.note(now=NOW + timedelta(minutes=5))
    uses.remembered.write(now=NOW + timedelta(minutes=5))
    other.note()
    other.remembered.write(now=NOW)

    assert uses.row()[0] == MINUTE + timedelta(minutes=5)
    other.remembered.close()


def test_a_key_of_another_tenant_cannot_be_written(uses, tenant):
    uses.note(tenant_id=tenant.sandbox_id)
    uses.remembered.write(now=NOW)

    assert uses.row()[0] is None


def test_uses_wait_for_a_database_that_is_away(settings, tenant, owner):
    away = create_app(replace(settings, database_url=f"postgresql://nobody@127.0.0.1:{free_port()}/gamify")).extensions["gamify"]
    uses = Uses(tenant, owner, away.database)
    uses.note()
    uses.remembered.write(now=NOW)
    assert uses.row()[0] is None

    uses.remembered._database = tenant.here.database
    uses.remembered.write(now=NOW + timedelta(minutes=7))

    assert uses.row()[:2] == (MINUTE, "192.0.2.7")
    uses.remembered.close()
    away.close()


def test_requests_are_noted_and_arrive_by_themselves(settings, tenant, owner):
    app = create_app(settings)
    here = app.extensions["gamify"]
    here.last_used._rhythm.every = 0.1
    client = app.test_client()
    try:
        before = datetime.now(UTC).replace(second=0, microsecond=0)
        for _ in range(5):
            assert Api(client, tenant.key).award("p", 1).status == 200
        uses = Uses(tenant, owner)
        deadline = time.monotonic() + 10
        while uses.row()[0] is None and time.monotonic() < deadline:
            time.sleep(0.02)
    finally:
        here.close()

    assert before <= uses.row()[0] <= datetime.now(UTC)
    assert uses.row()[1] == "127.0.0.1"


def test_what_is_left_is_written_at_the_end(settings, tenant, owner):
    app = create_app(settings)
    Api(app.test_client(), tenant.key).award("p", 1)
    app.extensions["gamify"].close()

    assert Uses(tenant, owner).row()[1] == "127.0.0.1"


@pytest.mark.parametrize("kind", ["scope", "address"])
def test_a_refused_request_is_no_use(settings, tenant, owner, kind):
    app = create_app(settings)
    change = {"scope": "scopes = '{tiers:read}'", "address": "allowed_networks = '{192.0.2.0/24}'"}[kind]
    owner.execute(f"UPDATE api_keys SET {change} WHERE prefix = %s", [tenant.key[:16]])
    status = Api(app.test_client(), tenant.key).award("p", 1).status
    app.extensions["gamify"].close()

    assert (status, Uses(tenant, owner).row()[0]) == (403, None)


def test_a_process_that_has_noted_a_use_can_end(settings, tenant):
    code = (
        "from gamify.app import create_app\n"
        f"sent = {{'X-API-Key': '{tenant.key}'}}\n"
        "answer = create_app().test_client().get('/api/v1/gamify/participants/p/points', headers=sent)\n"
        "print(answer.status_code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(settings), capture_output=True, text=True, timeout=30, check=True
    )

    assert done.stdout.strip() == "404"
