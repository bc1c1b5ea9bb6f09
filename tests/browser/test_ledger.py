"""The ledger in a browser: filters without a reload, an entry in a drawer with an address of its own, and no script at all."""

import re

import pytest
from gamify.deployment import Deployment
from playwright.sync_api import Page, expect

from tests.browser.windows import Windows, violations
from tests.harness import Api, TenantUnderTest
from tests.people import new_user

PAGE = "/dashboard/ledger"


@pytest.fixture
def filled(api: Api) -> None:
    """More than a page of entries."""
    awards = [{"participant_id": f"p{n}", "amount": n + 1, "reason": "Purchase"} for n in range(70)]
    assert api.batch(awards).status == 200
    api.deduct("p60", 5, reason="Reward")


@pytest.fixture
def page(windows: Windows, here: Deployment, tenant: TenantUnderTest, filled: None) -> Page:
    return windows.enter(new_user(here, tenant.slug))


@pytest.mark.parametrize("way", ["Escape", "back", "button"])
def test_a_row_opens_its_entry_and_whatever_closes_it_leaves_the_list_as_it_was(page: Page, way: str):
    page.goto(PAGE)
    page.get_by_text("Older entries").click()
    expect(page.locator(".row-link")).to_have_count(71)
    row = page.locator(".row-link").nth(60)
    address = row.get_attribute("href")

    row.click()
    expect(page.locator("#drawer h2")).to_be_visible()
    expect(page).to_have_url(re.compile(re.escape(str(address))))
    assert violations(page) == []
    if way == "Escape":
        page.keyboard.press("Escape")
    elif way == "back":
        page.go_back()
    else:
        page.locator("#drawer [data-closes]").click()

    expect(page).to_have_url(re.compile(f"{PAGE}$"))
    expect(page.locator("#drawer")).to_be_hidden()
    expect(page.locator(".row-link")).to_have_count(71)
    expect(row).to_be_focused()


def test_the_address_of_an_open_drawer_is_a_page(page: Page):
    page.goto(PAGE)
    page.locator(".row-link").first.click()
    expect(page.locator("#drawer h2")).to_be_visible()

    page.reload()

    expect(page.locator(".entry-page")).to_be_visible()
    page.go_back()
    expect(page.locator(".row-link")).to_have_count(50)


def test_a_change_of_a_filter_changes_rows_and_address_and_going_back_undoes_it(page: Page):
    page.goto(PAGE)
    page.get_by_label("Type", exact=True).focus()
    page.get_by_label("Type", exact=True).select_option("deduct")

    expect(page.locator(".row-link")).to_have_count(1)
    expect(page).to_have_url(re.compile(r"/ledger\?type=deduct$"))
    expect(page.get_by_label("Type", exact=True)).to_be_focused()
    page.go_back()
    expect(page.locator(".row-link")).to_have_count(50)
    expect(page.get_by_label("Type", exact=True)).to_have_value("")


@pytest.mark.long
def test_without_scripts_forms_links_and_entries_work(windows: Windows, here: Deployment, tenant: TenantUnderTest, filled: None):
    page = windows.enter(new_user(here, tenant.slug), java_script=False)
    page.goto(PAGE)
    page.get_by_label("Participant", exact=True).fill("p60")
    page.get_by_role("button", name="Filter").click()
    expect(page.locator(".row-link")).to_have_count(2)

    page.locator(".row-link").first.click()

    expect(page.locator(".entry-page")).to_contain_text("Reward")


def test_on_paper_there_are_totals_rows_and_what_is_filtered_in_words(page: Page):
    page.goto(f"{PAGE}?type=deduct")
    page.emulate_media(media="print")

    expect(page.locator(".print-only")).to_contain_text("Type Deduct")
    expect(page.locator(".stats")).to_be_visible()
    expect(page.locator("table.entries")).to_be_visible()
    expect(page.locator(".ledger-filters")).to_be_hidden()


def test_what_is_said_while_a_drawer_is_open_can_be_seen_and_dismissed_in_it(page: Page):
    page.goto(PAGE)
    page.locator(".row-link").first.click()

    page.locator("#drawer .copy").first.click()
    page.locator("#drawer .toast").get_by_role("button", name="Dismiss").press("Enter")
    expect(page.locator(".toast")).to_have_count(0)

    page.keyboard.press("Escape")
    expect(page.locator("body > #toasts")).to_have_count(1)
