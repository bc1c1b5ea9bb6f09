"""`gamify import`."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.asserting import prints
from tests.harness import environment, gamify, new_tenant

LEDGER = """
    SELECT p.external_id, p.balance, p.tier, p.last_entry_at, e.seq, e.type, e.points, e.balance_after, e.tier_after, e.reason,
           e.metadata::text, e.idempotency_key, e.created_at
    FROM ledger_entries AS e JOIN participants AS p ON p.tenant_id = e.tenant_id AND p.id = e.participant_id
    WHERE e.tenant_id = %s ORDER BY p.external_id, e.seq
"""


@pytest.fixture
def history(data_dir: Path):
    """Writes a history of so many lines, three a participant."""

    def write(line_count: int) -> Path:
        path = data_dir / "history.csv"
        with path.open("w") as file:
            file.write("participant_id;type;points;created_at;reason;metadata\n")
            for n in range(line_count):
                kind, points = ("deduct", 5) if n % 3 == 2 else ("award", 10 + n % 700)
                at = f"2024-{1 + n % 12:02}-{1 + n % 28:02}T{n % 24:02}:{n % 60:02}:00Z"
                at = f"202{3 + n % 3}-{at[5:]}"
                file.write(f'member-{n // 3};{kind};{points};{at};Order {n % 50};"{{""shop"":""{n % 7}""}}"\n')
        return path

    return write


def test_a_dry_run_reports_line_by_line_and_the_real_one_refuses_the_file(settings, tenant, api, data_dir):
    path = data_dir / "points.csv"
    path.write_text("participant_id,balance\nana,5\nbo,many\n")

    dry = gamify(settings, "import", tenant.slug, str(path), "--dry-run")
    real = gamify(settings, "import", tenant.slug, str(path))

    sentence = "line 3: balance: Must be a whole number from 0 to 1,000,000,000,000, in digits only."
    assert dry.stdout.splitlines() == [
        sentence,
        "1 of 2 lines of opening balances can be stored, of 1 participants; 1 are bad.",
    ]
    assert real.stdout.splitlines()[0] == sentence
    assert real.stdout.splitlines()[1].startswith("Nothing is stored")
    assert (dry.returncode, real.returncode, dry.stderr + real.stderr) == (1, 1, "")
    assert api.points("ana").status == 404

    skipped = prints(settings, "import", tenant.slug, str(path), "--skip-bad")
    assert "1 of 2 lines of opening balances are stored" in skipped
    assert api.balance("ana") == 5


def test_json_is_one_object_with_every_remark(settings, tenant, data_dir):
    path = data_dir / "points.csv"
    path.write_text("participant_id,balance\nana,5\nana,6\n")
    done = gamify(settings, "import", tenant.slug, str(path), "--json")

    said = json.loads(done.stdout)
    assert (said["line_count"], said["bad_count"], said["left_out_count"], said["is_stored"]) == (2, 1, 1, False)
    assert [(remark["line"], remark["field"]) for remark in said["remarks"]] == [(2, "participant_id"), (3, "participant_id")]


def test_the_sandbox_is_another_ledger(settings, tenant, api, data_dir):
    path = data_dir / "points.csv"
    path.write_text("participant_id,balance\nana,5\n")
    prints(settings, "import", tenant.slug, str(path), "--mode", "test")

    assert api.points("ana").status == 404
    assert api.with_key(tenant.test_key).balance("ana") == 5


def test_a_file_that_is_no_table_is_one_sentence(settings, tenant, refuses, data_dir):
    path = data_dir / "points.csv"
    path.write_text("who,how many\nana,5\n")

    assert "participant_id" in refuses("import", tenant.slug, str(path))
    assert "nobody" in refuses("import", "nobody", str(path))


@pytest.mark.long
def test_killed_in_the_middle_and_run_again_it_is_as_one_run(settings, here, tenant, owner, history):
    path = history(30_000)
    other = new_tenant(here)
    prints(settings, "import", other.slug, str(path))
    counted = "SELECT count(*) FROM ledger_entries WHERE tenant_id = %s"

    for least in (1, 15_000):
        command = [sys.executable, "-m", "gamify.cli", "import", tenant.slug, str(path)]
        process = subprocess.Popen(command, env=environment(settings), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while owner.execute(counted, [tenant.id]).fetchone()[0] < least:
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
        process.wait()
        assert 0 < owner.execute(counted, [tenant.id]).fetchone()[0] < 30_000
        assert tenant.differences() == []

    said = prints(settings, "import", tenant.slug, str(path))
    assert re.search(r"are stored.*; [\d,]+ are there already\.", said)
    assert owner.execute(LEDGER, [tenant.id]).fetchall() == owner.execute(LEDGER, [other.id]).fetchall()
    assert "30,000 are there already" in prints(settings, "import", tenant.slug, str(path))


@pytest.mark.long
def test_a_hundred_thousand_rows_come_in_whole_and_add_up(settings, tenant, api, history):
    path = history(100_000)
    prints(settings, "rollups", "rebuild", tenant.slug)
    said = prints(settings, "import", tenant.slug, str(path))

    assert "100,000 of 100,000 lines" in said
