"""Pins by hand, in a real browser."""

from datetime import UTC, datetime, timedelta

import pytest
from gamify.services import holds
from playwright.sync_api import expect

from tests.browser.windows import WIDTHS, overflow, violations
from tests.people import new_user

pytestmark = pytest.mark.timeout(240)

both_ways = pytest.mark.parametrize(
    "java_script",
    # That every page is read and every form is sent without scripts is seen in `test_every_page` all the time.
    [pytest.param(True, id="scripts"), pytest.param(False, id="no scripts", marks=pytest.mark.long)],
)


@both_ways
def test_pinning_somebody_seeing_it_and_unpinning_them(windows, here, tenant, tcp, java_script):
    tcp.award("ada", 600)
    tcp.award("bob", 600)
    page = windows.enter(new_user(here, tenant.slug), java_script=java_script)
    page.goto("/dashboard/participants/ada")
    panel = page.get_by_role("region", name="Tier by hand")
    panel.get_by_text("Pin to a tier").click()
    panel.get_by_label("Tier").select_option("Gold Tier")
    panel.get_by_label("Why").fill("A friend of the house")
    panel.get_by_label("Last day").fill(str(datetime.now(UTC).date() + timedelta(days=3)))
    if java_script:
        expect(page.locator("#pin-preview")).to_contain_text("today that is Silver Tier")
    panel.get_by_role("button", name="Pin", exact=True).click()

    expect(page.locator(".holding")).to_contain_text("A friend of the house")
    expect(page.locator(".stat .tier")).to_have_text("Gold Tier")
    tcp.award("ada", 5)
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Overview").click()
    expect(page.get_by_text("These pins end soon")).to_be_visible()
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Participants").click()
    page.get_by_role("checkbox", name="Pinned").check(force=True)
    if not java_script:
        page.get_by_role("button", name="Filter").click()
    expect(page.get_by_role("link", name="bob")).to_have_count(0)
    page.get_by_role("link", name="ada").click()
    page.get_by_label("Why unpin").fill("We fell out")
    page.get_by_role("button", name="Unpin").click()

    expect(page.locator(".stat .tier")).to_have_text("Silver Tier")
    expect(page.get_by_role("region", name="Tier history")).to_contain_text("We fell out")
    expect(page.get_by_text("Pin to a tier")).to_be_visible()


def test_pages_about_somebody_pinned_are_accessible_and_fit(windows, here, tenant, tcp):
    tcp.award("ada", 600)
    user = new_user(here, tenant.slug)
    page = windows.enter(user)
    now = datetime.now(UTC)
    with here.database.transaction(tenant.id) as session:
        asked = {"code": "gold", "reason": "long" * 100, "until": now + timedelta(days=3), "now": now}
        holds.pin(session, tenant.id, "ada", **asked, actor=holds.Actor("user", user.email, user.id))
    wrong = []
    for path in ("/dashboard/participants/ada", "/dashboard/participants?held=pinned", "/dashboard/"):
        page.goto(path)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 800})
            wrong += [f"{path}, {width}: {each}" for each in (*overflow(page), *violations(page))]
    assert not wrong, "\n".join(wrong)
