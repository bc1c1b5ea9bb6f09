"""Tenants, clients and servers under test."""

import itertools
import json
import os
import socket
import ssl
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import psycopg
import redis
from flask.testing import FlaskClient
from gamify.config import LOOPBACK, Settings
from gamify.db import act_as
from gamify.deployment import Deployment
from gamify.embedded import EmbeddedServers, _valkey_binary
from gamify.models import Export, LadderDraft, Participant, PointCost, ReportSchedule, RequestMonth, SavedReport, Word
from gamify.services import api_keys, details, erasures, holds, recalculations, rollups, tenants, tiers, verification
from gamify.services.audit import SYSTEM
from gamify.services.reports import dimensions
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from tests import commands, secrets_issued

BASE = "/api/v1/gamify"
PEPPER = "a pepper for tests, 32 characters"
NO_TLS = ssl.create_default_context()  # nobody uses it, and each client would make one, which takes longer than a test
numbers = (f"{os.getpid()}-{n}" for n in itertools.count(1))
names = (f"tenant-{os.getpid()}-{n}" for n in itertools.count(1))


def settings_for(servers: EmbeddedServers, folder: Path, database: str, redis_number: int = 0) -> Settings:
    return Settings(
        environment="development",
        data_dir=folder,
        secret_key="a secret for tests, 32 characters",
        api_key_pepper=PEPPER,
        database_url=url_of(servers, database),
        database_owner_url=None,
        redis_url=f"{servers.redis_url}?db={redis_number}",
        pool_size=32,
        log_level="INFO",
        is_gathering=True,
        allowed_hosts=LOOPBACK,
        trusted_proxies=0,
    )


def url_of(servers: EmbeddedServers, database: str) -> str:
    return servers.database_url.replace("/gamify?", f"/{database}?")


def make_database(servers: EmbeddedServers, name: str, *, template: str = "template1") -> None:
    with psycopg.connect(url_of(servers, "postgres"), autocommit=True) as admin:
        admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        admin.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")


@dataclass
class TenantUnderTest:
    """A tenant of this test's own, with an unlimited key."""

    here: Deployment
    slug: str
    id: int
    sandbox_id: int
    key: str

    @cached_property
    def test_key(self) -> str:
        """The sandbox's; made for the first who asks, for few do."""
        return self.issue(mode="test")

    def issue(self, *scopes: str, rate_limit: int = 0, mode: str = "live", networks: Sequence[str] = ()) -> str:
        """Make another key."""
        with self.here.database.transaction() as session:
            tenant = tenants.get(session, self.slug, mode=mode)
            _, secret = api_keys.issue(
                session,
                tenant,
                name="another",
                pepper=self.here.settings.api_key_pepper,
                scopes=scopes,
                rate_limit=rate_limit,
                allowed_networks=networks,
                actor=SYSTEM,
            )
        secrets_issued.note(secret)
        return secret

    def revoke(self, key: str) -> None:
        """Put a key out of use."""
        with self.here.database.transaction() as session:
            api_keys.revoke(session, key, actor=SYSTEM)
        self.here.counters.advance(self.id)

    def limit_to(self, requests_a_minute: int, *, mode: str = "live") -> None:
        """Limit the tenant, or its sandbox."""
        with self.here.database.transaction() as session:
            tenant = tenants.get(session, self.slug, mode=mode)
            tenants.set_rate_limit(session, tenant, rate_limit=requests_a_minute, actor=SYSTEM)
        self.here.counters.advance(tenant.id)

    def become(self, status: str) -> None:
        """Be `active` or `suspended`, with the sandbox."""
        with self.here.database.transaction() as session:
            changed = [tenant.id for tenant in tenants.set_status(session, self.slug, status=status, actor=SYSTEM)]
        for tenant_id in changed:
            self.here.counters.advance(tenant_id)

    def put_tiers(self, **thresholds: int) -> None:
        """Replace the live tiers."""
        with self.here.database.transaction() as session:
            act_as(session, self.id)
            tiers.replace(session, self.id, thresholds, actor=SYSTEM)

    def fill(self) -> None:
        """Have a row in each table that movements do not write, in the sandbox too."""
        for tenant_id in (self.id, self.sandbox_id):
            rollups.rebuild(self.here.database, tenant_id)
            with self.here.database.transaction(tenant_id) as session:
                session.add(RequestMonth(tenant_id=tenant_id, month=date(2026, 2, 1), request_count=3))
                session.add(PointCost(tenant_id=tenant_id, valid_from=date(2026, 1, 1), cost=1, currency="EUR"))
                dimensions.declare(session, tenant_id, "order_id", actor=SYSTEM)
                session.add(Word(tenant_id=tenant_id, dimension=2, word="a word that nobody says"))
                session.add(LadderDraft(tenant_id=tenant_id, revision=1, based_on=1, content={}, changed_by="ana"))
                _fill_reports(session, tenant_id)
                recalculations.begin(session, tenant_id)
                somebody = select(Participant.external_id).where(Participant.tenant_id == tenant_id).limit(1)
                for pid in session.scalars(somebody).all():
                    asked = {"code": "bronze", "reason": "a friend", "until": None, "now": datetime.now(UTC)}
                    holds.pin(session, tenant_id, pid, **asked, actor=SYSTEM)
                for pid in ("named", "gone"):
                    details.register(session, tenant_id, pid, display_name=pid)
                erasures.erase(session, tenant_id, "gone", actor=SYSTEM)
            recalculations.advance(self.here.database, tenant_id)

    def row_count(self) -> int:
        """How many participants, entries and keys are stored for the live tenant."""
        tables = ("participants", "ledger_entries", "idempotency_keys")
        with self.here.database.transaction(self.id) as session:
            return sum(session.scalar(text(f"SELECT count(*) FROM {table}")) for table in tables)

    def differences(self) -> list[str]:
        """What `verify` finds wrong, in the sandbox too; there is nothing to look at where nobody has ever been."""
        found = []
        with self.here.database.transaction() as session:
            both = [tenant for tenant in tenants.both(session, self.slug) if has_people(session, tenant.id)]
        for tenant in both:
            with self.here.database.transaction() as session:
                verification.begin(session, tenant)
                found += [d.sentence for d in verification.verify(session, tenant).differences]
        return found


