"""Tenants and their sandboxes."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from gamify.errors import Conflict, Invalid, NotFound
from gamify.models import Tier
from gamify.services import tenants, zones
from gamify.services.audit import SYSTEM
from sqlalchemy import select

from tests.harness import new_tenant


def test_a_tenant_comes_with_a_sandbox_and_starter_tiers_on_both(here, tenant):
    for tenant_id in (tenant.id, tenant.sandbox_id):
        with here.database.transaction(tenant_id) as session:
            rungs = session.scalars(select(Tier).where(Tier.tenant_id == tenant_id).order_by(Tier.level)).all()

        assert [(rung.level, rung.code, rung.name, rung.threshold) for rung in rungs] == [
            (1, "bronze", "Bronze Tier", 0),
            (2, "silver", "Silver Tier", 500),
            (3, "gold", "Gold Tier", 1500),
        ]


def test_live_and_sandbox_share_the_slug_and_nothing_else(here, tenant, api):
    with here.database.transaction() as session:
        live, sandbox = tenants.both(session, tenant.slug)
    assert (live.slug, live.mode, sandbox.slug, sandbox.mode) == (tenant.slug, "live", tenant.slug, "test")
    assert live.id != sandbox.id == tenant.sandbox_id

    api.award("p", 100)

    assert api.with_key(tenant.test_key).points("p").status == 404


def test_a_slug_is_taken_once(here, tenant):
    with pytest.raises(Conflict), here.database.transaction() as session:
        tenants.create(session, slug=tenant.slug, name="Another", actor=SYSTEM)


def test_two_who_create_one_slug_at_once_get_one_tenant(here, tenant):
    def create(n):
        try:
            with here.database.transaction() as session:
                return tenants.create(session, slug=f"{tenant.slug}-x", name=str(n), actor=SYSTEM).id
        except Conflict:
            return None

    with ThreadPoolExecutor(8) as pool:
        made = [found for found in pool.map(create, range(8)) if found]

    assert len(made) == 1


@pytest.mark.parametrize("slug", ["", "A", "a_b", "-a", "a-", "a b", "é", "a/b", "a" * 64, "a\n", "a\0"])
def test_unusable_slugs_are_refused(here, slug):
    with pytest.raises(Invalid) as refused, here.database.transaction() as session:
        tenants.create(session, slug=slug, name="Name", actor=SYSTEM)

    assert [error.field for error in refused.value.errors] == ["slug"]


@pytest.mark.parametrize("name", ["", "  ", "x" * 201, "a\0"])
def test_unusable_names_are_refused(here, name):
    with pytest.raises(Invalid) as refused, here.database.transaction() as session:
        tenants.create(session, slug="fine", name=name, actor=SYSTEM)

    assert [error.field for error in refused.value.errors] == ["name"]


def test_a_limit_is_set_for_live_or_sandbox_alone(here, tenant):
    with here.database.transaction() as session:
        tenants.set_rate_limit(session, tenants.get(session, tenant.slug, mode="test"), rate_limit=7, actor=SYSTEM)

    with here.database.transaction() as session:
        assert [each.rate_limit for each in tenants.both(session, tenant.slug)] == [5000, 7]


@pytest.mark.parametrize("rate_limit", [-1, 2**53])
def test_unusable_limits_are_refused(here, tenant, rate_limit):
    with pytest.raises(Invalid), here.database.transaction() as session:
        tenants.set_rate_limit(session, tenants.get(session, tenant.slug), rate_limit=rate_limit, actor=SYSTEM)


def test_a_name_and_a_time_zone_are_those_of_live_and_sandbox(here, tenant):
    with here.database.transaction() as session:
        tenants.set_profile(session, tenant.slug, name="Kaffee & Kuchen", time_zone="Europe/Berlin", actor=SYSTEM)

    with here.database.transaction() as session:
        found = [(each.name, each.time_zone) for each in tenants.both(session, tenant.slug)]
    assert found == [("Kaffee & Kuchen", "Europe/Berlin")] * 2


@pytest.mark.parametrize("time_zone", ["", "Berlin", "europe/berlin", "../etc/passwd", "localtime", "UTC ", "+02:00", "a\0"])
def test_what_is_no_time_zone_is_refused(here, tenant, time_zone):
    with pytest.raises(Invalid, match=r"^time_zone: "), here.database.transaction() as session:
        tenants.set_profile(session, tenant.slug, name="Fine", time_zone=time_zone, actor=SYSTEM)


def test_the_database_knows_every_time_zone_on_offer(owner):
    known = {name for (name,) in owner.execute("SELECT name FROM pg_timezone_names")}

    assert set(zones.names()) - known == set()


@pytest.mark.parametrize("name", ["", " ", "x" * 201, "a\0"])
def test_a_tenant_cannot_be_given_an_unusable_name(here, tenant, name):
    with pytest.raises(Invalid, match=r"^name: "), here.database.transaction() as session:
        tenants.set_profile(session, tenant.slug, name=name, time_zone="UTC", actor=SYSTEM)


def test_suspending_stops_live_and_sandbox_until_resumed(here, tenant, api):
    statuses = {}
    for status in ("suspended", "active"):
        with here.database.transaction() as session:
            changed = tenants.set_status(session, tenant.slug, status=status, actor=SYSTEM)
        for each in changed:
            here.counters.advance(each.id)
        statuses[status] = [api.with_key(key).award("p", 1).status for key in (tenant.key, tenant.test_key)]

    assert statuses == {"suspended": [403, 403], "active": [200, 200]}


def test_a_suspended_tenant_touches_no_other(here, tenant, api):
    other = new_tenant(here)
    with here.database.transaction() as session:
        tenants.set_status(session, other.slug, status="suspended", actor=SYSTEM)

    assert api.award("p", 1).status == 200


def test_an_unknown_tenant_is_not_found(here):
    with here.database.transaction() as session:
        for call in (tenants.get, tenants.both):
            with pytest.raises(NotFound):
                call(session, "nobody-of-this-name")
