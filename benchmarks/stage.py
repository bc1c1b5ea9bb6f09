"""What the workloads run on: a cluster and servers of their own, tenants, participants and long histories."""

import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import psycopg
from gamify import config
from gamify.db import Database
from gamify.embedded import EmbeddedServers, _postgres_binaries
from gamify.embedded import _Account as Account
from gamify.services import api_keys, tenants
from gamify.services.audit import SYSTEM

UNLIMITED = 10_000_000  # requests a minute: more than can be sent, but counted
WORKERS = 2

FILL_PARTICIPANTS = """
    INSERT INTO participants (tenant_id, external_id, balance, total_earned, total_spent, entry_count, tier, last_entry_at)
    SELECT %(tenant)s, 'user_' || n, 1000, 1000, 0, 1, 2, now() FROM generate_series(1, %(count)s) AS n
"""
FILL_ENTRIES = """
    INSERT INTO ledger_entries (tenant_id, participant_id, seq, id, type, points, balance_after, total_earned_after,
        total_spent_after, ladder_version, tier_before, tier_after, created_at)
    SELECT tenant_id, id, 1, entry_id(last_entry_at), 'award', 1000, 1000, 1000, 0, 1, 1, 2, last_entry_at
    FROM participants WHERE tenant_id = %(tenant)s AND entry_count = 1
"""
FILL_HISTORY = """
    WITH whose AS (
        INSERT INTO participants (tenant_id, external_id, balance, total_earned, total_spent, entry_count, tier, last_entry_at)
        VALUES (%(tenant)s, 'long', %(count)s, %(count)s, 0, %(count)s, width_bucket(%(count)s, '{0,500,1500}'::bigint[]), now())
        RETURNING *
    )
    INSERT INTO ledger_entries (tenant_id, participant_id, seq, id, type, points, balance_after, total_earned_after,
        total_spent_after, ladder_version, tier_before, tier_after, reason, created_at)
    SELECT tenant_id, id, n, entry_id(at), 'award', 1, n, n, 0, 1, width_bucket(n - 1, '{0,500,1500}'::bigint[]),
           width_bucket(n, '{0,500,1500}'::bigint[]), 'Purchase completed', at
    FROM whose, generate_series(1, total_earned) AS n,
         LATERAL (SELECT last_entry_at - (total_earned - n) * interval '10 ms' AS at) AS instant
"""


@dataclass
class Tenant:
    """A tenant with a key whose limits are counted but never reached."""

    slug: str
    id: int
    key: str


