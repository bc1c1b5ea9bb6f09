"""An analyst and the reports: found, changed in place, followed to the entries, kept, taken away, printed; with no script too."""

import csv
import re

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.test_journeys import both_ways, go, settled
from tests.browser.windows import violations
from tests.harness import Api, TenantUnderTest
from tests.people import new_user

PAGE = "/dashboard/reports"

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def analyst(here, tenant: TenantUnderTest):
    return new_user(here, tenant.slug, role="analyst")


@pytest.fixture
def filled(tcp: Api) -> None:
    for n in range(12):
        assert tcp.award(f"p{n}", 100 + n, reason="Purchase" if n % 3 else "Welcome & thanks").status == 200
    assert tcp.deduct("p1", 60, reason="Reward").status == 200


def choose(page: Page, label: str, option: str, *, java_script: bool) -> None:
    """Choose something in the bar, and without scripts press its button."""
    page.get_by_label(label, exact=True).select_option(label=option)
    if not java_script:
        page.get_by_role("button", name="Show").click()
    settled(page)


def row(page: Page, name: str) -> list[str]:
    """The texts of the row with this name."""
    found = page.locator("table.figures tr", has=page.get_by_role("rowheader", name=name, exact=True)).first
    return [text.strip() for text in found.locator("th, td").all_inner_texts()]


@both_ways
def test_an_analyst_asks_follows_compares_keeps_comes_back_and_takes_away(windows, filled, analyst, tmp_path, java_script):
    page = windows.enter(analyst, java_script=java_script)
    go(page, "Reports")
    expect(page.locator(".equation")).to_contain_text("1,206")
    page.get_by_role("link", name="Last 7 days").click()
    expect(page).to_have_url(re.compile(r"/reports\?period=last_7_days$"))
    choose(page, "Broken down by", "Reason", java_script=java_script)
    expect(page).to_have_url(re.compile(r"period=last_7_days&(.*&)?by=reason"))
    choose(page, "Compared with", "Period before", java_script=java_script)
    expect(page.locator(".report-days")).to_contain_text("compared with")
    welcome = row(page, "Welcome & thanks")
    assert welcome[:5] == ["Welcome & thanks", "418", "0", "0", "0"]

    page.get_by_role("link", name="418", exact=True).click()
    expect(page.locator(".totals")).to_contain_text("418")
    expect(page.locator(".row-link")).to_have_count(4)
    page.go_back()

    page.get_by_text("Save as …").click()
    page.get_by_label("Name", exact=True).fill("What for")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("Saved as What for.")).to_be_visible()
    go(page, "Overview")
    go(page, "Reports")
    page.get_by_role("link", name="What for").click()
    expect(page.get_by_label("Broken down by", exact=True)).to_have_value("reason")
    assert row(page, "Welcome & thanks") == welcome

    with page.expect_download() as download:
        page.get_by_role("link", name="Download as CSV").click()
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)
    with file.open(newline="") as lines:
        rows = {line["reason"]: line for line in csv.DictReader(lines)}
    assert re.fullmatch(r"roll-forward-groups-[\w-]+-live-\d{4}-\d\d-\d\d-to-\d{4}-\d\d-\d\d\.csv", file.name)
    assert set(rows) == {"Purchase", "Welcome & thanks", "Reward"}
    for name, line in rows.items():
        shown = [text.replace(",", "").replace("+", "").replace("−", "-") for text in row(page, name)[1:]]  # noqa: RUF001
        assert shown == list(line.values())[1:]


def test_a_change_is_made_in_place_and_going_back_undoes_it(windows, filled, analyst):
    page = windows.enter(analyst)
    page.goto(f"{PAGE}?period=last_7_days")
    expect(page.locator(".chart canvas")).to_have_count(1)
    page.evaluate("window.isSame = true")

    periods = page.get_by_label("Periods", exact=True)
    periods.focus()
    periods.select_option("month")
    expect(page).to_have_url(re.compile(r"unit=month"))
    expect(page.locator("#periods tbody th").last).to_contain_text(re.compile(r"to|[A-Z][a-z]+ \d{4}"))
    expect(periods).to_be_focused()
    expect(page.locator(".chart canvas")).to_have_count(1)
    page.get_by_role("link", name="This month").click()
    expect(page).to_have_url(re.compile(r"period=this_month&unit=month|unit=month&period=this_month"))
    assert page.evaluate("window.isSame") is True
    assert violations(page) == []

    page.go_back()
    expect(page).to_have_url(re.compile(r"period=last_7_days"))


