"""`gamify tenants export` and `import`: everything away, and everything back."""

import hashlib
import io
import json
import stat
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from filelock import FileLock
from gamify.app import create_app
from gamify.config import Settings
from gamify.deployment import Deployment
from gamify.embedded import EmbeddedServers
from gamify.models import Dimension, PointCost, SavedReport, TenantRecord
from gamify.services import api_keys, details, drafts, erasures, holds, ledger, tenants, users
from gamify.services.archives import exporting
from gamify.services.archives.parts import LEFT_BEHIND, PARTS
from gamify.services.audit import SYSTEM, Actor
from gamify.services.reports import dimensions
from gamify.services.tiers import Policy, Qualification

from tests import ladders
from tests.cli.asserting import prints
from tests.harness import BASE, PEPPER, Api, TenantUnderTest, environment, item, make_database, new_tenant, settings_for, url_of
from tests.histories import Event, write

LONG_AGO = datetime(2024, 5, 1, tzinfo=UTC)
HOLDING_TENANTS = """
    SELECT relname FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
          AND oid IN (SELECT attrelid FROM pg_attribute WHERE attname = 'tenant_id' AND NOT attisdropped)
"""


@pytest.fixture
def full(here, app) -> Iterator[TenantUnderTest]:
    """A tenant with something in every table, in its sandbox too."""
    made = new_tenant(here)
    with here.database.transaction() as session:
        live = tenants.get(session, made.slug)
        staff = [
            users.create(session, tenant=live, email=f"{who}@{made.slug}.example", role=who, password="x" * 20, actor=SYSTEM)
            for who in ("admin", "analyst")
        ]
        tenants.set_profile(session, made.slug, name="Bakery Ünal", time_zone="Europe/Istanbul", actor=SYSTEM)
    for tenant_id, key in ((made.id, made.key), (made.sandbox_id, made.test_key)):
        move(here, Api(app.test_client(), key), tenant_id, staff[0].id)
        declare(here, tenant_id)
    ladders.publish(made, ladders.content(Qualification("window", window_days=400), bronze=0, gold=800), Policy("now", "keep"))
    made.fill()
    with here.database.transaction() as session:
        for tenant in tenants.both(session, made.slug):
            old, _ = api_keys.issue(session, tenant, name="old", pepper=PEPPER, actor=SYSTEM)
            values = {"overlap": timedelta(hours=1), "pepper": PEPPER, "actor": SYSTEM, "now": datetime.now(UTC)}
            api_keys.roll(session, old.prefix, **values)
        users.remove(session, session.merge(staff[1]), actor=SYSTEM, now=datetime.now(UTC))
    with here.database.transaction(made.id) as session:
        drafts.remove(session, made.id)
    ladders.publish(made, ladders.content(low=0, gold=900), Policy("now", "keep"), is_finished=False)
    ladders.save(made, ladders.content(low=0, gold=950))
    assert made.differences() == []
    return made


def move(here: Deployment, api: Api, tenant_id: int, user_id: int) -> None:
    """Movements of every kind, old and new, with keys, by people, refused, reversed."""
    write(
        here,
        tenant_id,
        [
            Event(LONG_AGO, "old", 900, reason="Wedding cake", metadata={"shop": "Köy", "price": 1e300, "n": 2**62}),
            Event(LONG_AGO + timedelta(days=1), "old", -100, user_id=user_id),
            Event(LONG_AGO + timedelta(days=2), "old", 60),
            Event(LONG_AGO + timedelta(days=3), "old", undoes=2),
        ],
    )
    entry = api.award("ana / ünal", 700, idempotency_key="k1", reason="=1+1", metadata={"shop": "a\nb"}).json["transaction_id"]
    api.deduct("ana / ünal", 20, idempotency_key="k2", reason='"quoted" \\ back')
    assert api.request("POST", f"{BASE}/points/transactions/{entry}/reverse", body={"allow_partial": True}).status == 200
    assert api.deduct("bo", 20, idempotency_key="k3").status == 400
    assert api.batch([item(f"many-{n}", 300 * n + 5) for n in range(30)], headers={"Idempotency-Key": "k4"}).status == 200


