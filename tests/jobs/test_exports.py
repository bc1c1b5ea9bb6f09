"""Exports by real workers: killed in the middle, stopped, deleted with their tenant, and sent by mail."""

import csv
import signal
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from gamify.models import ReportSchedule, SavedReport, Tenant
from gamify.services import deletion, demo, exports, schedules, tenants
from gamify.services.schedules import Plan
from sqlalchemy import text, update

from tests import secrets_issued
from tests.exporting import ANA, ask, get, left_in, read_jsonl
from tests.harness import environment, new_tenant
from tests.histories import Event, write
from tests.jobs.conftest import wait_until
from tests.people import new_user
from tests.smtp import Smtp

NOW = datetime.now(UTC)
MEMORY = """
import sys
from gamify.config import load
from gamify.deployment import Deployment
from gamify.services import export_job

def resident(name):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name)) / 1024

here, tenant_id, first, second = Deployment(load()), *map(int, sys.argv[1:])
peaks = []
for export_id in (first, second):
    open("/proc/self/clear_refs", "w").write("5")
    for _ in export_job.make(here.database, here.settings.exports_folder, tenant_id, export_id):
        pass
    peaks.append(resident("VmHWM"))
print(*peaks)
"""


@pytest.fixture
def quiet(quiet, tmp_path):
    """Each test has a database of its own, hence the same numbers as others, so its files need a folder of their own."""
    return replace(quiet, exports_dir=tmp_path / "exports")


