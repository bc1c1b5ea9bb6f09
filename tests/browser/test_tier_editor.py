"""Tiers are changed without fear: drafted, foreseen, published and undone; by mouse, by keyboard, and without scripts."""

import re
import time

import pytest
from gamify.services import drafts, ladder, recalculations
from playwright.sync_api import Page, Route, expect

from tests.harness import TenantUnderTest
from tests.ladders import content, publish, save, tiers_of
from tests.people import new_user

pytestmark = pytest.mark.timeout(240)

EDIT = "/dashboard/tiers/edit"
PEOPLE = {"ana": 450, "bo": 520, "cy": 1_600, "di": 3}


@pytest.fixture
def admin(here, tenant: TenantUnderTest, tcp):
    for who, points in PEOPLE.items():
        assert tcp.award(who, points).status == 200
    return new_user(here, tenant.slug, role="admin")


def threshold(page: Page, name: str):
    return page.get_by_role("textbox", name=f"Threshold of {name}")


def saved(page: Page) -> None:
    expect(page.locator("#saved")).to_contain_text("Saved")


def figures(page: Page, **expected: int) -> None:
    """Wait for the preview to say so many rise, fall, keep their tier or stay."""
    for name, count in expected.items():
        stat = page.locator("main .moves .stat", has=page.get_by_text(name.capitalize(), exact=False)).first
        expect(stat.locator("dd")).to_contain_text(str(count))


def least(here, tenant: TenantUnderTest) -> dict[str, int | None]:
    """The thresholds of the draft."""
    with here.database.transaction(tenant.id) as session:
        return {rung.code: rung.threshold for rung in drafts.of(session, tenant.id).content.rungs}


def in_force(here, tenant: TenantUnderTest) -> dict[str, int]:
    with here.database.transaction(tenant.id) as session:
        return {tier.code: tier.threshold for tier in ladder.in_force(session, tenant.id)}


def test_a_draft_is_foreseen_published_and_undone_by_mouse(windows, here, tenant, admin):
    page = windows.enter(admin)
    page.goto("/dashboard/tiers")
    page.get_by_role("link", name="Edit tiers").click()
    threshold(page, "Silver Tier").fill("400")
    figures(page, rise=1, fall=0)
    saved(page)
    threshold(page, "Gold Tier").fill("2000")
    figures(page, rise=1, keep=1)
    page.get_by_role("link", name="Move down").click()
    figures(page, rise=1, fall=1)
    page.get_by_role("button", name="Add a tier").click()
    page.get_by_label("Name of new tier").fill("Top of all")
    threshold(page, "new tier").fill("510")
    figures(page, rise=2, fall=1)
    expect(page.get_by_role("slider", name="Threshold of Top of all")).to_have_attribute("aria-valuetext", "510 points")
    assert least(here, tenant) == {"bronze": 0, "silver": 400, "top-of-all": 510, "gold": 2000}
    page.get_by_text("Delete Top of all").locator("..").click()
    figures(page, rise=1, fall=1)
    expect(page.get_by_text("Top of all is deleted")).to_be_visible()

    page.get_by_role("button", name="Review and publish").click()
    page.wait_for_url("**/tiers/publish*")
    expect(page.get_by_role("button", name="Publish: 1 rise, 1 keep their tier")).to_be_visible()
    page.get_by_label("Move down").check()
    page.get_by_label("What has led to this change").fill("Silver is within reach")
    page.get_by_role("button", name="Publish: 1 rise, 1 fall").click()
    page.wait_for_url("**/tiers?published=2")
    expect(page.get_by_text("Everybody stands where version 2 puts them: 2 moved")).to_be_visible()
    assert tiers_of(tenant) == {"ana": "silver", "bo": "silver", "cy": "silver", "di": "bronze"}

    page.get_by_role("button", name="Undo").click()
    page.wait_for_url("**/tiers/edit?falling=move_down")
    figures(page, rise=1, fall=1)
    page.get_by_role("button", name="Review and publish").click()
    page.get_by_label("Move down").check()
    page.get_by_role("button", name="Publish: 1 rise, 1 fall").click()
    page.wait_for_url("**/tiers?published=3")
    assert in_force(here, tenant) == {"bronze": 0, "silver": 500, "gold": 1500}
    assert tiers_of(tenant) == {"ana": "bronze", "bo": "silver", "cy": "gold", "di": "bronze"}
    assert tenant.differences() == []


