"""A migrated database of each test's own, and workers on it as processes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from filelock import FileLock
from gamify import queue
from gamify.config import Settings
from gamify.deployment import Deployment
from gamify.embedded import EmbeddedServers

from tests import secrets_issued
from tests.harness import environment, make_database, numbers, settings_for, url_of
from tests.jobs.examples import TABLE

END_WITHIN = 15


class WorkerUnderTest:
    """A worker's process; it has the jobs of `examples` too."""

    def __init__(self, settings: Settings, log: Path, *arguments: str, **options: Any) -> None:
        self.log = log
        secrets_issued.files.append(log)
        with log.open("w") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.jobs.examples", "worker", *arguments],
                env=environment(settings),
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                **options,
            )

    def await_ready(self) -> "WorkerUnderTest":
        assert self.process.stdout
        assert "ready" in self.process.stdout.readline(), self.log.read_text()
        return self

    def end(self, sent: int = signal.SIGTERM) -> int:
        os.kill(self.process.pid, sent)
        self.process.communicate(timeout=END_WITHIN)
        return self.process.returncode


Start = Callable[..., WorkerUnderTest]


class Jobs:
    """What a test does to the queue, and sees of it."""

    def __init__(self, here: Deployment) -> None:
        self.here = here
        self.log = Path(os.devnull)  # of the worker that is shared, if one is

    def defer(self, name: str, /, **arguments: Any) -> int:
        with self.here.database.transaction() as session:
            return queue.defer(session, name, **arguments)

    def ask(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.here.settings.database_url, autocommit=True) as owner:
            return owner.execute(query, values).fetchall()

    def status(self, job_id: int) -> str:
        return self.ask("SELECT status::text FROM procrastinate_jobs WHERE id = %s", job_id)[0][0]

    def marks(self, name: str) -> int:
        return self.ask("SELECT count(*) FROM job_marks WHERE name = %s", name)[0][0]

    def await_status(self, job_id: int, status: str, *, within: float = 30) -> float:
        return wait_until(lambda: self.status(job_id) == status, within=within)


def wait_until(is_so: Callable[[], bool], *, within: float = 30) -> float:
    """Wait, and return how long that took."""
    began = time.monotonic()
    while not is_so():
        assert time.monotonic() - began < within
        time.sleep(0.05)
    return time.monotonic() - began


@pytest.fixture
def quiet(servers: EmbeddedServers, template: str, run_folder: Path, worker_id: str) -> Iterator[Settings]:
    """Settings with a database of this test's own, so that no other test's jobs are in it."""
    with a_database(servers, template, run_folder, f"jobs_{worker_id}") as settings:
        yield settings


@contextmanager
def a_database(servers: EmbeddedServers, template: str, run_folder: Path, name: str) -> Iterator[Settings]:
    """Settings with a new database, which is gone afterwards."""
    with FileLock(run_folder / "template.lock"):
        make_database(servers, name, template=template)
    yield settings_for(servers, run_folder, name)
    with psycopg.connect(url_of(servers, "postgres"), autocommit=True) as admin:
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def jobs(quiet: Settings) -> Iterator[Jobs]:
    with jobs_on(quiet) as found:
        yield found


@contextmanager
def jobs_on(quiet: Settings) -> Iterator[Jobs]:
    here = Deployment(replace(quiet, pool_size=4))
    with psycopg.connect(quiet.database_url, autocommit=True) as owner:
        owner.execute(TABLE)
    yield Jobs(here)
    here.close()


@pytest.fixture
def start(quiet: Settings, jobs: Jobs) -> Iterator[Start]:
    with workers_on(quiet) as begin:
        yield begin


@contextmanager
def workers_on(quiet: Settings) -> Iterator[Start]:
    started: list[WorkerUnderTest] = []

    def begin(*arguments: str, using: Settings = quiet, **options: Any) -> WorkerUnderTest:
        log = using.data_dir / f"worker-{next(numbers)}.log"
        started.append(WorkerUnderTest(using, log, *arguments, **options))
        return started[-1]

    yield begin
    for each in started:
        if each.process.poll() is None:
            each.process.kill()
        each.process.wait()
        if each.process.stdout:
            each.process.stdout.close()
        sys.stderr.write(each.log.read_text())  # beside the test that failed


@pytest.fixture(scope="module")
def working(servers: EmbeddedServers, template: str, run_folder: Path, worker_id: str) -> Iterator[Jobs]:
    """A queue with a worker, for tests that leave both as they were."""
    with (
        a_database(servers, template, run_folder, f"work_{worker_id}") as settings,
        jobs_on(settings) as jobs,
        workers_on(settings) as start,
    ):
        jobs.log = start().await_ready().log
        yield jobs
