"""The overview: figures that agree with the ledger, what needs attention, and first steps."""

from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from gamify.db import act_as
from gamify.services import api_keys, attention, overview, tenants, tiers
from gamify.services.audit import SYSTEM

from tests.harness import BASE, PEPPER
from tests.people import Browser, new_user, now

UTC = ZoneInfo("UTC")
NEWEST = {"HX-Request": "true", "HX-Target": "div#newest"}


def seen(here, tenant_id: int):
    today = now().date()
    with here.database.snapshot(tenant_id) as session:
        return overview.of(session, tenant_id, first=today - timedelta(days=6), last=today, zone=UTC, now=now())


def test_the_figures_are_those_of_the_ledger(here, api, tenant):
    api.award("ana", 600)
    api.award("bo", 100)
    taken = api.award("bo", 40).json["transaction_id"]
    api.deduct("ana", 250)
    api.request("POST", f"{BASE}/points/transactions/{taken}/reverse", body={})

    found = seen(here, tenant.id)

    assert (found.participant_count, found.outstanding) == (2, 450)
    assert (found.sums.awarded, found.sums.deducted, found.sums.net) == (700, 250, 450)
    assert found.sums.joined_count == 2
    assert sum(day.sums.net for day in found.days) == 450
    assert [(each.tier.code, each.participant_count, each.points) for each in found.standings] == [
        ("bronze", 1, 100),
        ("silver", 1, 350),
        ("gold", 0, 0),
    ]
    assert sum(each.share for each in found.standings) == 1


def test_the_period_before_is_as_long_and_ends_where_this_one_begins(here, owner, api, tenant):
    api.award("ana", 100)
    with here.database.transaction() as session:
        act_as(session, tenant.id)
    later = now() + timedelta(days=7)
    with here.database.snapshot(tenant.id) as session:
        first = later.date() - timedelta(days=6)
        found = overview.of(session, tenant.id, first=first, last=later.date(), zone=UTC, now=later)

    assert (found.sums.awarded, found.before.awarded) == (0, 100)


def test_changes_are_shares_of_what_was_before():
    assert overview.change(150, 100) == 0.5
    assert overview.change(-50, -100) == 0.5
    assert overview.change(7, 0) is None


def test_a_new_tenant_sees_first_steps_with_a_line_to_copy(browser, api):
    page = browser.get("/dashboard/").text
    assert "First steps" in page
    assert "/api/v1/gamify/points/award" in page
    assert "data-copy=" in page

    api.award("ana", 10)
    assert "First steps" not in browser.get("/dashboard/").text


def test_the_newest_entries_come_alone_when_asked_for(browser, api):
    api.award("ana", 1234, reason="<b>Order</b>")

    part, whole = browser.get("/dashboard/", headers=NEWEST).text, browser.get("/dashboard/").text

    assert "<html" not in part
    assert part.strip() in whole
    assert "+1,234" in part
    assert "&lt;b&gt;Order&lt;/b&gt;" in part


def test_the_sandbox_has_its_own_overview_and_every_link_says_so(app, browser, api, tenant):
    api.award("ana", 10, reason="a live one")
    api.with_key(tenant.test_key).award("tess", 20, reason="a test one")

    live, sandbox = browser.get("/dashboard/").text, browser.get("/dashboard/?mode=test").text

    assert ("a live one" in live, "a test one" in live) == (True, False)
    assert ("a live one" in sandbox, "a test one" in sandbox) == (False, True)
    assert "Sandbox: nothing here is real" in sandbox
    assert 'href="/dashboard/keys?mode=test"' in sandbox
    assert 'href="/dashboard/?mode=test"' in live  # the switch
    assert 'href="/dashboard/keys"' in live


def test_a_key_about_to_expire_needs_attention_unless_it_is_being_rolled(here, browser, tenant):
    with here.database.transaction() as session:
        live = tenants.get(session, tenant.slug)
        soon = now() + timedelta(days=3)
        key, _ = api_keys.issue(session, live, name="Old till", pepper=PEPPER, actor=SYSTEM, expires_at=soon)
        assert [each.name for each in attention.of(session, live, now=now()).expiring] == ["Old till"]
    assert "Old till" in browser.get("/dashboard/").text

    with here.database.transaction() as session:
        api_keys.roll(session, key.prefix, overlap=timedelta(hours=24), pepper=PEPPER, actor=SYSTEM, now=now())
        # Its successor was made for as long, so is soon to expire as well; the old one is none of it.
        assert key.prefix not in [each.prefix for each in attention.of(session, live, now=now()).expiring]


def test_missing_tiers_need_attention(here, browser, tenant):
    assert "There are no tiers yet" not in browser.get("/dashboard/").text
    with here.database.transaction(tenant.id) as session:
        tiers.replace(session, tenant.id, {}, actor=SYSTEM)
    assert "There are no tiers yet" in browser.get("/dashboard/").text


def test_operators_are_led_to_the_tenants(app, here):
    browser = Browser(app)
    browser.sign_in(new_user(here).email)

    assert browser.get("/dashboard/").to == "/dashboard/tenants"


@pytest.mark.parametrize("period", ["last_7_days", "last_30_days", "last_90_days", "this_month", "this_year"])
def test_every_period_is_a_page(browser, period):
    assert browser.get(f"/dashboard/?period={period}").status == 200


def test_an_unknown_period_leads_to_the_usual_one(browser):
    assert browser.get("/dashboard/?period=ever").to == "/dashboard/"
