"""`gamify tiers`, `gamify users` and `gamify verify`."""

import json

import psycopg
import pytest
from argon2 import PasswordHasher

from tests.cli.asserting import fails, prints
from tests.harness import gamify

LEVEL = """
    SELECT level FROM participants AS p JOIN tiers AS t ON t.tenant_id = p.tenant_id AND t.number = p.tier
    WHERE p.tenant_id = %s AND external_id = %s ORDER BY t.ladder_version DESC LIMIT 1
"""


def level_of(owner: psycopg.Connection, tenant_id: int, who: str) -> int:
    [level] = owner.execute(LEVEL, [tenant_id, who]).fetchone()
    return level


def test_tiers_set_reevaluates_everyone_down_too(settings, tenant, api, owner):
    api.award("ana", 600)
    api.award("bo", 100)
    assert level_of(owner, tenant.id, "ana") == 2

    prints(settings, "tiers", "set", tenant.slug, "gold=1000", "bronze=0", "silver=700")
    assert (level_of(owner, tenant.id, "ana"), level_of(owner, tenant.id, "bo")) == (1, 1)

    prints(settings, "tiers", "set", tenant.slug, "low=50", "very_high=600")
    assert (level_of(owner, tenant.id, "ana"), level_of(owner, tenant.id, "bo")) == (2, 1)
    upgrade = api.award("bo", 500).json["tier_upgrade"]
    assert (upgrade["code"], upgrade["name"], upgrade["level"]) == ("very_high", "Very High Tier", 2)
    assert (upgrade["previous_code"], upgrade["previous_level"]) == ("low", 1)


def test_tiers_set_for_the_sandbox_leaves_live_alone(settings, tenant, api):
    prints(settings, "tiers", "set", tenant.slug, "start=0", "top=10", "--mode", "test")

    assert api.award("p", 10).json["tier_upgrade"] is None
    assert api.with_key(tenant.test_key).award("p", 10).json["tier_upgrade"]["code"] == "top"


@pytest.mark.parametrize(
    "tiers", [["gold"], ["gold="], ["gold=many"], ["gold=-1"], ["=5"], ["gold=1", "gold=2"], ["gold=1.5"], []]
)
def test_tiers_nobody_can_read_are_wrong_usage(refuses, tenant, tiers):
    refuses("tiers", "set", tenant.slug, *tiers, code=2)


@pytest.mark.parametrize("tiers", [["Gold=1"], ["a=1", "b=1"], ["a=9223372036854775808"]])
def test_unusable_tiers_change_nothing(refuses, tenant, api, tiers):
    assert "tiers" in refuses("tiers", "set", tenant.slug, *tiers)

    assert api.award("p", 500).json["tier_upgrade"]["code"] == "silver"


def test_users_create_makes_a_password_and_prints_it(settings, tenant, owner):
    email = f"ada@{tenant.slug}.example"

    made = json.loads(prints(settings, "users", "create", tenant.slug, "--email", email, "--role", "admin", "--json"))

    assert (made["email"], made["role"]) == (email, "admin")
    stored = "SELECT password_hash, role, tenant_id FROM users WHERE email = %s"
    password_hash, role, tenant_id = owner.execute(stored, [email]).fetchone()
    assert (role, tenant_id) == ("admin", tenant.id)
    assert PasswordHasher().verify(password_hash, made["password"])
    taken = fails(settings, "users", "create", tenant.slug, "--email", email.upper(), "--role", "analyst")
    assert "already" in taken


def test_users_create_reads_a_password_and_keeps_it_to_itself(settings, tenant, owner):
    email, password = f"op@{tenant.slug}.example", "a quite long pässword"

    said = prints(settings, "users", "create", "--operator", "--email", email, "--password-stdin", stdin=f"{password}\n")

    assert password not in said
    password_hash, role = owner.execute("SELECT password_hash, role FROM users WHERE email = %s", [email]).fetchone()
    assert role == "operator"
    assert PasswordHasher().verify(password_hash, password)


def test_users_create_refuses_short_passwords_and_unknown_tenants(settings, tenant):
    create = ("users", "create", "--email", "x@mail.example", "--role", "analyst")

    assert "password" in fails(settings, *create, tenant.slug, "--password-stdin", stdin="short\n")
    assert "password" in fails(settings, *create, tenant.slug, "--password-stdin", stdin="")
    assert "nobody-here" in fails(settings, *create, "nobody-here")


@pytest.mark.parametrize(
    "arguments",
    [["x", "--role", "owner"], ["x"], [], ["--role", "admin"], ["x", "--operator"], ["--operator", "--role", "admin"]],
)
def test_users_create_wants_a_tenant_with_a_role_or_an_operator(refuses, arguments):
    refuses("users", "create", "--email", "x@mail.example", *arguments, code=2)


def test_verify_finds_nothing_wrong(settings, tenant, api):
    api.award("p", 5)

    report = json.loads(prints(settings, "verify", tenant.slug, "--json"))
    assert report["differences"] == []
    assert report["entries"] == 1
    assert "adds up" in prints(settings, "verify", tenant.slug)
    assert "nobody-here" in fails(settings, "verify", "nobody-here")


def test_verify_says_one_line_a_difference_and_ends_with_1(settings, tenant, api, owner):
    api.award("p", 700)
    prints(settings, "rollups", "advance", tenant.slug)  # from now on standings are not written
    change = "UPDATE participants SET tier = %s WHERE tenant_id = %s"
    owner.execute(change, [3, tenant.id])
    try:
        said, report = gamify(settings, "verify", tenant.slug), gamify(settings, "verify", tenant.slug, "--json")
    finally:
        owner.execute(change, [2, tenant.id])

    assert (said.returncode, report.returncode) == (1, 1)
    assert said.stdout.splitlines() == [
        f"{tenant.slug} (live) 'p' participant: tier is 3, should be 2",
        f"{tenant.slug} (live) 'p' participant: standing: tier is 2, should be 3",
    ]
    [difference, _] = json.loads(report.stdout)["differences"]
    assert (difference["tenant"], difference["participant_id"], difference["what"]) == (tenant.slug, "p", "tier")
