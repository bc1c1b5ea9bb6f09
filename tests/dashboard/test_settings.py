"""Settings: a tenant's name and the zone of its days."""

import pytest

from tests.harness import new_tenant
from tests.people import Browser, log_of, new_user

SETTINGS = "/dashboard/settings"


@pytest.fixture
def admin(app, here, tenant) -> Browser:
    browser = Browser(app)
    browser.sign_in(new_user(here, tenant.slug).email)
    return browser


def test_a_name_and_a_zone_are_saved_for_live_and_sandbox_and_written_down(admin, here, owner, tenant):
    page = admin.post(SETTINGS, {"name": " Kaffee & Kuchen ", "time_zone": "Asia/Tokyo"})

    assert page.to == SETTINGS
    rows = owner.execute("SELECT name, time_zone FROM tenants WHERE slug = %s", [tenant.slug]).fetchall()
    assert rows == [("Kaffee & Kuchen", "Asia/Tokyo")] * 2
    text = admin.get(SETTINGS).text
    assert "Kaffee &amp; Kuchen" in text
    assert 'value="Asia/Tokyo" selected' in " ".join(text.split())
    [entry] = [entry for entry in log_of(here, tenant.id) if entry.action == "tenant.set_profile"]
    assert entry.after == {"name": "Kaffee & Kuchen", "time_zone": "Asia/Tokyo"}


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"name": " "}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"time_zone": "Tokyo"}, "time_zone"),
        ({"time_zone": ""}, "time_zone"),
    ],
)
def test_what_is_wrong_is_said_at_its_field_and_nothing_changes(admin, owner, tenant, values, field):
    page = admin.post(SETTINGS, {"name": "Fine", "time_zone": "Asia/Tokyo"} | values)

    assert (page.status, f'id="{field}-error"' in page.text) == (422, True)
    assert owner.execute("SELECT time_zone FROM tenants WHERE id = %s", [tenant.id]).fetchone() == ("UTC",)


def test_another_tenant_stays_as_it_is(admin, owner, tenant):
    other = new_tenant(tenant.here)
    admin.post(SETTINGS, {"name": "Mine", "time_zone": "Asia/Tokyo"})

    assert owner.execute("SELECT time_zone FROM tenants WHERE id = %s", [other.id]).fetchone() == ("UTC",)


def test_limits_are_shown_to_admins_and_only_operators_change_them(admin, tenant):
    tenant.limit_to(1234)
    tenant.limit_to(0, mode="test")
    text = " ".join(admin.get(SETTINGS).text.split())

    assert "1,234 requests a minute" in text
    assert "No limit" in text
    assert admin.post(f"/dashboard/tenants/{tenant.slug}/limits", {"live": "9", "test": "9"}).status == 403


def test_an_analyst_changes_no_settings(app, here, tenant):
    analyst = Browser(app)
    analyst.sign_in(new_user(here, tenant.slug, role="analyst").email)

    assert analyst.get(SETTINGS).status == 403
    assert analyst.post(SETTINGS, {"name": "Mine", "time_zone": "UTC"}).status == 403


def test_pages_tell_times_of_the_tenants_zone(admin, owner, tenant):
    owner.execute("UPDATE tenants SET time_zone = 'Asia/Kathmandu' WHERE slug = %s", [tenant.slug])
    text = admin.get("/dashboard/audit").text

    assert "times are those of Asia/Kathmandu" in text
    assert "Asia/Kathmandu (+0545)" in text