@pytest.mark.long
def test_a_handle_is_dragged_and_the_draft_follows(windows, here, tenant, admin):
    page = windows.enter(admin)
    page.goto(EDIT)
    rail = page.locator("#rail").bounding_box()
    top = int(page.locator("#rail").get_attribute("data-top") or 0)
    assert rail

    def at(points: int) -> float:
        return rail["x"] + 8 + (rail["width"] - 16) * points / top

    middle = page.get_by_role("slider", name="Threshold of Gold Tier").bounding_box()
    assert middle
    y = middle["y"] + middle["height"] / 2
    page.mouse.move(at(1500), y)
    page.mouse.down()
    page.mouse.move(at(1000), y, steps=6)
    dragged = int(threshold(page, "Gold Tier").input_value().replace(",", ""))
    assert abs(dragged - 1000) <= 20  # while it is dragged
    assert least(here, tenant)["gold"] == 1500  # until it is let go
    page.mouse.up()
    saved(page)
    assert least(here, tenant)["gold"] == dragged


def test_a_draft_is_published_and_undone_by_keyboard_alone(windows, here, tenant, admin):
    page = windows.enter(admin)
    page.keyboard.press("g")
    page.keyboard.press("i")
    page.wait_for_url("**/dashboard/tiers")
    reach(page, "Edit tiers")
    page.keyboard.press("Enter")
    page.wait_for_url("**/tiers/edit")
    reach(page, "Threshold of Silver Tier")
    for key in ("ArrowLeft", "PageDown"):  # a step of 10 points, and ten of them
        page.keyboard.press(key)
    saved(page)
    figures(page, rise=1)
    assert least(here, tenant)["silver"] == 390
    assert focused(page) == "Threshold of Silver Tier"
    reach(page, "Delete Gold Tier")
    page.keyboard.press("Space")
    expect(page.get_by_text("Gold Tier is deleted")).to_be_visible()
    page.keyboard.press("Space")  # and back
    expect(page.get_by_text("Gold Tier is deleted")).to_be_hidden()
    saved(page)
    reach(page, "Review and publish")
    page.keyboard.press("Enter")
    page.wait_for_url("**/tiers/publish*")
    reach(page, "Publish: 1 rise")
    page.keyboard.press("Enter")
    page.wait_for_url("**/tiers?published=2")
    assert tiers_of(tenant)["ana"] == "silver"
    reach(page, "Undo")
    page.keyboard.press("Enter")
    page.wait_for_url("**/tiers/edit?falling=move_down")
    figures(page, fall=1)


NAME = "((e) => (e.ariaLabel || [e.labels?.[0], e].map((each) => each?.textContent).find(Boolean) || '').trim())"


def focused(page: Page) -> str:
    """What the element with the focus is called."""
    return re.sub(r"\s+", " ", str(page.evaluate(f"{NAME}(document.activeElement)")))


def reach(page: Page, name: str) -> None:
    """Press Tab until something of this name has the focus."""
    for _ in range(120):
        page.keyboard.press("Tab")
        if name in focused(page):
            return
    raise AssertionError(f"{name} is not to be reached by the keyboard")


def test_what_is_wrong_is_told_at_its_field_while_one_types(windows, here, tenant, admin):
    page = windows.enter(admin)
    page.goto(EDIT)
    threshold(page, "Silver Tier").fill("1500")

    expect(page.get_by_text("Two tiers cannot both begin at 1,500 points.").first).to_be_visible()
    expect(threshold(page, "Silver Tier")).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#saved")).to_contain_text("2 to put right")
    page.get_by_role("button", name="Review and publish").click()
    expect(page.get_by_text("Two tiers cannot both begin at 1,500 points.").first).to_be_visible()
    threshold(page, "Silver Tier").fill("600")
    saved(page)
    expect(page.get_by_text("Two tiers cannot both begin")).to_have_count(0)
    expect(threshold(page, "Silver Tier")).not_to_have_attribute("aria-invalid", "true")


@pytest.mark.long
def test_fast_typing_is_no_change_of_somebody_else(windows, here, tenant, admin):
    page = windows.enter(admin)
    page.goto(EDIT)
    held: list[Route] = []

    def hold_first(route: Route) -> None:
        if held:
            route.continue_()
        else:
            held.append(route)

    page.route(f"**{EDIT}", hold_first)
    threshold(page, "Silver Tier").fill("410")
    page.wait_for_event("request", lambda request: request.method == "POST")
    for points in ("420", "430"):  # while the first is on its way
        threshold(page, "Silver Tier").fill(points)
        page.wait_for_timeout(400)
    held[0].continue_()
    page.wait_for_load_state("networkidle")
    saved(page)
    expect(page.locator("#rail .piece title", has_text="from 430 points")).to_have_count(1)

    assert least(here, tenant)["silver"] == 430
    expect(page.locator(".conflict")).to_have_count(0)


