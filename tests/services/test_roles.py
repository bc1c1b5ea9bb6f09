"""The one table of who may do what."""

import pytest
from gamify.services import roles


def test_operators_never_see_a_tenants_data():
    theirs = roles.ROLES["operator"]

    assert not {
        p for p in theirs if p.split(":")[0] in ("participants", "ledger", "tiers", "reports", "keys", "audit", "settings")
    }
    assert {"tenants:read", "tenants:write", "platform_audit:read"} <= theirs


def test_admins_may_do_everything_of_their_tenant_and_nothing_of_the_platform():
    assert set(roles.PERMISSIONS) - roles.ROLES["admin"] == {"tenants:read", "tenants:write", "platform_audit:read"}


def test_analysts_read_and_export_and_nothing_else():
    theirs = roles.ROLES["analyst"]

    assert not {permission for permission in theirs if permission.endswith(":write")}
    assert not theirs & {"people:read", "keys:read", "audit:read"}
    assert "reports:export" in theirs


@pytest.mark.parametrize("role", [*roles.ROLES, "owner", ""])
def test_nobody_may_do_what_the_table_does_not_know(role):
    assert not roles.allows(role, "points:invent")
    assert roles.allows(role, "account") == (role in roles.ROLES)


def test_roles_are_given_within_ones_own_house():
    assert set(roles.assignable(is_operator=True)).isdisjoint(roles.assignable(is_operator=False))
    assert {*roles.assignable(is_operator=True), *roles.assignable(is_operator=False)} == set(roles.ROLES)
