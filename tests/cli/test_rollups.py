"""`gamify rollups`."""

from gamify.services import rollups

from tests.cli.asserting import prints


def test_rebuild_repairs_what_verify_finds(settings, tenant, api, owner):
    api.award("p", 700)
    prints(settings, "rollups", "rebuild", tenant.slug)
    columns = (("ledger_quarters", "award_points"), ("tier_standings", "points"), ("participant_standings", "balance"))
    for wrong, (table, column) in enumerate(columns):
        owner.execute(f"UPDATE {table} SET {column} = {wrong} WHERE tenant_id = %s", [tenant.id])
    found = tenant.differences()
    for what in ("award_points is 0", "points is 1", "balance is 2"):
        assert any(what in each for each in found), what

    said = prints(settings, "rollups", "rebuild", tenant.slug)

    assert said.splitlines() == [f"{tenant.slug} ({mode}): derived anew from the ledger." for mode in ("live", "test")]
    assert tenant.differences() == []


def test_advance_sums_what_is_left(settings, tenant, api):
    api.award("p", 700)

    said = prints(settings, "rollups", "advance", tenant.slug)

    assert said.splitlines() == [f"{tenant.slug} ({mode}): everything is summed." for mode in ("live", "test")]
    with tenant.here.database.transaction(tenant.id) as session:
        assert not rollups.has_tail(session, tenant.id)


def test_an_unknown_tenant_is_named(refuses):
    assert "nobody" in refuses("rollups", "rebuild", "nobody")