def test_of_two_admins_at_once_the_second_is_told_and_loses_nothing(windows, here, tenant, admin):
    first, second = windows.enter(admin), windows.enter(new_user(here, tenant.slug))
    first.goto(EDIT)
    second.goto(EDIT)
    threshold(first, "Silver Tier").fill("400")
    saved(first)
    threshold(second, "Gold Tier").fill("1800")

    conflict = second.get_by_role("alert")
    expect(conflict).to_contain_text(f"{admin.email} has changed this draft")
    expect(conflict.get_by_role("row", name=re.compile("Silver Tier"))).to_contain_text("from 400")
    expect(threshold(second, "Gold Tier")).to_have_value("1800")
    conflict.get_by_role("row", name=re.compile("^Silver")).get_by_role("radio").nth(1).check()
    second.get_by_role("button", name="Save what is chosen").click()
    expect(threshold(second, "Silver Tier")).to_have_value("400")
    expect(threshold(second, "Gold Tier")).to_have_value("1,800")
    assert least(here, tenant) == {"bronze": 0, "silver": 400, "gold": 1800}


@pytest.mark.long
def test_without_scripts_a_tier_is_added_foreseen_and_published(windows, here, tenant, admin):
    page = windows.enter(admin, java_script=False)
    page.goto(EDIT)
    threshold(page, "Silver Tier").fill("400")
    page.get_by_role("button", name="Add a tier").click()
    page.get_by_label("Name of new tier").fill("Top")
    threshold(page, "new tier").fill("1000")
    page.get_by_role("button", name="Preview").click()
    figures(page, rise=1, keep=0)
    page.get_by_role("checkbox", name="Delete Top").focus()
    page.keyboard.press("Space")
    page.get_by_role("button", name="Review and publish").click()
    page.get_by_label("Move down").check()
    page.get_by_role("button", name="Work it out").click()
    page.get_by_role("button", name=re.compile("^Publish: 1 rise")).click()
    page.wait_for_url("**/tiers?published=2")

    assert tiers_of(tenant)["ana"] == "silver"
    page.get_by_role("button", name="Undo").click()
    page.wait_for_url("**/tiers/edit?falling=move_down")
    expect(threshold(page, "Silver Tier")).to_have_value("500")


def test_the_progress_of_a_recalculation_is_followed_until_it_is_done(windows, here, tenant, admin):
    publish(tenant, content(bronze=0, silver=400), is_finished=False)
    recalculations.advance(here.database, tenant.id, most=2)
    page = windows.enter(admin)
    page.goto("/dashboard/tiers")
    expect(page.get_by_role("progressbar", name="Participants looked at")).to_be_visible()
    while recalculations.advance(here.database, tenant.id):
        pass

    expect(page.get_by_text("Everybody stands where version 2 puts them")).to_be_visible()
    expect(page.get_by_role("progressbar", name="Participants looked at")).to_have_count(0)


@pytest.mark.long
def test_a_flow_leads_to_those_who_make_it(windows, tenant, admin):
    save(tenant, content(bronze=0, silver=400, gold=2_000))
    page = windows.enter(admin)
    page.goto(f"{EDIT}?falling=move_down")
    page.locator(".flow summary").click()
    page.get_by_role("row", name=re.compile("Gold Tier Silver Tier")).get_by_role("link", name="1").click()

    movers = page.get_by_role("region", name="Who moves")
    expect(movers.get_by_role("link", name="cy")).to_be_visible()
    expect(movers.get_by_role("link", name="ana")).to_have_count(0)
    movers.get_by_role("link", name="Show all").click()
    expect(movers.get_by_role("link", name="ana")).to_be_visible()


def test_what_could_not_be_saved_is_told_and_saved_with_the_next_letter(windows, here, tenant, admin):
    page = windows.enter(admin)
    page.goto(EDIT)
    page.route(f"**{EDIT}", lambda route: route.fulfill(status=503, headers={"HX-Reswap": "none"}))
    threshold(page, "Silver Tier").fill("400")
    expect(page.locator("#saved")).to_contain_text("Not saved")
    page.unroute(f"**{EDIT}")
    threshold(page, "Silver Tier").fill("410")
    saved(page)

    assert least(here, tenant)["silver"] == 410
    windows.wrong.clear()  # the browser notes that the server was not there


@pytest.mark.long
def test_whoever_leaves_while_typing_loses_nothing(windows, here, tenant, admin):
    page = windows.enter(admin)
    page.goto(EDIT)
    threshold(page, "Silver Tier").fill("400")
    page.get_by_role("link", name="Overview").click()
    page.wait_for_url("**/dashboard/")

    until = time.monotonic() + 10
    while least(here, tenant)["silver"] != 400 and time.monotonic() < until:
        page.wait_for_timeout(50)
    assert least(here, tenant)["silver"] == 400
