"""API keys, as a tenant's admins manage them."""

import re
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from tests.harness import Api, TenantUnderTest, new_tenant
from tests.people import Browser, Page, log_of, new_user

KEYS = "/dashboard/keys"
SECRET = re.compile(r"gk_(?:live|test)_\w{38}")


@pytest.fixture
def browser(app, here, tenant) -> Browser:
    """A browser in which an admin is signed in."""
    return signed_in(app, here, tenant)


def signed_in(app, here, tenant: TenantUnderTest, role: str = "admin") -> Browser:
    made = Browser(app)
    assert made.sign_in(new_user(here, tenant.slug, role=role).email).status == 303
    return made


def wanted(**values) -> dict:
    return {"name": "till", "mode": "live", "scope": ["points:read"], "rate_limit": "60", "expires_in": ""} | values


def secret_in(page: Page) -> str:
    [found] = set(SECRET.findall(page.text))
    return found


def test_keys_of_both_modes_are_listed_without_their_secrets(browser, tenant):
    keys = (tenant.key, tenant.test_key)
    text = browser.get(KEYS).text

    for key in keys:
        assert f"{key[:16]}…{key[-4:]}" in text
        assert key not in text


def test_an_issued_key_is_shown_once_and_works(browser, api):
    page = browser.post(f"{KEYS}/issue", wanted(allowed_networks="127.0.0.1\n::1", expires_in="90"))
    assert (page.status, page.headers["Cache-Control"]) == (200, "no-store")

    key: Api = api.with_key(secret_in(page))
    assert key.points("p").status == 404
    assert key.points("p").headers["X-RateLimit-Limit"] == "60"
    assert key.award("p").code == "missing_scope"
    listed = browser.get(KEYS).text
    assert not SECRET.search(listed)
    assert "127.0.0.1/32, ::1/128" in listed
    assert "Valid until" in listed


def test_a_test_key_is_for_the_sandbox(browser, api):
    key = secret_in(browser.post(f"{KEYS}/issue", wanted(mode="test", scope=["points:write"])))

    assert api.with_key(key).award("p", 5).status == 200
    assert api.points("p").status == 404


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"name": " "}, "name"),
        ({"mode": "prod"}, "mode"),
        ({"scope": []}, "scope"),
        ({"scope": ["points:admin"]}, "scope"),
        ({"rate_limit": "-1"}, "rate_limit"),
        ({"rate_limit": "many"}, "rate_limit"),
        ({"rate_limit": "9" * 16}, "rate_limit"),
        ({"expires_in": "1000000"}, "expires_in"),
        ({"allowed_networks": "192.0.2.7/8"}, "allowed_networks"),
    ],
)
def test_what_is_wrong_is_said_at_its_field_and_the_rest_is_kept(browser, values, field):
    page = browser.post(f"{KEYS}/issue", wanted(**{"name": "till 3"} | values))

    assert page.status == 422
    assert f'id="{field}-error"' in page.text
    assert 'value="till 3"' in page.text or field == "name"
    assert not SECRET.search(page.text)


def test_a_rolled_key_is_replaced_and_goes_on_for_the_overlap(browser, tenant, api):
    page = browser.post(f"{KEYS}/{tenant.key[:16]}/roll", {"overlap": "1h"})

    assert [api.with_key(key).award("p", 1).status for key in (tenant.key, secret_in(page))] == [200, 200]
    assert "Rolling" in browser.get(KEYS).text
    again = browser.post(f"{KEYS}/{tenant.key[:16]}/roll", {"overlap": "1h"})
    assert (again.status, "rolling already" in again.text) == (409, True)


def test_a_key_rolled_without_overlap_stops_at_once(browser, tenant, api):
    assert api.award("p", 1).status == 200
    secret_in(browser.post(f"{KEYS}/{tenant.key[:16]}/roll", {"overlap": "0h"}))

    assert api.award("p", 1).status == 401


def test_an_overlap_nobody_offers_is_refused(browser, tenant):
    page = browser.post(f"{KEYS}/{tenant.key[:16]}/roll", {"overlap": "900d"})

    assert (page.status, "Must be one of 0h, 1h, 24h, 7d." in page.text) == (422, True)


def test_a_revoked_key_stops_at_once(browser, tenant, api):
    assert api.award("p", 1).status == 200

    page = browser.post(f"{KEYS}/{tenant.key[:16]}/revoke")

    assert (page.status, page.to) == (303, KEYS)
    assert api.award("p", 1).status == 401
    assert "is revoked" in browser.get(KEYS).text


@pytest.mark.parametrize("change", ["roll", "revoke"])
def test_a_key_of_another_tenant_is_not_found(app, browser, tenant, change):
    other = new_tenant(tenant.here)

    strange = browser.post(f"{KEYS}/{other.key[:16]}/{change}", {"overlap": "0h"})
    unknown = browser.post(f"{KEYS}/gk_live_nothing0/{change}", {"overlap": "0h"})

    assert strange.status == unknown.status == 404
    assert Api(app.test_client(), other.key).award("p", 1).status == 200


def test_an_analyst_sees_no_keys(app, here, tenant):
    assert signed_in(app, here, tenant, "analyst").get(KEYS).status == 403


