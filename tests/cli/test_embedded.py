"""No URL set: commands start, share and stop servers of their own."""

import json
import os
import re
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from gamify.config import Settings

from tests.cli.asserting import prints
from tests.harness import Server, environment, free_port

END_WITHIN = 30


@pytest.fixture(scope="module")
def used_folder(settings: Settings, run_folder: Path) -> Iterator[Path]:
    """A folder in which a tenant was made, so that not every test must make a cluster."""
    with tempfile.TemporaryDirectory(dir=run_folder, ignore_cleanup_errors=True) as folder:
        prints(apart(settings, Path(folder) / "used"), "tenants", "create", "acme", "--name", "Acme")
        yield Path(folder) / "used"


@pytest.fixture
def alone(settings: Settings, data_dir: Path, used_folder: Path) -> Iterator[Settings]:
    """Settings of somebody who has set nothing but a folder, with a tenant; no server may be left at the end."""
    folder = data_dir / "mine"
    subprocess.run(["cp", "-a", used_folder, folder], check=True)
    yield apart(settings, folder)
    assert servers_of(folder) == []


def apart(settings: Settings, folder: Path) -> Settings:
    return replace(settings, data_dir=folder, database_url=None, redis_url=None, secret_key="", api_key_pepper="")


def servers_of(folder: Path) -> list[str]:
    """The command lines of servers that run for a data folder (its sockets may lie elsewhere)."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command, where = (process / "cmdline").read_text(), str((process / "cwd").readlink())
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        if ("bin/postgres" in command or "valkey-server" in command) and (str(folder) in command or str(folder) in where):
            found.append(command.replace("\0", " "))
    return found


def serve(settings: Settings) -> Server:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "gamify.cli", "serve", "--workers", "1", "--port", str(port)],
        env=environment(settings),
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout
    assert "http://" in process.stdout.readline()
    return Server(f"http://127.0.0.1:{port}", process)


def end(server: Server, sent: int = signal.SIGTERM) -> None:
    os.killpg(server.process.pid, sent)
    server.process.communicate(timeout=END_WITHIN)


def test_a_command_starts_servers_migrates_and_stops_them(settings, used_folder):
    assert servers_of(used_folder) == []

    assert "acme" in prints(apart(settings, used_folder), "tenants", "list")
    assert stat.S_IMODE((used_folder / "secrets.json").stat().st_mode) == 0o600
    assert servers_of(used_folder) == []


@pytest.mark.long
def test_first_commands_at_once_make_one_cluster(settings, data_dir):
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda n: prints(apart(settings, data_dir), "tenants", "create", f"t-{n}", "--name", "T"), range(3)))

    assert servers_of(data_dir) == []
    assert len(prints(apart(settings, data_dir), "tenants", "list").splitlines()) == 6


def test_commands_at_once_share_the_servers(alone):
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda n: prints(alone, "tenants", "create", f"t-{n}", "--name", "T"), range(3)))

    assert servers_of(alone.data_dir) == []
    assert len(prints(alone, "tenants", "list").splitlines()) == 8


def test_commands_join_a_server_that_runs_and_leave_it_running(alone):
    server = serve(alone)
    try:
        key = json.loads(prints(alone, "keys", "create", "acme", "--name", "k", "--json"))["api_key"]
        answer = httpx.post(
            f"{server.url}/api/v1/gamify/points/award",
            json={"participant_id": "p", "amount": 7},
            headers={"X-API-Key": key},
        )
        prints(alone, "keys", "revoke", key[:16])
        refused = httpx.get(f"{server.url}/api/v1/gamify/participants/p/points", headers={"X-API-Key": key})
    finally:
        end(server, signal.SIGINT)

    assert answer.json()["new_balance"] == 7
    assert refused.status_code == 401


@pytest.mark.long
def test_a_killed_command_does_not_keep_anybody_from_working(alone):
    server = serve(alone)
    end(server, signal.SIGKILL)

    assert "acme" in prints(alone, "tenants", "list")
    deadline = time.monotonic() + END_WITHIN
    while servers_of(alone.data_dir) and time.monotonic() < deadline:
        time.sleep(0.1)


@pytest.mark.long
def test_killed_servers_come_back_with_everything(alone):
    server = serve(alone)
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if str(alone.data_dir) in command and ("bin/postgres" in command or "valkey-server" in command):
            os.kill(int(process.name), signal.SIGKILL)
    end(server, signal.SIGKILL)

    assert "acme" in prints(alone, "tenants", "list")


@pytest.mark.long
def test_demo_keeps_its_keys_and_prints_them_again(alone):
    first = prints(alone, "demo")
    again = prints(alone, "demo")

    assert re.search(r"gk_live_\w+", first)
    assert again == first
    assert stat.S_IMODE((alone.data_dir / "demo.json").stat().st_mode) == 0o600


@pytest.mark.long
def test_a_very_long_folder_works_and_leaves_nothing_elsewhere(settings, data_dir, monkeypatch):
    elsewhere = data_dir / "tmp"
    elsewhere.mkdir(mode=0o711)
    monkeypatch.setenv("TMPDIR", str(elsewhere))
    folder = data_dir / "a folder, with 'a' long name ünïcode" / ("x" * 120)

    prints(apart(settings, folder), "tenants", "create", "acme", "--name", "Acme")

    assert "acme" in prints(apart(settings, folder), "tenants", "list")
    assert servers_of(folder) == []
    assert list(elsewhere.iterdir()) == []


@pytest.mark.long
def test_another_copy_runs_beside_it(settings, alone, data_dir):
    server = serve(alone)
    try:
        other = apart(settings, data_dir / "other")

        assert prints(other, "tenants", "list") == ""
        assert servers_of(other.data_dir) == []
        assert len(servers_of(alone.data_dir)) == 2
    finally:
        end(server)