def fill(jobs, entries: int) -> int:
    """The demo tenant with so many entries; return its number."""
    with jobs.here.database.transaction() as session:
        made = demo.fill(session, pepper="x" * 32, now=NOW, participants=max(1, entries // 100), entries=entries)
        secrets_issued.note(made.live_key, made.test_key, *made.sign_ins.values())
        return tenants.get(session, demo.SLUG).id


def of(path: Path) -> int:
    with path.open(encoding="utf-8", newline="") as file:
        return sum(1 for _ in csv.reader(file)) - 1


def test_a_worker_makes_what_was_asked_for_and_tells_how_far_it_is(jobs, quiet, start):
    tenant_id = fill(jobs, 40_000)
    export = ask(jobs.here, tenant_id)
    start()
    told = set()

    def is_done() -> bool:
        now = get(jobs.here, export)
        told.add(now.row_count)
        return now.state == "done"

    wait_until(is_done)
    assert left_in(quiet.exports_folder / str(tenant_id)) == [f"{export.id}.csv"]
    count = jobs.ask("SELECT count(*) FROM ledger_entries WHERE tenant_id = %s", tenant_id)[0][0]
    assert of(quiet.exports_folder / str(tenant_id) / f"{export.id}.csv") == count == get(jobs.here, export).row_count
    assert get(jobs.here, export).expected_count == count
    assert len(told) > 2  # nothing, something, all


@pytest.mark.long
@pytest.mark.timeout(400)
@pytest.mark.parametrize("ending", ["csv", "xlsx"])
def test_a_worker_killed_in_the_middle_leaves_no_half_file_and_the_next_makes_it_whole(jobs, quiet, start, ending):
    tenant_id = fill(jobs, 60_000 if ending == "csv" else 20_000)  # a workbook takes longer
    export = ask(jobs.here, tenant_id, format=ending)
    folder = quiet.exports_folder / str(tenant_id)
    killed = start().await_ready()
    wait_until(lambda: get(jobs.here, export).row_count > 0)
    killed.process.kill()
    killed.process.wait()

    assert not (folder / f"{export.id}.{ending}").exists()
    start()
    wait_until(lambda: get(jobs.here, export).state == "done", within=240)
    found = get(jobs.here, export)
    assert left_in(folder) == [f"{export.id}.{ending}"]
    assert (found.run, found.row_count) == (2, found.expected_count)
    if ending == "csv":
        assert of(folder / f"{export.id}.csv") == found.row_count


@pytest.mark.long
def test_a_worker_that_is_stopped_lets_go_of_an_export_and_the_next_makes_it(jobs, quiet, start):
    tenant_id = fill(jobs, 60_000)
    export = ask(jobs.here, tenant_id)
    stopped = start().await_ready()
    wait_until(lambda: get(jobs.here, export).row_count > 0)
    assert stopped.end(signal.SIGTERM) == 0
    assert left_in(quiet.exports_folder) == []

    start()
    wait_until(lambda: get(jobs.here, export).state == "done")
    assert get(jobs.here, export).run == 2


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("ending", ["csv", "jsonl", "xlsx"])
def test_the_memory_that_a_file_takes_does_not_grow_with_it(jobs, quiet, ending):
    tenant_id = fill(jobs, 60_000)
    some = ask(jobs.here, tenant_id, "ledger", format=ending, wanted=None)
    with jobs.here.database.transaction(tenant_id) as session:  # a tenth of them first, which loads all that is ever loaded
        since = session.scalar(text("SELECT percentile_disc(0.9) WITHIN GROUP (ORDER BY created_at) FROM ledger_entries"))
        row = exports.get(session, tenant_id, some.id)
        row.wanted = row.wanted | {"filter": {"since": since.isoformat()}}
    all_of_it = ask(jobs.here, tenant_id, format=ending)
    command = [sys.executable, "-c", MEMORY, str(tenant_id), str(some.id), str(all_of_it.id)]
    done = subprocess.run(command, env=environment(quiet), capture_output=True, text=True, timeout=500, check=True)
    few, many = map(float, done.stdout.split())

    assert get(jobs.here, some).row_count * 8 < get(jobs.here, all_of_it).row_count
    assert many - few < 10, (few, many)


def test_files_expire_by_the_clock(jobs, quiet, start, monkeypatch):
    tenant_id = fill(jobs, 1_000)
    export = ask(jobs.here, tenant_id)
    start()
    wait_until(lambda: get(jobs.here, export).state == "done")
    with jobs.here.database.transaction(tenant_id) as session:
        exports.get(session, tenant_id, export.id).expires_at = NOW - timedelta(minutes=1)
    jobs.await_status(jobs.defer("expire_exports"), "succeeded")

    assert left_in(quiet.exports_folder) == []
    assert jobs.ask("SELECT count(*) FROM exports WHERE tenant_id = %s", tenant_id) == [(0,)]


def test_deleting_a_tenant_removes_its_files_and_nobody_elses(jobs, quiet, start):
    doomed, other = new_tenant(jobs.here), new_tenant(jobs.here)
    made = [ask(jobs.here, number) for number in (doomed.id, doomed.sandbox_id, other.id)]
    start()
    for each in made:
        wait_until(lambda each=each: get(jobs.here, each).state == "done")
    with jobs.here.database.transaction() as session:
        both = deletion.begin(session, doomed.slug, actor=ANA)
    for tenant in both:
        deletion.sweep(jobs.here.database, tenant.id)
    deletion.remove_files(quiet.exports_folder, both)
    deletion.finish(jobs.here.database, both)

    assert left_in(quiet.exports_folder) == [f"{other.id}/{made[2].id}.csv"]


def test_a_report_that_is_due_is_made_and_sent_once_however_many_workers_there_are(jobs, quiet, start):
    tenant = new_tenant(jobs.here)
    write(jobs.here, tenant.id, [Event(NOW - timedelta(hours=1), "ana", 5)])
    user = new_user(jobs.here, tenant.slug)
    with jobs.here.database.transaction(tenant.id) as session:
        report = SavedReport(tenant_id=tenant.id, name="Weekly", kind="roll-forward", query="", saved_by="ana")
        session.add(report)
        session.flush()
        plan = Plan(report.id, "jsonl", "daily", 7, [user.id])
        live = session.get_one(Tenant, tenant.id)
        schedules.create(session, live, plan, page="https://points.example/dashboard/exports", actor=ANA, now=NOW)
        session.execute(update(ReportSchedule).values(next_at=NOW - timedelta(minutes=5)))
    with closing(Smtp()) as smtp:
        for _ in range(2):
            start(using=replace(quiet, mail_url=smtp.url()))
        jobs.defer("begin_reports")
        wait_until(lambda: smtp.mails)
        wait_until(lambda: jobs.ask("SELECT last_sent_at FROM report_schedules") != [(None,)])

    [(export_id,)] = jobs.ask("SELECT id FROM exports WHERE tenant_id = %s", tenant.id)
    [mail] = smtp.mails
    assert mail["To"] == user.email
    assert f"https://points.example/dashboard/exports/{export_id}/file" in mail.get_content()
    rows = read_jsonl(quiet.exports_folder / str(tenant.id) / f"{export_id}.jsonl")
    assert sum(row["awarded"] for row in rows) == 5