def test_the_log_says_who_issued_rolled_and_revoked(browser, here, tenant):
    browser.post(f"{KEYS}/issue", wanted())
    browser.post(f"{KEYS}/{tenant.key[:16]}/roll", {"overlap": "1h"})
    browser.post(f"{KEYS}/{tenant.key[:16]}/revoke")

    said = [(entry.actor_kind, entry.action, entry.address) for entry in log_of(here, tenant.id) if entry.actor_kind == "user"]
    assert [entry for entry in said if entry[1].startswith("api_key")] == [
        ("user", f"api_key.{action}", browser.address) for action in ("issue", "roll", "revoke")
    ]


def test_every_form_carries_its_token(browser, tenant):
    asked = (f"{KEYS}/{tenant.key[:16]}/{change}" for change in ("roll", "revoke"))
    for path, of_page in ((KEYS, "issue"), *((path, path) for path in asked)):
        forms = re.findall(r"<form.*?</form>", browser.get(path).text, re.DOTALL)
        sent = [form for form in forms if 'method="post"' in form]
        assert len(sent) == 3  # to sign out, to choose colours, and the page's own
        assert any(f'{of_page}"' in form for form in sent)
        assert all('name="csrf_token"' in form for form in sent)


def tomorrow_in(zone: str) -> str:
    return f"{datetime.now(ZoneInfo(zone)).date() + timedelta(days=1)}"


def test_a_key_may_expire_at_the_end_of_a_day_in_the_tenants_zone(browser, owner, tenant):
    owner.execute("UPDATE tenants SET time_zone = 'Pacific/Apia' WHERE slug = %s", [tenant.slug])
    day = tomorrow_in("Pacific/Apia")
    key = secret_in(browser.post(f"{KEYS}/issue", wanted(expires_in="day", expires_on=day)))

    (found,) = owner.execute("SELECT expires_at FROM api_keys WHERE prefix = %s", [key[:16]]).fetchone()
    last = found.astimezone(ZoneInfo("Pacific/Apia")) - timedelta(seconds=1)
    assert f"{last:%Y-%m-%d %H:%M:%S}" == f"{day} 23:59:59"


@pytest.mark.parametrize("day", ["", "tomorrow", "2020-01-01", "2027-02-30", "9999-12-31", "0001-01-01"])
def test_a_last_day_that_cannot_be_is_told_at_its_field(browser, day):
    page = browser.post(f"{KEYS}/issue", wanted(expires_in="day", expires_on=day))

    assert (page.status, 'id="expires_on-error"' in page.text) == (422, True)
    assert f'value="{day}"' in page.text


def test_a_key_that_expires_within_two_weeks_is_marked(browser):
    for days, is_marked in (("365", False), ("30", False)):
        browser.post(f"{KEYS}/issue", wanted(expires_in=days))
        assert ("Expires soon" in browser.get(KEYS).text) is is_marked
    browser.post(f"{KEYS}/issue", wanted(expires_in="day", expires_on=tomorrow_in("UTC")))

    assert browser.get(KEYS).text.count("Expires soon") == 1


@pytest.mark.parametrize("change", ["roll", "revoke"])
def test_before_a_key_is_changed_a_page_or_drawer_names_it(browser, api, tenant, change):
    path = f"{KEYS}/{tenant.key[:16]}/{change}"
    page = browser.get(path)
    drawer = browser.get(path, headers={"HX-Request": "true", "HX-Target": "div#drawer-content"})

    for asked in (page, drawer):
        assert f"{tenant.key[:16]}…{tenant.key[-4:]}" in asked.text
        assert f'action="{path}"' in asked.text
    assert ("<html" in page.text, "<html" in drawer.text) == (True, False)
    assert api.award("p", 1).status == 200


@pytest.mark.parametrize("change", ["roll", "revoke"])
def test_no_question_is_asked_about_a_key_of_another_tenant(browser, tenant, change):
    other = new_tenant(tenant.here)

    assert browser.get(f"{KEYS}/{other.key[:16]}/{change}").status == 404


def test_keys_out_of_use_are_folded_away_and_can_not_be_changed(browser, tenant):
    browser.post(f"{KEYS}/{tenant.key[:16]}/revoke")
    browser.get(KEYS)  # what was said is said
    folded = re.search(r'<details class="out-of-use">.*?</details>', browser.get(KEYS).text, re.DOTALL)[0]

    assert tenant.key[:16] in folded
    assert "Revoked" in folded
    assert "/roll" not in folded
    assert "/revoke" not in folded


def test_in_the_sandbox_test_keys_come_first_and_are_what_is_made(browser):
    live, test = browser.get(KEYS).text, browser.get(f"{KEYS}?mode=test").text

    assert live.index("Live keys") < live.index("Test keys")
    assert test.index("Test keys") < test.index("Live keys")
    assert 'value="test" selected' in " ".join(test.split())
    assert 'value="test" selected' not in " ".join(live.split())


def test_pages_have_no_script_or_style_of_their_own(browser, tenant):
    for page in (browser.get(KEYS), browser.post(f"{KEYS}/issue", wanted())):
        assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=", page.text)