class Stage:
    """Servers under a folder, and environments for processes that use them."""

    def __init__(self, folder: Path) -> None:
        os.environ.update(GAMIFY_DATA_DIR=str(folder), GAMIFY_LOG_LEVEL="WARNING")
        for name in ("DATABASE_URL", "REDIS_URL", "DATABASE_OWNER_URL"):
            os.environ.pop(name, None)
        self.folder = folder
        self.servers = EmbeddedServers(folder)
        self.servers.join()
        kept = config.load()
        self.env = os.environ | {
            "DATABASE_URL": self.servers.database_url,
            "REDIS_URL": self.servers.redis_url,
            "SECRET_KEY": kept.secret_key,
            "API_KEY_PEPPER": kept.api_key_pepper,
        }
        self.gamify("db", "upgrade")
        url = self.servers.database_url
        self.database = Database(lambda: url, owner_url=lambda: url, pool_size=1)
        self.processes: list[subprocess.Popen[bytes]] = []

    def gamify(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "gamify.cli", *arguments]
        return subprocess.run(command, env=self.env, check=True, stdout=subprocess.PIPE, text=True).stdout

    def sql(self, statement: str, **values: object) -> list[tuple[object, ...]]:
        with psycopg.connect(self.servers.database_url, autocommit=True) as connection:
            cursor = connection.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []

    def tenant(self, slug: str, *, participants: int = 0, limit: int = UNLIMITED) -> Tenant:
        with self.database.transaction() as session:
            made = tenants.create(session, slug=slug, name=slug, actor=SYSTEM)
            tenants.set_rate_limit(session, made, rate_limit=limit, actor=SYSTEM)
            _, key = api_keys.issue(
                session, made, name="bench", pepper=self.env["API_KEY_PEPPER"], rate_limit=UNLIMITED, actor=SYSTEM
            )
        if participants:
            self.sql(FILL_PARTICIPANTS, tenant=made.id, count=participants)
            self.sql(FILL_ENTRIES, tenant=made.id)
        return Tenant(slug, made.id, key)

    def long_history(self, tenant: Tenant, entries: int) -> None:
        self.sql(FILL_HISTORY, tenant=tenant.id, count=entries)

    def serve(self, factory: str = "gamify.cli.process:app", **env: str) -> str:
        """Start our server; return its URL."""
        port = free_port()
        code = (
            f"from gamify.cli.serve import server; server({factory!r}, host='127.0.0.1', port={port}, workers={WORKERS}).serve()"
        )
        return self._start([sys.executable, "-c", code], port, env, "/healthz")

    def serve_yardstick(self) -> str:
        port = free_port()
        command = [sys.executable, "-m", "uvicorn", "benchmarks.yardstick:app", "--port", str(port), "--workers", str(WORKERS)]
        return self._start([*command, "--log-level", "error"], port, {}, "/openapi.json")

    def _start(self, command: list[str], port: int, env: dict[str, str], probe: str) -> str:
        self.processes.append(subprocess.Popen(command, env=self.env | env))
        url = f"http://127.0.0.1:{port}"
        for _ in range(300):
            try:
                urllib.request.urlopen(url + probe, timeout=5).close()
            except OSError:
                time.sleep(0.1)
            else:
                return url
        raise SystemExit(f"{command} did not start")

    def pgbench(self, script: Path, *, seconds: int, clients: int, tenant: Tenant) -> float:
        """Run a statement as fast as the database can; return how often a second."""
        command = [
            self._binary("pgbench"),
            "-n",
            "-M",
            "prepared",
            "-c",
            clients,
            "-j",
            2,
            "-T",
            seconds,
            "-D",
            f"tenant={tenant.id}",
        ]
        done = self._run(*command, "-f", script, self.servers.database_url.replace("postgresql://postgres@", "postgresql://"))
        return float(re.search(r"tps = ([\d.]+)", done)[1])  # type: ignore[index]

    def wal_bytes(self, since: str, until: str) -> tuple[int, int]:
        """Return the bytes of WAL records, and of full-page images, between two positions."""
        wal = self.folder / "postgres" / "pg_wal"
        done = self._run(self._binary("pg_waldump"), "--stats", "-p", wal, "-s", since, "-e", until)
        total = next(line for line in done.splitlines() if line.startswith("Total"))
        records, images = re.findall(r"(\d+) +\[[\d.]+%\]", total)[:2]
        return int(records), int(images)

    def position(self) -> str:
        return str(self.sql("SELECT pg_current_wal_flush_lsn()::text")[0][0])

    def memory(self, url: str) -> list[int]:
        """Return the resident MiB of each worker behind a URL."""
        parent = next(p.pid for p in self.processes if str(url.rsplit(":", 1)[1]) in str(p.args))
        pids = subprocess.run(["ps", "-o", "pid=,rss=,args=", "--ppid", str(parent)], capture_output=True, text=True, check=False)
        lines = [line.split(None, 2) for line in pids.stdout.splitlines() if "resource_tracker" not in line]
        return [int(rss) // 1024 for _, rss, _ in lines]

    def close(self) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(30)
        self.database.close()
        self.servers.leave()

    def _binary(self, name: str) -> Path:
        return _postgres_binaries(Account.current()) / name

    def _run(self, *command: object) -> str:
        env = {"PGUSER": "postgres", "PATH": os.environ["PATH"]}
        done = subprocess.run([str(c) for c in command], env=env, check=False, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(done.stderr)
        return done.stdout


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