def declare(here: Deployment, tenant_id: int) -> None:
    """What people say: names, attributes, holds, erasures, settings of reports."""
    with here.database.transaction(tenant_id) as session:
        details.register(session, tenant_id, "many-1", display_name="Ada 😀", attributes={"since": 1.0, "tags": ["a", None]})
        ana = Actor("user", "ana@shop.example", None)
        until = datetime.now(UTC) + timedelta(days=9)
        holds.pin(session, tenant_id, "many-2", code="gold", reason="VIP", until=until, now=datetime.now(UTC), actor=ana)
        erasures.erase(session, tenant_id, "many-3", actor=ana)
        dimensions.declare(session, tenant_id, "shop", actor=ana)
        session.add(PointCost(tenant_id=tenant_id, valid_from=LONG_AGO.date(), cost="0.0123456789", currency="TRY"))
        session.add(SavedReport(tenant_id=tenant_id, name="Mine", kind="liability", query="by=tier", saved_by="ana"))
    dimensions.make_ready(here.database, tenant_id)
    with here.database.transaction(tenant_id) as session:
        session.add(Dimension(tenant_id=tenant_id, number=2, metadata_key="till"))


@pytest.fixture
def elsewhere(servers: EmbeddedServers, run_folder: Path, template: str, worker_id: str) -> Iterator[Settings]:
    """Another deployment: a migrated database with nothing in it."""
    name = f"elsewhere_{worker_id}"
    with FileLock(run_folder / "template.lock"):
        make_database(servers, name, template=template)
    yield settings_for(servers, run_folder, name, 15)
    with psycopg.connect(url_of(servers, "postgres"), autocommit=True) as admin:
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


def contents(path: Path) -> dict[str, list[dict[str, Any]]]:
    """The lines of an archive's files."""
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.endswith(".jsonl")]
        return {name: [json.loads(line) for line in archive.read(name).decode().splitlines()] for name in names}


def without(lines: list[dict[str, Any]], *members: str) -> list[dict[str, Any]]:
    return [{name: value for name, value in line.items() if name not in members} for line in lines]


def test_exported_imported_elsewhere_and_exported_again_it_is_the_same(settings, full, elsewhere, data_dir):
    first, second = data_dir / "first.zip", data_dir / "second.zip"
    prints(settings, "tenants", "export", full.slug, str(first))
    said = prints(elsewhere, "tenants", "import", str(first), "--slug", "bakery")
    prints(elsewhere, "tenants", "export", "bakery", str(second))

    assert "API keys are revoked" in said
    assert "adds up" in prints(elsewhere, "verify", "bakery")
    before, after = contents(first), contents(second)
    assert all(before.values()), [name for name, lines in before.items() if not lines]
    for name, lines in before.items():
        if name.endswith("audit_entries.jsonl"):  # goes on
            assert without(after[name][: len(lines)], "person", "actor_id") == without(lines, "person", "actor_id")
        elif name.endswith("api_keys.jsonl"):
            assert without(after[name], "revoked_at") == without(lines, "revoked_at")
            assert all(line["revoked_at"] for line in after[name])
        elif name == "tenants.jsonl":
            assert without(after[name], "slug") == without(lines, "slug")
        elif name == "people.jsonl":
            assert without(after[name], "number") == without(lines, "number")
        elif name.endswith("ledger_entries.jsonl"):
            assert without(after[name], "person") == without(lines, "person")
            assert [bool(line["person"]) for line in after[name]] == [bool(line["person"]) for line in lines]
        elif name.endswith("recalculations.jsonl"):  # one that goes on begins anew
            assert len(after[name]) == len(lines)
        else:
            assert after[name] == lines, name


def test_an_imported_tenant_lives_on(full, settings, elsewhere, data_dir):
    path = data_dir / "archive.zip"
    prints(settings, "tenants", "export", full.slug, str(path))
    prints(elsewhere, "tenants", "import", str(path))

    key = prints(elsewhere, "keys", "create", full.slug, "--name", "till").split()[0]
    app = create_app(elsewhere)
    try:
        api = Api(app.test_client(), key)
        assert api.with_key(full.key).points("old").status == 401
        replayed = api.award("ana / ünal", 700, idempotency_key="k1", reason="=1+1", metadata={"shop": "a\nb"})
        assert replayed.headers["Idempotent-Replayed"] == "true"
        assert api.award("many-9", 5).status == 200
        assert api.history("old").json["total"] == 4
    finally:
        app.extensions["gamify"].close()
    assert "adds up" in prints(elsewhere, "verify", full.slug)
    jobs = json.loads(prints(elsewhere, "jobs", "list", "--json"))["jobs"]
    assert {job["name"] for job in jobs} >= {"add_dimensions", "recalculate"}


