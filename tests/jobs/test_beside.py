"""The worker that `gamify serve` starts beside itself."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from gamify.config import Settings

from tests.harness import environment, free_port
from tests.jobs.conftest import wait_until

END_WITHIN = 30


def workers_of(parent: int) -> set[int]:
    """The worker processes that a server has started."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
            command = (stat.parent / "cmdline").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[1]) == parent and "--with-parent" in command and fields[0] != "Z":
            found.add(int(stat.parent.name))
    return found


def worker_of(server: "subprocess.Popen[str]") -> int:
    """The worker of a server; it starts when the server is ready."""
    wait_until(lambda: len(workers_of(server.pid)) == 1)
    return workers_of(server.pid).pop()


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


Serve = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def serve(jobs, quiet: Settings, data_dir: Path) -> Iterator[Serve]:
    """Starts servers in sessions of their own, and ends what is left of them before their folder goes."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, using: Settings = quiet) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "gamify.cli", "serve", "--workers", "1", "--port", str(free_port()), *arguments]
        started.append(
            subprocess.Popen(command, env=environment(using), stdout=subprocess.PIPE, text=True, start_new_session=True)
        )
        assert "http://" in started[-1].stdout.readline()
        return started[-1]

    yield start
    for process in started:
        process.terminate()  # one with servers of its own stops them
        try:
            process.communicate(timeout=END_WITHIN)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def has_registered(jobs) -> bool:
    return jobs.ask("SELECT count(*) FROM procrastinate_workers WHERE last_heartbeat > now() - interval '20 s'") == [(1,)]


@pytest.mark.parametrize(("sent", "to_all"), [(signal.SIGTERM, False), pytest.param(signal.SIGINT, True, marks=pytest.mark.long)])
def test_a_signal_ends_the_worker_too(jobs, serve, sent, to_all):
    server = serve("--with-worker")
    worker = worker_of(server)
    wait_until(lambda: has_registered(jobs))

    (os.killpg if to_all else os.kill)(server.pid, sent)

    assert server.wait(END_WITHIN) == 0
    assert not is_alive(worker)
    assert jobs.ask("SELECT count(*) FROM procrastinate_workers") == [(0,)]


@pytest.mark.long
def test_a_killed_server_leaves_no_worker_behind(jobs, serve):
    server = serve("--with-worker")
    worker = worker_of(server)
    wait_until(lambda: has_registered(jobs))

    server.kill()

    wait_until(lambda: not is_alive(worker), within=END_WITHIN)


@pytest.mark.long
def test_a_worker_that_dies_comes_again(jobs, serve):
    server = serve("--with-worker")
    worker = worker_of(server)

    os.kill(worker, signal.SIGKILL)

    wait_until(lambda: bool(workers_of(server.pid) - {worker}), within=END_WITHIN)
    server.terminate()
    assert server.wait(END_WITHIN) == 0
    assert workers_of(server.pid) == set()


@pytest.mark.long
def test_it_starts_one_with_an_embedded_database_alone_unless_told_otherwise(serve, quiet, data_dir):
    embedded = replace(quiet, data_dir=data_dir, database_url=None, redis_url=None, secret_key="", api_key_pepper="")

    assert worker_of(serve(using=embedded))
    without = [serve("--no-worker", using=embedded), serve()]
    time.sleep(2)
    assert [workers_of(each.pid) for each in without] == [set(), set()]