def has_people(session: Session, tenant_id: int) -> bool:
    act_as(session, tenant_id)
    return session.scalar(select(Participant.id).where(Participant.tenant_id == tenant_id).limit(1)) is not None


def _fill_reports(session: Session, tenant_id: int) -> None:
    """A saved report, its schedule and an export."""
    report = SavedReport(tenant_id=tenant_id, name="mine", kind="roll-forward", query="", saved_by="ana")
    session.add(report)
    session.flush()
    later = datetime.now(UTC) + timedelta(days=365)
    session.add(
        ReportSchedule(
            tenant_id=tenant_id, report_id=report.id, format="csv", rhythm="daily", hour=7, recipients=[], page="",
            made_by="ana", next_at=later,
        )
    )  # fmt: skip
    session.add(
        Export(
            tenant_id=tenant_id, kind="ledger", query="", wanted={}, format="csv", title="Ledger", about="", file_name="a.csv",
            asked_by="ana", expires_at=later, state="done",
        )
    )  # fmt: skip


def new_tenant(here: Deployment) -> TenantUnderTest:
    slug = next(names)
    with here.database.transaction() as session:
        live = tenants.create(session, slug=slug, name=slug.title(), actor=SYSTEM)
        sandbox = tenants.get(session, slug, mode="test")
        _, key = api_keys.issue(session, live, name="live", pepper=here.settings.api_key_pepper, rate_limit=0, actor=SYSTEM)
    secrets_issued.note(key)
    return TenantUnderTest(here, slug, live.id, sandbox.id, key)