def test_beside_the_original_people_keep_their_one_sign_in(settings, here, full, data_dir):
    path = data_dir / "archive.zip"
    prints(settings, "tenants", "export", full.slug, str(path))
    said = prints(settings, "tenants", "import", str(path), "--slug", f"{full.slug}-copy")

    assert f"admin@{full.slug}.example has a sign-in here already" in said
    assert full.differences() == []
    with here.database.transaction() as session:
        copy = tenants.get(session, f"{full.slug}-copy")
        assert users.of_tenant(session, copy.id) == []
        assert [user.email for user in users.of_tenant(session, full.id)] == [f"admin@{full.slug}.example"]


def test_an_archive_holds_no_secret_and_only_its_owner_may_read_it(settings, full, owner, data_dir):
    path = data_dir / "archive.zip"
    prints(settings, "tenants", "export", full.slug, str(path))
    digests = owner.execute("SELECT encode(digest, 'hex') FROM key_digests WHERE tenant_id = %s", [full.id]).fetchall()
    hashes = owner.execute("SELECT password_hash FROM users WHERE tenant_id = %s", [full.id]).fetchall()
    with zipfile.ZipFile(path) as archive:
        everything = b"".join(archive.read(name) for name in archive.namelist()).decode()

    assert digests
    for (secret,) in [*digests, *hashes, (full.key,), (full.key[16:],)]:
        assert secret not in everything
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_every_table_of_a_tenant_is_in_the_archive_or_named_with_a_reason(owner):
    tables = {name for (name,) in owner.execute(HOLDING_TENANTS)}

    assert {part.table for part in PARTS} | set(LEFT_BEHIND) == tables
    assert not {part.table for part in PARTS} & set(LEFT_BEHIND)
    assert all(issubclass(part.model, TenantRecord) for part in PARTS)


def test_the_manifest_counts_what_is_there(settings, full, data_dir):
    path = data_dir / "archive.zip"
    said = json.loads(prints(settings, "tenants", "export", full.slug, str(path), "--json"))
    with zipfile.ZipFile(path) as archive:
        manifest = json.loads(archive.read("manifest.json"))

    assert (manifest["format"], manifest["version"], manifest["slug"]) == ("gamify tenant archive", 1, full.slug)
    assert {file["name"]: file["lines"] for file in manifest["files"]} == said["files"]
    assert {name: len(lines) for name, lines in contents(path).items()} == said["files"]


def test_exports_and_imports_are_in_both_logs(settings, full, elsewhere, data_dir):
    path = data_dir / "archive.zip"
    prints(settings, "tenants", "export", full.slug, str(path))
    prints(elsewhere, "tenants", "import", str(path), "--slug", "bakery")

    for where, arguments, action in (
        (settings, [full.slug], "tenant.export"),
        (settings, [], "tenant.export"),
        (elsewhere, ["bakery"], "tenant.import"),
        (elsewhere, [], "tenant.import"),
    ):
        assert json.loads(prints(where, "audit", *arguments, "--action", action, "--json"))["entries"]


@pytest.fixture(scope="module")
def small(here: Deployment) -> bytes:
    """An archive of a tenant with one participant."""
    made = new_tenant(here)
    ledger.post(here.database, made.id, [ledger.Movement(ledger.AWARD, "ana", 700)])
    file = io.BytesIO()
    exporting.export(here.database, made.slug, file, actor=SYSTEM)
    return file.getvalue()


