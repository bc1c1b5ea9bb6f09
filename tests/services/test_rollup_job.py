"""The thread that advances rollups: by itself, without hurry, and in nobody's way."""

import subprocess
import sys
import time
from dataclasses import replace

import pytest
from gamify.app import create_app
from gamify.errors import Unavailable
from gamify.services import figures, rollups
from gamify.services.rollup_job import Rollups

from tests.harness import BASE, Api, environment, free_port, item


def is_summed(tenant) -> bool:
    with tenant.here.database.transaction(tenant.id) as session:
        return not rollups.has_tail(session, tenant.id)


@pytest.fixture
def job(tenant):
    """A job that looks only when it is told to."""
    made = Rollups(tenant.here.database, look_every=3600)
    yield made
    made.close()


@pytest.fixture
def quiet(settings):
    """An app whose own job never comes to look."""
    app = create_app(settings)
    app.extensions["gamify"].rollups.close()
    yield app
    app.extensions["gamify"].close()


@pytest.fixture
def api(quiet, tenant) -> Api:
    return Api(quiet.test_client(), tenant.key)


def reverse_one(api: Api) -> None:
    entry = api.award("p", 5).json["transaction_id"]
    api.request("POST", f"{BASE}/points/transactions/{entry}/reverse", body={})


MOVES = {
    "award": lambda api: api.award("p", 5),
    "deduct": lambda api: api.deduct("rich", 5),
    "batch": lambda api: api.batch([item("p", 5)]),
    "reverse": reverse_one,
}


@pytest.mark.parametrize("move", MOVES)
def test_whatever_moves_points_is_summed_by_itself(settings, tenant, api, move):
    api.award("rich", 100)
    app = create_app(settings)
    here = app.extensions["gamify"]
    here.rollups._look_every = here.rollups._rhythm.every = 0.05
    try:
        MOVES[move](Api(app.test_client(), tenant.key))
        deadline = time.monotonic() + 10
        while not is_summed(tenant) and time.monotonic() < deadline:
            time.sleep(0.02)
    finally:
        here.close()

    assert is_summed(tenant)


def test_only_what_was_touched_is_advanced(tenant, job, api):
    api.award("p", 5)
    job.look()
    assert not is_summed(tenant)

    job.touch(tenant.id)
    assert job.look() is False
    assert is_summed(tenant)


def test_who_reads_sums_a_long_tail_first_and_leaves_a_short_one(tenant, job, api, monkeypatch):
    api.batch([item(f"p{n}", 5) for n in range(9)])
    job.catch_up(tenant.id)
    assert not is_summed(tenant)
    assert job._touched == {tenant.id}  # whoever wrote the entries may be gone

    monkeypatch.setattr(rollups, "AT_ONCE", 8)
    job.catch_up(tenant.id)
    assert is_summed(tenant)


def test_who_reads_does_not_wait_for_what_is_derived_anew(tenant, job, api, owner, monkeypatch):
    monkeypatch.setattr(rollups, "AT_ONCE", 8)
    for tail in (0, 9):
        api.batch([item("p", 5)])
        rollups.catch_up(tenant.here.database, tenant.id, seconds=5)
        owner.execute("UPDATE rollup_progress SET made_by = 1 WHERE tenant_id = %s", [tenant.id])
        for n in range(tail):
            api.award(f"p{n}", 5)
        job.catch_up(tenant.id)
        with tenant.here.database.transaction(tenant.id) as session:
            assert not rollups.is_current(session, tenant.id)
        assert job._touched == {tenant.id}
        job.look()
        with tenant.here.database.transaction(tenant.id) as session:
            assert rollups.is_current(session, tenant.id)


def test_more_than_one_share_is_gone_on_with_at_once(tenant, job, api, monkeypatch):
    monkeypatch.setattr(rollups.advance, "__kwdefaults__", {"most": 4})
    api.batch([item(f"p{n}", 5) for n in range(9)])
    job.touch(tenant.id)

    assert [job.look() for _ in range(3)] == [True, True, False]
    assert is_summed(tenant)


def test_work_waits_for_a_database_that_is_away(settings, tenant, api):
    api.award("p", 5)
    away = create_app(replace(settings, database_url=f"postgresql://nobody@127.0.0.1:{free_port()}/gamify")).extensions["gamify"]
    job = Rollups(away.database, look_every=3600)
    job.touch(tenant.id)
    assert job.look() is False
    with pytest.raises(Unavailable):
        job.catch_up(tenant.id)

    job._database = tenant.here.database
    job.look()
    assert is_summed(tenant)
    job.close()
    away.close()


def test_connections_that_break_are_survived(settings, tenant, owner):
    app = create_app(settings)
    here = app.extensions["gamify"]
    here.rollups._look_every = here.rollups._rhythm.every = 0.05
    try:
        for _ in range(3):
            assert Api(app.test_client(), tenant.key).award("p", 5).status == 200
            owner.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE '%rollup%'"
            )
        deadline = time.monotonic() + 10
        while not is_summed(tenant) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert here.rollups._rhythm._thread.is_alive()
    finally:
        here.close()

    assert is_summed(tenant)
    assert not here.rollups._rhythm._thread.is_alive()


def test_figures_do_not_depend_on_the_job(tenant, api):
    api.award("p", 5)
    with tenant.here.database.snapshot(tenant.id) as session:
        assert figures.outstanding(session, tenant.id) == 5
    assert not is_summed(tenant)


def test_a_process_that_has_moved_points_can_end(settings, tenant):
    code = (
        "from gamify.app import create_app\n"
        f"sent = {{'X-API-Key': '{tenant.key}'}}\n"
        "body = {'participant_id': 'p', 'amount': 5}\n"
        "answer = create_app().test_client().post('/api/v1/gamify/points/award', headers=sent, json=body)\n"
        "print(answer.status_code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(settings), capture_output=True, text=True, timeout=30, check=True
    )

    assert done.stdout.strip() == "200"
