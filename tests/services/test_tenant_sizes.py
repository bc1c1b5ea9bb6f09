"""What operators learn of tenants: how much there is, exact at any moment, and nothing of what it is."""

from datetime import UTC, date, datetime

import pytest
from gamify.services import rollups, tenant_sizes, tenants
from gamify.services.audit import SYSTEM
from gamify.services.tenant_sizes import Month, Size

from tests.harness import item, new_tenant

NOW = datetime.now(UTC)
THIS_MONTH = NOW.date().replace(day=1)


def size_of(tenant, mode: str = "live", *, months: int = 2, now: datetime = NOW) -> Size:
    with tenant.here.database.transaction() as session:
        found = tenants.get(session, tenant.slug, mode=mode)
    return tenant_sizes.of(tenant.here.database, found, months=months, now=now)


def test_participants_entries_and_movements_are_counted(tenant, api):
    api.batch([item("a", 5), item("a", 5), item("b", 5)])
    api.deduct("a", 3)

    size = size_of(tenant)

    assert (size.participant_count, size.entry_count) == (2, 4)
    assert (size.months[0].begins, size.months[0].movement_count) == (THIS_MONTH, 4)


def test_live_and_sandbox_are_apart(tenant, api):
    api.award("a", 1)
    api.with_key(tenant.test_key).batch([item("x"), item("y")])

    assert [size_of(tenant, mode).participant_count for mode in ("live", "test")] == [1, 2]


def test_of_another_tenant_nothing_counts(tenant, api):
    other = new_tenant(tenant.here)
    api.award("a", 1)

    assert (size_of(other).participant_count, size_of(other).entry_count) == (0, 0)


def test_a_new_tenant_has_months_with_nothing_in_them(tenant):
    assert size_of(tenant, now=datetime(2026, 1, 31, tzinfo=UTC), months=3).months == [
        Month(date(2026, 1, 1), 0, 0),
        Month(date(2025, 12, 1), 0, 0),
        Month(date(2025, 11, 1), 0, 0),
    ]


def test_requests_are_those_of_the_tenants_months(tenant, owner):
    for tenant_id, month, count in (
        (tenant.id, THIS_MONTH, 7),
        (tenant.id, date(2020, 1, 1), 9),
        (tenant.sandbox_id, THIS_MONTH, 5),
    ):
        owner.execute("INSERT INTO request_months VALUES (%s, %s, %s)", [tenant_id, month, count])

    assert [month.request_count for month in size_of(tenant).months] == [7, 0]
    assert size_of(tenant, "test").months[0].request_count == 5


def test_what_is_summed_and_what_came_since_are_counted_once(tenant, api):
    api.batch([item("a", 5), item("b", 5)])
    while rollups.advance(tenant.here.database, tenant.id):
        pass
    api.batch([item("a", 5), item("c", 5)])

    size = size_of(tenant)

    assert (size.participant_count, size.entry_count) == (3, 4)
    assert size.months[0].movement_count == 4


def test_tenants_are_found_by_parts_of_slug_and_name_and_paged(here):
    made = [new_tenant(here).slug for _ in range(3)]
    with here.database.transaction() as session:
        tenants.set_profile(session, made[1], name=f"100% Of_{made[1]}", time_zone="UTC", actor=SYSTEM)

        def slugs(text: str, **page) -> list[str]:
            return [each.slug for each in tenants.search(session, text, **page)]

        assert made[0] in slugs(made[0][2:].upper())
        assert slugs(f"100% of_{made[1]}") == [made[1]]
        assert slugs("10_% of") == []
        everybody = slugs("")
        assert everybody == sorted(everybody)
        assert set(made) <= set(everybody)
        assert slugs("", after=everybody[0], limit=2) == everybody[1:3]


@pytest.mark.parametrize("count", [2, 12])
def test_a_table_has_a_cell_for_each_of_its_columns(tenant, count):
    header = tenant_sizes.header(count, now=NOW)

    assert len(header) == len(tenant_sizes.cells(size_of(tenant, months=count)))
    assert header[8] == f"requests {THIS_MONTH:%Y-%m}"
