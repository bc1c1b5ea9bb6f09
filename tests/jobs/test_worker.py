"""`gamify worker`: real processes, killed and stopped, on a real database."""

import signal
import subprocess
import time
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from tests.harness import new_tenant
from tests.jobs.conftest import wait_until


def test_a_job_is_done_soon_after_its_transaction_commits(working):
    time.sleep(1)  # it listens by then

    working.defer("example_mark", name="soon")

    wait_until(lambda: working.marks("soon") == 1, within=4)  # it would look by itself every five seconds


@pytest.mark.long
def test_a_killed_workers_job_is_taken_up_again_within_a_minute(jobs, start):
    killed = start().await_ready()
    job_id = jobs.defer("example_steps", name="batches", count=60)
    wait_until(lambda: jobs.marks("batches") >= 5)

    killed.process.kill()
    died = time.monotonic()
    before = jobs.marks("batches")
    assert jobs.status(job_id) == "doing"
    start()
    wait_until(lambda: jobs.marks("batches") > before + 1, within=60)

    assert time.monotonic() - died < 60
    jobs.await_status(job_id, "succeeded")
    assert jobs.marks("batches") == 60


@pytest.mark.long
def test_a_worker_that_is_stopped_lets_go_of_its_job_and_the_next_goes_on(jobs, start):
    stopped = start().await_ready()
    job_id = jobs.defer("example_steps", name="batches", count=100)
    wait_until(lambda: jobs.marks("batches") >= 3)

    began = time.monotonic()
    assert stopped.end() == 0
    assert time.monotonic() - began < 5
    assert jobs.status(job_id) == "todo"
    assert 3 <= jobs.marks("batches") < 100

    start()
    jobs.await_status(job_id, "succeeded")
    assert jobs.marks("batches") == 100


@pytest.mark.long
def test_a_job_that_does_not_let_go_holds_up_the_end_ten_seconds_at_most(jobs, start):
    stopped = start().await_ready()
    job_id = jobs.defer("example_stubborn", name="stubborn")
    wait_until(lambda: jobs.marks("stubborn") == 1)

    began = time.monotonic()
    assert stopped.end() == 0
    assert time.monotonic() - began < 10
    assert jobs.status(job_id) == "doing"  # until somebody notices that its worker is gone


def test_the_end_of_the_parent_ends_it(jobs, start):
    child = start("--with-parent", stdin=subprocess.PIPE).await_ready()

    child.process.stdin.close()

    assert child.process.wait(10) == 0


def test_a_mistake_is_kept_with_its_kind_and_place_and_never_its_text(working):
    job_id = working.defer("example_mistake")
    working.await_status(job_id, "failed")
    wait_until(lambda: "a job did not end well" in working.log.read_text())

    ((error,),) = working.ask("SELECT error FROM job_errors WHERE job_id = %s", job_id)
    assert error.startswith("KeyError at ")
    assert "a secret" not in error + working.log.read_text()


def test_a_fault_of_the_database_is_tried_again(working):
    job_id = working.defer("example_fault", name="fault")

    working.await_status(job_id, "succeeded")

    assert working.marks("fault") == 3


def test_jobs_of_a_tenant_run_one_at_a_time_and_those_of_others_meanwhile(working):
    one, other = new_tenant(working.here), new_tenant(working.here)
    first = working.defer("example_steps", name="first", count=10, tenant_id=one.id)
    second = working.defer("example_steps", name="second", count=10, tenant_id=one.id)
    beside = working.defer("example_steps", name="beside", count=10, tenant_id=other.id)
    for job_id in (first, second, beside):
        working.await_status(job_id, "succeeded")

    (spans,) = working.ask("""
        SELECT max(at) FILTER (WHERE name = 'first') < min(at) FILTER (WHERE name = 'second'),
               min(at) FILTER (WHERE name = 'beside') < max(at) FILTER (WHERE name = 'first') FROM job_marks""")
    assert spans == (True, True)


def test_a_job_for_next_week_does_not_hold_up_its_tenants_others(working):
    tenant = new_tenant(working.here)
    later = working.defer("example_mark", name="later", tenant_id=tenant.id, at=datetime.now(UTC) + timedelta(days=7))
    soon = working.defer("example_mark", name="soon", tenant_id=tenant.id, at=datetime.now(UTC) + timedelta(seconds=2))
    now = working.defer("example_mark", name="now", tenant_id=tenant.id)

    working.await_status(now, "succeeded")
    working.await_status(soon, "succeeded")
    assert working.status(later) == "todo"


def test_a_job_of_a_tenant_that_is_gone_is_done_already(working):
    job_id = working.defer("example_mark", name="gone", tenant_id=123_456_789)

    working.await_status(job_id, "succeeded")

    assert working.marks("gone") == 0


def test_what_comes_by_the_clock_comes_once_however_many_workers_there_are(jobs, start):
    for _ in range(2):
        start().await_ready()
    wait_until(lambda: jobs.marks("example_clock") >= 4)

    (times,) = jobs.ask("SELECT count(*), count(DISTINCT date_trunc('second', at)) FROM job_marks WHERE name = 'example_clock'")
    assert times[0] <= times[1] + 2  # one may slip into the second of the next


def test_a_job_that_this_release_does_not_know_is_left_for_a_newer_worker(working):
    unknown = working.defer("of_the_next_release")
    known = working.defer("example_mark", name="known")

    working.await_status(known, "succeeded")

    assert working.status(unknown) == "todo"


@pytest.mark.long
def test_a_database_that_is_away_at_the_start_and_in_between_is_waited_for(jobs, quiet, start):
    name = quiet.database_url.split("/")[3].split("?")[0]
    with psycopg.connect(quiet.database_url.replace(f"/{name}?", "/postgres?"), autocommit=True) as admin:

        def let_in(*, is_allowed: bool) -> None:
            admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS {is_allowed}")
            if not is_allowed:
                admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])

        jobs.here.database.close()
        let_in(is_allowed=False)
        worker = start()
        wait_until(lambda: "waits for the database" in worker.log.read_text())
        let_in(is_allowed=True)
        first = jobs.defer("example_steps", name="first", count=40)
        wait_until(lambda: jobs.marks("first") >= 3)

        let_in(is_allowed=False)
        time.sleep(7)  # longer than a sign of life takes
        assert worker.process.poll() is None
        let_in(is_allowed=True)
        jobs.here.database.close()
        second = jobs.defer("example_mark", name="second")
        jobs.await_status(second, "succeeded")
        jobs.await_status(first, "succeeded", within=60)

    assert jobs.marks("first") == 40
    assert worker.end(signal.SIGINT) == 0


def test_its_log_has_no_line_of_a_quiet_day(jobs, start):
    worker = start().await_ready()
    job_id = jobs.defer("example_mark", name="quiet")
    jobs.await_status(job_id, "succeeded")

    assert worker.end() == 0
    assert worker.log.read_text() == ""