class Answer:
    """What came back, the same from Flask's test client and over TCP."""

    def __init__(self, status: int, headers: Any, body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body
        secrets_issued.note_cookies([value for name, value in headers.items() if name.lower() == "set-cookie"])

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        code: str = self.json["code"]
        return code

    @property
    def fields(self) -> list[str]:
        """The fields that a 422 names."""
        return [error["field"] for error in self.json["errors"]]


@dataclass
class Api:
    """A client of the API with one key."""

    client: FlaskClient | httpx.Client
    key: str | None
    headers: dict[str, str] = field(default_factory=dict)

    def with_key(self, key: str | None) -> "Api":
        return Api(self.client, key, self.headers)

    def request(
        self, method: str, path: str, *, headers: dict[str, str] | None = None, body: Any = None, **kwargs: Any
    ) -> Answer:
        """Send a request; a `body` that is not bytes goes as JSON."""
        sent = {"X-API-Key": self.key} if self.key else {}
        if body is not None:
            sent["Content-Type"] = "application/json"
            body = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent |= self.headers | (headers or {})
        if isinstance(self.client, FlaskClient):
            with self.client.open(path, method=method, headers=sent, data=body, **kwargs) as answer:
                return Answer(answer.status_code, answer.headers, answer.data)
        response = self.client.request(method, path, headers=sent, content=body, **kwargs)
        return Answer(response.status_code, response.headers, response.content)

    def award(self, participant_id: Any, amount: Any = 100, *, headers: dict[str, str] | None = None, **members: Any) -> Answer:
        body = {"participant_id": participant_id, "amount": amount, **members}
        return self.request("POST", f"{BASE}/points/award", body=body, headers=headers)

    def deduct(self, participant_id: Any, amount: Any = 100, *, headers: dict[str, str] | None = None, **members: Any) -> Answer:
        body = {"participant_id": participant_id, "amount": amount, **members}
        return self.request("POST", f"{BASE}/points/deduct", body=body, headers=headers)

    def batch(self, awards: Any, *, headers: dict[str, str] | None = None) -> Answer:
        return self.request("POST", f"{BASE}/points/award-batch", body={"awards": awards}, headers=headers)

    def points(self, participant_id: str) -> Answer:
        return self.request("GET", f"{BASE}/participants/{quote(participant_id)}/points")

    def balance(self, participant_id: str) -> int:
        found: int = self.points(participant_id).json["balance"]
        return found

    def history(self, participant_id: str, **query: Any) -> Answer:
        search = f"?{urllib.parse.urlencode(query)}" if query else ""
        return self.request("GET", f"{BASE}/participants/{quote(participant_id)}/points/transactions{search}")


def item(participant_id: Any = "p", amount: Any = 1, **members: Any) -> dict[str, Any]:
    """Return an award of a batch."""
    return {"participant_id": participant_id, "amount": amount, **members}


def assert_failed(result: dict[str, Any], participant_id: str | None) -> None:
    """Claim that an award of a batch has failed, and says so in the form of the contract."""
    assert result["error"]
    assert result | {"error": ""} == {
        "participant_id": participant_id,
        "transaction_id": None,
        "new_balance": None,
        "tier_upgrade": None,
        "error": "",
    }


def quote(participant_id: str) -> str:
    return urllib.parse.quote(participant_id, safe="")


@dataclass
class Server:
    """A running `gamify serve`."""

    url: str
    process: subprocess.Popen[str]
    log: Path = Path(os.devnull)


def start_server(settings: Settings, *arguments: str, workers: int = 2, env: dict[str, str] | None = None) -> Server:
    """Start the production server on a free port and wait until it says that it is ready."""
    command = [sys.executable, "-m", "gamify.cli", "serve", "--port", str(free_port()), "--workers", str(workers), *arguments]
    log = settings.data_dir / f"server-{next(numbers)}.log"
    secrets_issued.files.append(log)
    with log.open("w") as stderr:
        process = subprocess.Popen(
            command, env=environment(settings) | (env or {}), stdout=subprocess.PIPE, stderr=stderr, text=True
        )
    assert process.stdout
    line = process.stdout.readline()
    assert "http://" in line, f"the server said {line!r}"
    return Server("http://" + line.split("http://")[1].strip(), process, log)


def environment(settings: Settings) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("GAMIFY_", "DATABASE_", "REDIS_", "ALLOWED_HOSTS", "TRUSTED_PROXIES", "MAIL_", "EXPORTS_"))
    }
    return kept | {
        "GAMIFY_ENV": settings.environment,
        "DATABASE_URL": settings.database_url or "",
        "DATABASE_OWNER_URL": settings.database_owner_url or "",
        "REDIS_URL": settings.redis_url or "",
        "GAMIFY_DATA_DIR": str(settings.data_dir),
        "SECRET_KEY": settings.secret_key,
        "API_KEY_PEPPER": settings.api_key_pepper,
        "GAMIFY_LOG_LEVEL": settings.log_level,
        "ALLOWED_HOSTS": ",".join(settings.allowed_hosts),
        "TRUSTED_PROXIES": str(settings.trusted_proxies),
        "MAIL_URL": settings.mail_url or "",
        "EXPORTS_DIR": str(settings.exports_dir or ""),
    }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def stop(server: Server) -> None:
    server.process.terminate()
    try:
        server.process.wait(20)
    finally:
        server.process.kill()
        if server.process.stdout:
            server.process.stdout.close()
        sys.stderr.write(server.log.read_text())  # beside the test that failed


class Valkey:
    """A server of this test's own, on a port that stays the same."""

    def __init__(self, folder: Path) -> None:
        self.port, self.folder = free_port(), folder
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self.folder)]
        self.process = subprocess.Popen([_valkey_binary(), *options], stdout=subprocess.DEVNULL)
        with redis.Redis(port=self.port) as client:
            for _ in range(500):
                try:
                    client.ping()
                except redis.ConnectionError:
                    time.sleep(0.01)
                else:
                    return
        raise AssertionError("Valkey did not start")

    def kill(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()


def gamify(settings: Settings, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command line as a process of its own."""
    done = commands.run(arguments, environment(settings), stdin=stdin)
    secrets_issued.note((stdin or "").strip())
    secrets_issued.note_printed(done.stdout)
    secrets_issued.lines.extend(done.stderr.splitlines())
    return done
