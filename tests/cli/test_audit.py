"""`gamify audit`, and what the other commands write into the logs."""

import csv
import getpass
import io
import json
import os
from datetime import UTC, datetime
from itertools import count

import pytest
from gamify.services import audit
from gamify.services.audit import Actor, Filter

from tests.cli.asserting import fails, prints

slugs = (f"audited-{os.getpid()}-{n}" for n in count())


def log_of(settings, *arguments: str) -> list[dict]:
    found: list[dict] = json.loads(prints(settings, "audit", *arguments, "--json"))["entries"]
    return found


@pytest.mark.long
def test_every_command_that_changes_something_writes_who_ran_it(settings, here):
    slug = next(slugs)
    prints(settings, "tenants", "create", slug, "--name", "Audited")
    prints(settings, "tenants", "set", slug, "--rate-limit", "9")
    prints(settings, "tenants", "suspend", slug)
    prints(settings, "tenants", "resume", slug)
    prefix = json.loads(prints(settings, "keys", "create", slug, "--name", "till", "--json"))["prefix"]
    prints(settings, "keys", "revoke", prefix)
    prints(settings, "tiers", "set", slug, "only=0")
    prints(settings, "users", "create", slug, "--email", f"{slug}@shop.example", "--role", "admin")

    entries = log_of(settings, slug)[::-1]

    assert [(entry["action"], entry["subject"]) for entry in entries] == [
        ("tiers.replace", "tiers"),
        ("tenant.create", f"{slug} (live)"),
        ("tenant.set_rate_limit", f"{slug} (live)"),
        ("tenant.set_status", f"{slug} (live)"),
        ("tenant.set_status", f"{slug} (live)"),
        ("api_key.issue", prefix),
        ("api_key.revoke", prefix),
        ("tiers.replace", "tiers"),
        ("user.create", f"{slug}@shop.example"),
    ]
    assert {(entry["actor_kind"], entry["actor"], entry["address"]) for entry in entries} == {
        ("command", getpass.getuser(), None)
    }
    assert (entries[2]["before"], entries[2]["after"]) == ({"rate_limit": 5000}, {"rate_limit": 9})
    assert len(log_of(settings, slug, "--mode", "test")) == 1
    of_platform = [entry["action"] for entry in log_of(settings, "--action", "tenant") if entry["subject"].startswith(f"{slug} ")]
    assert of_platform == ["tenant.set_status"] * 2 + ["tenant.set_rate_limit", "tenant.create"]


@pytest.fixture
def written(here, tenant):
    """A log with a row whose subject would be a formula, and one with control characters in its name."""
    with here.database.transaction() as session:
        audit.record(session, tenant.id, Actor("user", "+ana@shop.example", 7, "203.0.113.9"), action="a.b", subject="=1+1")
        audit.record(session, tenant.id, Actor("key", "gk_live_12345678"), action="a.c", subject="x\n\x1b[2Jy", after={"n": 1})
    return tenant


def test_a_log_is_printed_newest_first_a_line_an_entry(settings, written):
    first, second, *_ = prints(settings, "audit", written.slug).splitlines()

    assert first.split("\t")[1:] == ["key gk_live_12345678", "a.c", "x��[2Jy", '- -> {"n": 1}']
    assert second.split("\t")[1:] == ["user +ana@shop.example at 203.0.113.9", "a.b", "=1+1", "- -> -"]


def test_csv_has_no_formulas(settings, written):
    table = list(csv.DictReader(io.StringIO(prints(settings, "audit", written.slug, "--csv", "--action", "a"))))

    assert [row["action"] for row in table] == ["a.c", "a.b"]
    assert table[1] | {"at": ""} == {
        "at": "",
        "actor_kind": "user",
        "actor": "'+ana@shop.example",
        "actor_id": "7",
        "address": "203.0.113.9",
        "action": "a.b",
        "subject": "'=1+1",
        "before": "",
        "after": "",
        "request_id": "",
    }


def test_a_log_is_filtered_by_actor_kind_and_dates(settings, here, written):
    today = datetime.now(UTC).date().isoformat()
    with here.database.transaction(written.id) as session:
        at = {entry.action: entry.at.isoformat() for entry in audit.every(session, written.id, Filter(action="a"))}

    def actions(*arguments: str) -> list[str]:
        return [entry["action"] for entry in log_of(settings, written.slug, "--action", "a", *arguments)]

    assert actions() == actions("--from", "2026-01-01", "--to", "2100-01-01") == ["a.c", "a.b"]
    assert actions("--actor", "gk_live_12345678") == ["a.c"]
    assert actions("--from", at["a.c"]) == ["a.c"]
    assert actions("--to", at["a.c"]) == ["a.b"]
    assert actions("--to", "2026-01-01") == []
    assert actions("--to", today) == actions("--from", today) or datetime.now(UTC).date().isoformat() != today


def test_what_cannot_be_asked_is_told_in_one_sentence(settings, refuses):
    assert "nobody-here" in refuses("audit", "nobody-here")
    assert "from: " in refuses("audit", "--from", "yesterday")
    refuses("audit", "--csv", "--json", code=2)
    assert "to: " in fails(settings, "audit", "--to", "2026-13-01")