@pytest.mark.parametrize("path", ["", "/liability", "/tiers", "/activity"])
def test_every_report_draws_its_charts_and_can_be_printed(windows, filled, analyst, path):
    page = windows.enter(analyst)
    page.goto(PAGE + path)
    settled(page)
    drawn = page.locator("figure.chart").count()
    expect(page.locator("figure.chart canvas")).to_have_count(drawn)
    assert drawn >= 1

    page.emulate_media(media="print")
    expect(page.locator(".report-bar")).to_be_hidden()
    expect(page.locator(".tabs")).to_be_hidden()
    expect(page.locator(".print-only")).to_contain_text("printed")
    expect(page.locator("table.figures").first).to_be_visible()


@pytest.fixture
def crowded(tcp: Api) -> None:
    """More participants than are counted at once."""
    for first in range(0, 1_200, 100):
        assert tcp.batch([{"participant_id": f"p{n}", "amount": 10} for n in range(first, first + 100)]).status == 200


@both_ways
def test_ages_of_many_points_are_counted_while_one_reads(windows, crowded, analyst, java_script):
    page = windows.enter(analyst, java_script=java_script)
    page.goto(f"{PAGE}/liability")
    if not java_script:
        expect(page.get_by_text("83% of participants are counted")).to_be_visible()
        page.get_by_role("link", name="Count the rest").click()

    expect(page.locator("#ages tfoot")).to_contain_text("12,000")
    assert row(page, "Under 30 days")[1:3] == ["12,000", "100.0%"]
    if java_script:
        expect(page.locator("#by-age canvas")).to_have_count(1)
        assert violations(page) == []


def test_what_another_day_comes_to_does_not_get_into_a_report(windows, crowded, analyst):
    page = windows.enter(analyst)
    held: list[Route] = []
    page.route(re.compile(r"liability\?ages="), lambda route: held.append(route))  # noqa: PLW0108  # it needs an attribute
    page.goto(f"{PAGE}/liability")
    expect(page.get_by_text("83% of participants are counted")).to_be_visible()
    page.get_by_role("link", name="Last month").click()
    expect(page).to_have_url(re.compile("last_month"))
    expect(page.locator("#ages tfoot")).to_contain_text("Total")
    [route] = held
    route.continue_()
    settled(page)

    assert page.locator("#ages-title").inner_text() == page.locator("#tiers-title").inner_text().replace("tier", "age")
    assert page.locator("#ages tfoot td").first.inner_text() == "0"


def test_what_is_wrong_is_told_beside_its_field_and_can_be_mended(windows, filled, analyst):
    page = windows.enter(analyst)
    page.goto(f"{PAGE}?from=2026-02-02&to=2026-01-01")
    expect(page.locator("#to-error")).to_be_visible()
    assert violations(page) == []

    page.get_by_role("link", name="Last 30 days").click()
    expect(page.locator(".equation")).to_be_visible()


def test_a_page_about_reports_that_are_prepared_goes_on_by_itself(windows, owner, filled, tenant, analyst):
    owner.execute("DELETE FROM rollup_progress WHERE tenant_id = %s", [tenant.id])
    owner.execute(
        "INSERT INTO rollup_progress (tenant_id, planned_until, made_by) VALUES (%s, clock_timestamp(), 1)", [tenant.id]
    )
    with owner.transaction():  # until the page has been seen nobody prepares anything
        owner.execute("SELECT FROM rollup_progress WHERE tenant_id = %s FOR UPDATE", [tenant.id])
        page = windows.enter(analyst)
        page.goto(f"{PAGE}?period=last_7_days")
        expect(page.get_by_text("Reports are being prepared")).to_be_visible()
        assert violations(page) == []

    expect(page.locator(".equation")).to_contain_text("1,206", timeout=60_000)


def test_an_admin_sets_a_cost_and_declares_a_dimension(windows, here, tenant, filled):
    page = windows.enter(new_user(here, tenant.slug, role="admin"))
    page.goto(f"{PAGE}/liability")
    page.get_by_label("Valid from").fill("2026-01-01")
    page.get_by_role("textbox", name="Cost of a point").fill("0.01")
    page.get_by_label("Currency").fill("EUR")
    page.get_by_role("button", name="Set cost").click()
    expect(page.locator(".stats")).to_contain_text("EUR 12.06")

    page.goto(PAGE)
    page.get_by_role("link", name="Dimensions").click()
    page.get_by_label("Member of the metadata").fill("channel")
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_text("Being prepared")).to_be_visible()
    assert violations(page) == []
