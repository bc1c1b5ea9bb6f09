"""`gamify serve` on given servers."""

import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from gamify.config import Settings

from tests.cli.asserting import fails
from tests.harness import Server, environment, free_port

END_WITHIN = 20


def processes_of(parent: int) -> set[int]:
    """The process and everything it has started."""
    found = {parent}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            pid, ppid = int(stat.parent.name), int(stat.read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        if ppid == parent:
            found |= processes_of(pid)
    return found


def alive(pids: set[int]) -> set[int]:
    return {pid for pid in pids if Path(f"/proc/{pid}").exists()}


@pytest.fixture
def serve(settings: Settings) -> Iterator[Callable[..., Server]]:
    """Starts servers; what they print is in `output`, a session of their own keeps Ctrl-C apart from this process."""
    started: list[Server] = []

    def start(*arguments: str, using: Settings = settings) -> Server:
        port = free_port()
        process = subprocess.Popen(
            [sys.executable, "-m", "gamify.cli", "serve", "--port", str(port), *arguments],
            env=environment(using),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(Server(f"http://127.0.0.1:{port}", process))
        return started[-1]

    yield start
    for server in started:
        if server.process.poll() is None:
            os.killpg(server.process.pid, signal.SIGKILL)
        server.process.communicate()


def first_line(server: Server) -> str:
    assert server.process.stdout
    assert select.select([server.process.stdout], [], [], 60)[0], "nothing was printed"
    return server.process.stdout.readline()


def test_one_line_says_where_it_is_ready(serve):
    server = serve("--workers", "1")

    assert re.fullmatch(rf".*{re.escape(server.url)}\n", first_line(server))

    assert httpx.get(f"{server.url}/healthz").status_code == 200
    server.process.terminate()
    out, err = server.process.communicate(timeout=END_WITHIN)
    assert (out, err, server.process.returncode) == ("", "", 0)


@pytest.mark.parametrize(
    ("sent", "to_all"),
    [
        (signal.SIGTERM, False),
        pytest.param(signal.SIGINT, False, marks=pytest.mark.long),
        pytest.param(signal.SIGINT, True, marks=pytest.mark.long),
    ],
)
def test_a_signal_ends_it_and_leaves_no_process(serve, sent, to_all):
    server = serve("--workers", "2")
    first_line(server)
    pids = processes_of(server.process.pid)
    assert len(pids) >= 3

    (os.killpg if to_all else os.kill)(server.process.pid, sent)  # Ctrl-C reaches all of them

    out, err = server.process.communicate(timeout=END_WITHIN)
    assert (out, err, server.process.returncode) == ("", "", 0)
    deadline = time.monotonic() + END_WITHIN
    while alive(pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert alive(pids) == set()


@pytest.mark.long
def test_ctrl_c_while_workers_start_ends_it_quietly(serve):
    server = serve("--workers", "4")
    first_line(server)  # the first is ready, the others hardly

    os.killpg(server.process.pid, signal.SIGINT)
    out, err = server.process.communicate(timeout=END_WITHIN)

    assert (out, err, server.process.returncode) == ("", "", 0)


@pytest.mark.long
def test_a_killed_worker_is_replaced(serve):
    server = serve("--workers", "1")
    first_line(server)
    before = processes_of(server.process.pid)
    with httpx.Client(base_url=server.url) as client:
        client.get("/healthz")
    for pid in before - {server.process.pid}:
        if "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text():
            os.kill(pid, signal.SIGKILL)

    deadline = time.monotonic() + 30
    answered = False
    while not answered and time.monotonic() < deadline:
        try:
            answered = httpx.get(f"{server.url}/healthz", timeout=2).status_code == 200
        except httpx.HTTPError:
            time.sleep(0.1)
    assert answered


def test_a_taken_port_ends_it_with_one_sentence(settings):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        assert str(port) in fails(settings, "serve", "--port", str(port))


@pytest.mark.parametrize("where", [["--port", "99999"], ["--port", "-1"], ["--host", "no.such.host.example"]])
def test_a_place_that_cannot_be_is_told_in_one_sentence(settings, where):
    done_code = 2 if where[0] == "--port" else 1

    fails(settings, "serve", "--port", str(free_port()), *where, code=done_code)


def test_production_serves_on_given_servers(serve, settings):
    server = serve("--workers", "1", using=replace(settings, environment="production"))

    assert server.url in first_line(server)
    assert httpx.get(f"{server.url}/readyz").status_code == 200


def test_no_key_ever_stands_in_its_log(serve, settings, tenant):
    server = serve("--workers", "1", using=replace(settings, log_level="DEBUG"))
    first_line(server)
    headers = {"X-API-Key": tenant.key}
    httpx.get(f"{server.url}/api/v1/gamify/participants/p/points", headers=headers)
    httpx.get(f"{server.url}/api/v1/gamify/participants/{tenant.key}/points", headers=headers)

    server.process.terminate()
    _, err = server.process.communicate(timeout=END_WITHIN)
    assert tenant.key not in err


@pytest.mark.long
def test_it_answers_to_the_host_it_is_told_to_listen_at(serve, settings):
    server = serve("--workers", "1", "--host", "127.0.0.2", using=replace(settings, allowed_hosts=("points.example",)))
    url = first_line(server).split()[-1]

    assert url.startswith("http://127.0.0.2:")
    assert httpx.get(f"{url}/docs").status_code == 200
    assert httpx.get(f"{url}/docs", headers={"Host": "points.example"}).status_code == 200
    assert httpx.get(f"{url}/docs", headers={"Host": "localhost"}).json()["code"] == "host_not_served"


@pytest.mark.long
def test_listening_everywhere_allows_no_further_name(serve):
    server = serve("--workers", "1", "--host", "0.0.0.0")
    port = first_line(server).rpartition(":")[2].strip()

    assert httpx.get(f"http://127.0.0.1:{port}/docs").status_code == 200
    assert httpx.get(f"http://127.0.0.2:{port}/docs").json()["code"] == "host_not_served"