def changed(archive: bytes, name: str, old: str, new: str, *, is_signed: bool = True) -> bytes:
    """The archive with a text in a file replaced, and the manifest telling of it if it is to."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as source, zipfile.ZipFile(made, "w") as target:
        files = {each: source.read(each).decode() for each in source.namelist()}
        manifest = json.loads(files["manifest.json"])
        assert old in files[name]
        files[name] = files[name].replace(old, new)
        if is_signed and name != "manifest.json":
            [told] = [file for file in manifest["files"] if file["name"] == name]
            told["sha256"] = hashlib.sha256(files[name].encode()).hexdigest()
            files["manifest.json"] = json.dumps(manifest)
        for each, text in files.items():
            target.writestr(each, text)
    return made.getvalue()


ENTRIES = "live/ledger_entries.jsonl"


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (lambda archive: archive[:-200], "not a ZIP"),
        (lambda archive: b"participant_id,balance\n", "not a ZIP"),
        (lambda archive: changed(archive, ENTRIES, "700", "800", is_signed=False), "ledger_entries.jsonl is not what"),
        (lambda archive: changed(archive, ENTRIES, '"points":700', '"points":701'), "does not add up"),
        (lambda archive: changed(archive, ENTRIES, '"ana"', '"nobody"'), "do not fit"),
        (lambda archive: changed(archive, ENTRIES, '"points":700', '"points":"many"'), "do not fit"),
        (lambda archive: changed(archive, ENTRIES, '{"participant', '{{"participant'), "do not fit"),
        (lambda archive: changed(archive, "manifest.json", '"version": 1', '"version": 2'), "version 2"),
        (lambda archive: changed(archive, "manifest.json", "gamify tenant archive", "other"), "not an archive"),
        (lambda archive: changed(archive, "manifest.json", "live/tiers", "live/rungs"), "lacks live/tiers"),
        (lambda archive: changed(archive, "tenants.jsonl", '"UTC"', '"Mars/Base"'), "time zone"),
        (lambda archive: changed(archive, "tenants.jsonl", '"test"', '"live"'), "one for test"),
    ],
)
def test_an_archive_that_is_not_what_it_should_be_leaves_nothing(settings, elsewhere, refuses, small, data_dir, how, said, owner):
    path = data_dir / "archive.zip"
    path.write_bytes(how(small))

    slug = f"copy-{data_dir.name.lower().replace('_', '-')}".strip("-")
    assert said in refuses("tenants", "import", str(path), "--slug", slug)
    assert owner.execute("SELECT count(*) FROM tenants WHERE slug = %s", [slug]).fetchone() == (0,)


def test_a_slug_that_is_taken_is_refused(settings, refuses, tenant, small, data_dir):
    path = data_dir / "archive.zip"
    path.write_bytes(small)

    assert "exists already" in refuses("tenants", "import", str(path), "--slug", tenant.slug)
    assert "slug" in refuses("tenants", "import", str(path), "--slug", "No Slug")


def test_an_export_does_not_overwrite_and_leaves_nothing_half_done(settings, refuses, tenant, data_dir):
    path = data_dir / "archive.zip"
    path.write_text("mine")

    assert "is there already" in refuses("tenants", "export", tenant.slug, str(path))
    assert path.read_text() == "mine"
    assert "nobody" in refuses("tenants", "export", "nobody", str(data_dir / "other.zip"))
    assert [each.name for each in data_dir.iterdir() if "other" in each.name] == []


METERED = """
import resource, sys
from gamify.cli import main
try:
    main()
finally:
    print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, file=sys.stderr)
"""


def peak(settings: Settings, *arguments: str) -> int:
    """How much memory a command has taken, in MiB."""
    command = [sys.executable, "-c", METERED, *arguments]
    done = subprocess.run(command, env=environment(settings), capture_output=True, text=True, timeout=300, check=True)
    return int(done.stderr.split()[-1])


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_large_tenant_takes_little_memory_both_ways(servers, run_folder, template, elsewhere, data_dir):
    name = f"{elsewhere.database_url.rpartition('/')[2].partition('?')[0]}_demo"
    make_database(servers, name, template=template)
    source, path = settings_for(servers, run_folder, name), data_dir / "demo.zip"
    prints(source, "demo", "--entries", "300000", "--participants", "5000")
    least = peak(source, "tenants", "list")

    assert peak(source, "tenants", "export", "demo", str(path)) < least + 50
    assert peak(elsewhere, "tenants", "import", str(path)) < least + 50
    assert "adds up" in prints(elsewhere, "verify")
