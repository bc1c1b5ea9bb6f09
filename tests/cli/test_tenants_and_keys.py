"""`gamify tenants` and `gamify keys`."""

import itertools
import json
import os
import re
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.cli.asserting import fails, prints
from tests.harness import Api, environment, new_tenant

slugs = (f"cli-{os.getpid()}-{n}" for n in itertools.count())


def test_tenants_create_prints_one_json_object(settings):
    slug = next(slugs)

    made = prints(settings, "tenants", "create", slug, "--name", "Café Noir", "--json")

    assert json.loads(made) == {"slug": slug, "name": "Café Noir"}
    assert slug in prints(settings, "tenants", "create", f"{slug}-b", "--name", "B")
    assert "exists already" in fails(settings, "tenants", "create", slug, "--name", "Again")
    listed = [line.split("\t")[:4] for line in prints(settings, "tenants", "list").splitlines()]
    assert [slug, "live", "active", "5000/min"] in listed
    assert [slug, "test", "active", "5000/min"] in listed


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["tenants", "create", "Not A Slug", "--name", "x"], "slug"),
        (["tenants", "create", "fine-slug", "--name", " "], "name"),
        (["tenants", "set", "nobody-here", "--rate-limit", "5"], "nobody-here"),
        (["tenants", "suspend", "nobody-here"], "nobody-here"),
        (["keys", "create", "nobody-here", "--name", "k"], "nobody-here"),
        (["keys", "list", "nobody-here"], "nobody-here"),
        (["keys", "revoke", "gk_live_nothing0"], "gk_live_nothing0"),
        (["keys", "roll", "gk_live_nothing0"], "gk_live_nothing0"),
        (["tenants", "delete", "nobody-here", "--yes"], "nobody-here"),
    ],
)
def test_an_error_is_one_sentence_on_stderr(refuses, arguments, names):
    assert names in refuses(*arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        ["tenants", "create"],
        ["tenants", "create", "x"],
        ["tenants", "frobnicate"],
        ["frobnicate"],
        ["tenants", "set", "x", "--rate-limit", "many"],
        ["tenants", "set", "x", "--mode", "prod"],
        ["keys", "create", "x", "--name", "k", "--scope", "points:admin"],
        ["keys", "roll", "gk_live_nothing0", "--overlap", "2h"],
        ["serve", "--port", "http"],
        ["serve", "--workers", "0"],
    ],
)
def test_wrong_usage_ends_with_2(refuses, arguments):
    refuses(*arguments, code=2)


def test_tenants_set_limits_live_or_sandbox(settings, tenant, api):
    prints(settings, "tenants", "set", tenant.slug, "--rate-limit", "2", "--mode", "test")
    live, test = (api.with_key(tenant.issue(rate_limit=1000, mode=mode)) for mode in ("live", "test"))

    assert [test.award("p", 1).status for _ in range(3)] == [200, 200, 429]
    assert [live.award("p", 1).status for _ in range(3)] == [200] * 3
    assert "rate_limit" in fails(settings, "tenants", "set", tenant.slug, "--rate-limit=-1")


def test_suspend_and_resume_work_at_once(settings, tenant, api):
    assert api.award("p", 1).status == 200
    prints(settings, "tenants", "suspend", tenant.slug)
    refused = api.award("p", 1)
    prints(settings, "tenants", "resume", tenant.slug)

    assert (refused.status, refused.code) == (403, "tenant_suspended")
    assert api.award("p", 1).json["new_balance"] == 2


def test_keys_create_shows_a_key_for_everything(settings, tenant, api):
    made = json.loads(prints(settings, "keys", "create", tenant.slug, "--name", "shop", "--json"))

    assert set(made) == {"api_key", "prefix"}
    assert made["api_key"].startswith("gk_live_")
    assert made["prefix"] == made["api_key"][: len(made["prefix"])]
    client: Api = api.with_key(made["api_key"])
    answer = client.award("p", 5)
    assert (answer.status, answer.headers["X-RateLimit-Limit"]) == (200, "1000")
    assert client.balance("p") == 5


def test_keys_create_for_the_sandbox_with_one_scope_and_a_limit(settings, tenant, api):
    made = prints(
        *(settings, "keys", "create", tenant.slug, "--name", "k", "--mode", "test"), "--scope", "points:read", "--rate-limit", "3"
    )
    client: Api = api.with_key(made.split()[0])

    assert client.key
    assert client.key.startswith("gk_test_")
    assert client.award("p", 1).code == "missing_scope"
    assert client.points("p").status == 404
    assert client.points("p").headers["X-RateLimit-Limit"] == "3"


def test_keys_revoke_stops_a_key_at_once_and_list_shows_no_secret(settings, tenant, api):
    secret = tenant.issue("points:read", "points:write")
    client = api.with_key(secret)
    assert client.award("p", 1).status == 200

    assert secret[16:] not in prints(settings, "keys", "revoke", secret[:16])

    assert client.award("p", 1).status == 401
    listed = prints(settings, "keys", "list", tenant.slug)
    assert secret[16:-4] not in listed
    [line] = [line for line in listed.splitlines() if secret[:16] in line]
    assert "revoked" in line
    assert len(re.findall(r"\tvalid\t", listed)) == 1


