"""How work is queued, and what becomes of its records."""

import ast
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread

import pytest
from gamify import jobs as _jobs  # noqa: F401  # registers them
from gamify import queue
from gamify.errors import Conflict, NotFound, Unavailable
from gamify.jobs.registry import JOBS, Job
from gamify.jobs.turn import LetGo, Retries, perform
from gamify.services import job_records
from procrastinate.jobs import Job as Queued
from procrastinate.schema import SchemaManager
from sqlalchemy import text

from tests.harness import new_tenant

ROOT = Path(__file__).parents[2]
FETCH = "SELECT id FROM procrastinate_fetch_job_v2(NULL, NULL)"
NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)


def names_in(source: str) -> set[str]:
    """The second argument of every call of queue.defer."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return {ast.literal_eval(call.args[1]) for call in calls if ast.unparse(call.func) in {"queue.defer", "defer"}}


def test_every_name_that_is_queued_has_a_job():
    files = [file for folder in ("platform", "dashboard") for file in (ROOT / folder).rglob("*.py")]
    queued = {name for file in files for name in names_in(file.read_text())}

    assert queued <= set(JOBS)
    assert names_in('queue.defer(session, "no_such_job", tenant_id=1)') == {"no_such_job"}


def test_the_schema_of_the_queue_is_the_installed_packages():
    """A release of the package that changes the schema needs a revision of ours, and a new name here."""
    files = sorted(file.name for file in Path(SchemaManager.get_migrations_path()).glob("*.sql"))

    assert files[-1].startswith("03.04.00_50")


def test_work_of_a_transaction_that_is_rolled_back_is_never_done(jobs):
    with jobs.here.database.transaction() as session:
        queue.defer(session, "example_mark", name="never")
        session.rollback()

    assert jobs.ask("SELECT count(*) FROM procrastinate_jobs") == [(0,)]


def test_the_same_work_is_queued_once_and_another_time_or_tenant_is_other_work(jobs):
    at = NOW + timedelta(days=1)
    asked = [{"tenant_id": 1}, {"tenant_id": 1}, {"tenant_id": 2}, {"tenant_id": 1, "at": at}, {"tenant_id": 1, "at": at}]

    first, again, other, later, later_again = (jobs.defer("example_mark", **each) for each in asked)

    assert (first, later) == (again, later_again)
    assert len({first, other, later}) == 3


def test_work_that_has_begun_is_queued_anew(jobs):
    first = jobs.defer("example_mark", tenant_id=1)
    assert jobs.ask(FETCH) == [(first,)]

    assert jobs.defer("example_mark", tenant_id=1) != first


def test_nobody_begins_what_an_open_transaction_has_asked_for_again(jobs):
    """Or the job would run without seeing what that transaction is about to commit, and nothing would come after it."""
    first = jobs.defer("example_mark", tenant_id=1)
    with jobs.here.database.transaction() as session:
        assert queue.defer(session, "example_mark", tenant_id=1) == first
        assert jobs.ask(FETCH) == [(None,)]

    assert jobs.ask(FETCH) == [(first,)]


def test_a_job_goes_back_into_the_queue_although_the_same_work_was_queued_meanwhile(jobs):
    first = jobs.defer("example_mark", name="x")
    jobs.ask(FETCH)
    second = jobs.defer("example_mark", name="x")

    with jobs.here.database.transaction() as session:
        assert job_records.take_up(session, unheard_for=20) == [first]

    assert [jobs.status(each) for each in (first, second)] == ["todo", "todo"]


def test_two_who_look_for_stalled_jobs_take_each_up_once(jobs):
    job_ids = {jobs.defer("example_mark", name=str(n)) for n in range(20)}
    for _ in job_ids:
        jobs.ask(FETCH)
    found: list[int] = []

    def look() -> None:
        with jobs.here.database.transaction() as session:
            found.extend(job_records.take_up(session, unheard_for=20))

    threads = [Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == sorted(job_ids)


def test_jobs_of_a_worker_that_gives_signs_of_life_are_left_to_it(jobs):
    ((worker,),) = jobs.ask("INSERT INTO procrastinate_workers DEFAULT VALUES RETURNING id")
    job_id = jobs.defer("example_mark", name="x")
    jobs.ask("SELECT id FROM procrastinate_fetch_job_v2(NULL, %s)", worker)

    def taken() -> list[int]:
        with jobs.here.database.transaction() as session:
            return job_records.take_up(session, unheard_for=20)

    assert taken() == []
    jobs.ask("UPDATE procrastinate_workers SET last_heartbeat = now() - interval '21 seconds' RETURNING id")
    assert taken() == [job_id]


def finish(jobs, status: str, days_ago: int) -> int:
    job_id = jobs.defer("example_mark", name=f"{status} {days_ago}")
    jobs.ask("UPDATE procrastinate_jobs SET status = %s::procrastinate_job_status WHERE id = %s RETURNING id", status, job_id)
    jobs.ask(
        "UPDATE procrastinate_events SET at = now() - make_interval(days => %s) WHERE job_id = %s RETURNING 1", days_ago, job_id
    )
    with jobs.here.database.transaction() as session:
        job_records.note_error(session, job_id, "KeyError")
    return job_id


def test_what_is_over_goes_after_a_week_and_what_has_failed_after_a_month(jobs):
    kept = [finish(jobs, "succeeded", 6), finish(jobs, "failed", 29), jobs.defer("example_mark", name="queued")]
    jobs.ask("UPDATE procrastinate_events SET at = at - interval '90 days' WHERE job_id = %s RETURNING 1", kept[-1])
    finish(jobs, "succeeded", 8), finish(jobs, "failed", 31)

    perform(JOBS["forget_old_jobs"], jobs.here, {}, is_stopping=lambda: False)

    assert [job_id for (job_id,) in jobs.ask("SELECT id FROM procrastinate_jobs ORDER BY id")] == kept
    assert jobs.ask("SELECT count(*) FROM job_errors") == [(2,)]


def test_only_a_job_that_has_failed_is_tried_again_by_hand(jobs):
    failed, queued = finish(jobs, "failed", 1), jobs.defer("example_mark", name="queued")

    with jobs.here.database.transaction() as session:
        job_records.retry(session, failed)
    for job_id, refusal in ((queued, Conflict), (987_654, NotFound)):
        with pytest.raises(refusal, match=str(job_id)), jobs.here.database.transaction() as session:
            job_records.retry(session, job_id)

    assert jobs.status(failed) == "todo"


@pytest.mark.parametrize(
    ("error", "attempts", "seconds"),
    [(Unavailable(), 0, 1), (Unavailable(), 3, 8), (Unavailable(), 20, 60), (LetGo(), 500, 0), (Unavailable(), 50, None)],
)
def test_faults_are_tried_again_less_and_less_soon(error, attempts, seconds):
    queued = Queued(id=1, queue="q", lock=None, queueing_lock=None, task_name="t", attempts=attempts)
    decided = Retries().get_retry_decision(exception=error, job=queued)

    if seconds is None:
        assert decided is None
    else:
        assert (decided.retry_at - datetime.now(UTC)).total_seconds() == pytest.approx(seconds, abs=0.5)


def test_a_mistake_is_not_tried_again():
    queued = Queued(id=1, queue="q", lock=None, queueing_lock=None, task_name="t")

    assert Retries().get_retry_decision(exception=KeyError(), job=queued) is None


def test_a_tenant_whose_turn_fails_does_not_keep_the_others_from_theirs(jobs):
    tenants = [new_tenant(jobs.here) for _ in range(3)]
    had: list[int] = []

    def run(_here: object, *, tenant_id: int) -> None:
        had.append(tenant_id)
        if tenant_id == tenants[0].id:
            raise KeyError

    with pytest.raises(KeyError):
        perform(Job("each", run, None, is_for_each_tenant=True), jobs.here, {}, is_stopping=lambda: False)

    assert {each.id for each in tenants} | {each.sandbox_id for each in tenants} <= set(had)


def test_a_tenant_that_is_being_deleted_has_no_turn(jobs):
    tenant, had = new_tenant(jobs.here), []
    with jobs.here.database.transaction() as session:
        session.execute(text("UPDATE tenants SET status = 'deleting' WHERE id = :id"), {"id": tenant.id})

    each = Job("each", lambda _here, *, tenant_id: had.append(tenant_id), None, is_for_each_tenant=True)
    perform(each, jobs.here, {}, is_stopping=lambda: False)

    assert tenant.id not in had
    assert tenant.sandbox_id in had


def test_whoever_waits_for_a_notice_is_told_at_the_commit(jobs):
    """The queue's own trigger does so; the statement of ours must set it off."""
    with jobs.here.database.connection() as connection:
        connection.execute('LISTEN "procrastinate_queue_v1#example_mark"')
        jobs.defer("example_mark", name="x")
        assert [each.channel for each in connection.notifies(timeout=5, stop_after=1)]
        connection.execute("UNLISTEN *")