def test_keys_create_with_an_expiry_and_networks_shows_in_the_list(settings, tenant, api):
    options = ("--expires-in", "90d", "--allow", "192.0.2.7", "--allow", "2001:db8::/32")
    made = json.loads(prints(settings, "keys", "create", tenant.slug, "--name", "k", *options, "--json"))

    [line] = [line for line in prints(settings, "keys", "list", tenant.slug).splitlines() if made["prefix"] in line]
    day = (datetime.now(UTC) + timedelta(days=90)).strftime("%Y-%m-%d")
    assert "192.0.2.7/32,2001:db8::/32" in line
    assert f"until {day}" in line
    assert "never used" in line
    assert api.with_key(made["api_key"]).award("p", 1).code == "address_not_allowed"
    assert "allowed_networks" in fails(settings, "keys", "create", tenant.slug, "--name", "k", "--allow", "192.0.2.7/8")


@pytest.mark.parametrize("wrong", ["", "90", "0d", "-1d", "1y", "1.5d", "100000d", "d", "1 d"])
def test_an_expiry_is_a_number_of_hours_days_or_weeks(refuses, tenant, wrong):
    refuses("keys", "create", tenant.slug, "--name", "k", "--expires-in", wrong, code=2)


def test_keys_roll_prints_the_new_key_and_both_work_for_the_overlap(settings, tenant, api):
    old = tenant.issue()
    assert api.with_key(old).award("p", 1).status == 200

    made = json.loads(prints(settings, "keys", "roll", old[:16], "--overlap", "1h", "--json"))

    assert set(made) == {"api_key", "prefix"}
    assert made["api_key"].startswith(made["prefix"])
    assert [api.with_key(key).award("p", 1).status for key in (old, made["api_key"])] == [200, 200]
    [line] = [line for line in prints(settings, "keys", "list", tenant.slug).splitlines() if old[:16] in line]
    assert "\trolling\t" in line
    assert "rolling" in fails(settings, "keys", "roll", old[:16])


def test_keys_roll_without_overlap_stops_the_old_key_at_once(settings, tenant, api):
    old = tenant.issue()
    assert api.with_key(old).award("p", 1).status == 200

    new = prints(settings, "keys", "roll", old[:16], "--overlap", "0h").split()[0]

    assert [api.with_key(key).award("p", 1).status for key in (old, new)] == [401, 200]


def test_tenants_delete_removes_a_tenant_and_says_so(settings, here, app):
    doomed = new_tenant(here)
    api = Api(app.test_client(), doomed.key)
    api.award("p", 5)

    assert "is deleted" in prints(settings, "tenants", "delete", doomed.slug, "--yes")

    assert api.award("p", 5).status == 401
    assert doomed.slug not in prints(settings, "tenants", "list")
    assert doomed.slug in fails(settings, "tenants", "delete", doomed.slug, "--yes")


def test_tenants_delete_away_from_a_terminal_wants_to_be_sure(settings, tenant, api):
    said = fails(settings, "tenants", "delete", tenant.slug, stdin="y\n")

    assert "--yes" in said
    assert api.award("p", 5).status == 200


@pytest.mark.long
def test_tenants_delete_killed_in_the_middle_goes_on_when_run_again(settings, here, app):
    doomed = new_tenant(here)
    api = Api(app.test_client(), doomed.key)
    api.award("p", 5)
    command = [sys.executable, "-m", "gamify.cli", "tenants", "delete", doomed.slug, "--yes"]
    process = subprocess.Popen(command, env=environment(settings))
    while api.award("p", 5).status == 200:
        time.sleep(0.01)
    process.kill()
    process.wait()

    left = prints(settings, "tenants", "list")
    assert re.search(rf"{doomed.slug}\ttest\tdeleting", left)
    assert "being deleted" in fails(settings, "tenants", "resume", doomed.slug)
    assert json.loads(prints(settings, "verify", doomed.slug, "--json"))["tenants"] == 0
    prints(settings, "tenants", "delete", doomed.slug, "--yes")
    assert doomed.slug not in prints(settings, "tenants", "list")


@pytest.mark.parametrize("command", [["--help"], ["keys", "create", "--help"], ["routes"], ["db", "current"]])
def test_help_and_flasks_own_commands_work(settings, command):
    assert prints(settings, *command)


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"database_url": "postgresql://nobody@127.0.0.1:1/none"}, "try again"),
        ({"database_url": "nonsense"}, "DATABASE_URL"),
        ({"environment": "staging", "log_level": "LOUD"}, "GAMIFY_ENV"),
    ],
)
@pytest.mark.parametrize("command", [["tenants", "list"], ["db", "upgrade"], ["--help"]])
def test_an_unusable_environment_is_told_in_one_sentence(settings, change, names, command):
    if command == ["--help"] and "postgresql" in change.get("database_url", ""):
        prints(replace(settings, **change), *command)
    else:
        assert names in fails(replace(settings, **change), *command)
