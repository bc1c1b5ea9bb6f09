"""What people do here, as they do it: with keys and clicks, in a real browser."""

import csv
import io
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests import secrets_issued
from tests.browser.windows import sign_in
from tests.harness import TenantUnderTest
from tests.people import PASSWORD, enrolled, new_user

pytestmark = pytest.mark.timeout(240)

both_ways = pytest.mark.parametrize(
    "java_script",
    # That every page is read and every form is sent without scripts is seen in `test_every_page` all the time.
    [pytest.param(True, id="scripts"), pytest.param(False, id="no scripts", marks=pytest.mark.long)],
)


@pytest.fixture
def admin(here, tenant: TenantUnderTest):
    return new_user(here, tenant.slug, role="admin")


@pytest.fixture
def analyst(here, tenant: TenantUnderTest):
    return new_user(here, tenant.slug, role="analyst")


def go(page: Page, name: str) -> None:
    """Follow the link to a page at the side."""
    page.get_by_role("navigation", name="Pages").get_by_role("link", name=name, exact=True).click()


def settled(page: Page) -> None:
    """Wait until htmx has put in what it asked for."""
    page.wait_for_load_state("networkidle")


def cells(page: Page, column: str) -> list[str]:
    """The texts of a column of the page's first table."""
    table = page.locator("main table").first
    names = [name.strip() for name in table.locator("thead th").all_inner_texts()]
    number = next(n for n, name in enumerate(names, start=1) if name.casefold() == column.casefold())
    rows = table.locator(f"tbody tr:not(#more) > :nth-child({number})")
    return [text.strip() for text in rows.all_inner_texts()]


@both_ways
def test_signing_in_with_a_code_finding_somebody_and_lifting_them_to_the_next_tier(windows, here, tcp, admin, java_script):
    app, _ = enrolled(here, admin)
    assert tcp.award("ada@mail.example", 400).status == 200
    assert tcp.award("bob@mail.example", 30).status == 200
    page = windows.enter(admin, app=app, java_script=java_script)

    go(page, "Participants")
    page.get_by_role("searchbox").fill("ada@")
    if not java_script:
        page.get_by_role("button", name="Filter").click()
    expect(page.get_by_role("link", name="bob@mail.example")).to_have_count(0)
    page.get_by_role("link", name="ada@mail.example").click()
    expect(page.get_by_text("100 to Silver")).to_be_visible()
    page.get_by_label("Points", exact=True).fill("150")
    page.get_by_label("Reason", exact=True).fill("A late order")
    if java_script:
        expect(page.locator("#preview")).to_contain_text("550")
        expect(page.locator("#preview")).to_contain_text("Silver")
    page.get_by_role("button", name="Adjust").click()

    expect(page.get_by_text("the balance is 550")).to_be_visible()
    expect(page.locator(".tier", has_text="Silver").first).to_be_visible()
    assert tcp.balance("ada@mail.example") == 550


def test_a_second_press_adjusts_nothing_more(windows, tcp, admin):
    tcp.award("ada", 400)
    page = windows.enter(admin)
    page.goto("/dashboard/participants/ada")
    page.get_by_label("Points", exact=True).fill("50")
    page.get_by_label("Reason", exact=True).fill("Twice")
    page.get_by_role("button", name="Adjust").dblclick()
    page.wait_for_url("**done=*")

    assert tcp.balance("ada") == 450


@both_ways
def test_what_is_exported_is_what_is_on_the_screen(windows, tcp, analyst, java_script):
    for n in range(12):
        tcp.award("ada", 100 + n, reason="=1+1")
        tcp.deduct("ada", 10 + n, reason="Coffee")
        tcp.award("bob", 7)
    page = windows.enter(analyst, java_script=java_script, accept_downloads=True)
    go(page, "Ledger")
    page.get_by_label("Participant", exact=True).fill("ada")
    page.get_by_label("Type").select_option("award")
    page.get_by_role("button", name="Filter").click()
    page.wait_for_url("**participant=ada*")
    settled(page)
    with page.expect_download() as download:
        page.get_by_role("link", name="Download as CSV").click()
    rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text("utf-8-sig"))))

    shown = [int(text.replace(",", "").replace("+", "")) for text in cells(page, "Points")]
    assert sorted(int(row["points"]) for row in rows) == sorted(shown) == [100 + n for n in range(12)]
    assert {row["participant_id"] for row in rows} == set(cells(page, "Participant")) == {"ada"}
    assert {row["reason"] for row in rows} == {"'=1+1"}  # a spreadsheet computes nothing
    assert set(cells(page, "Reason")) == {"=1+1"}


@both_ways
def test_a_key_is_made_rolled_and_revoked(windows, tcp, admin, java_script):
    page = windows.enter(admin, java_script=java_script)
    go(page, "API keys")
    page.get_by_label("Name", exact=True).fill("Till 7")
    page.get_by_role("button", name="Issue the key").click()
    first = secret_of(page)
    assert tcp.with_key(first).award("ada", 5).status == 200

    page.goto("/dashboard/keys")
    page.get_by_role("link", name="Roll Till 7").click()
    page.get_by_label("The old key goes on for").select_option("24h")
    page.get_by_role("button", name="Issue the new key").click()
    second = secret_of(page)
    assert [tcp.with_key(key).award("ada", 5).status for key in (first, second)] == [200, 200]

    page.goto("/dashboard/keys")
    expect(page.get_by_text(first)).to_have_count(0)
    page.get_by_role("row").filter(has_text=second[:16]).get_by_role("link", name="Revoke Till 7").click()
    page.get_by_role("button", name="Revoke Till 7").click()
    page.wait_for_url("**/dashboard/keys")
    assert [tcp.with_key(key).award("ada", 5).status for key in (first, second)] == [200, 401]


def secret_of(page: Page) -> str:
    secret = page.locator("code.key").inner_text().strip()
    secrets_issued.note(secret)
    return secret


@both_ways
def test_an_invited_analyst_reads_and_exports_and_does_nothing_else(windows, tcp, admin, java_script):
    tcp.award("ada", 400)
    page = windows.enter(admin, java_script=java_script)
    go(page, "People")
    page.get_by_label("E-mail").fill(f"new-{admin.id}@mail.example")
    page.get_by_label("Role", exact=True).select_option("analyst")
    page.get_by_role("button", name="Invite").click()
    link = page.get_by_text(re.compile(r"/dashboard/invitation/")).first.inner_text().strip()
    secrets_issued.note(link.rpartition("/")[2])

    theirs = windows.open(java_script=java_script)
    theirs.goto(link)
    theirs.get_by_label("Password", exact=True).fill(PASSWORD)
    theirs.locator("main form button[type=submit]").first.click()
    sign_in(theirs, f"new-{admin.id}@mail.example")
    names = theirs.get_by_role("navigation", name="Pages").get_by_role("link").all_inner_texts()
    assert {"Participants", "Ledger", "Tiers"} <= {name.strip() for name in names}
    assert not {"API keys", "People", "Audit log", "Settings"} & {name.strip() for name in names}
    theirs.goto("/dashboard/participants/ada")
    expect(theirs.get_by_role("heading", name="ada")).to_be_visible()
    expect(theirs.get_by_role("button", name="Adjust")).to_have_count(0)
    for path in ("keys", "people", "audit", "settings", "tiers/edit", "adjust"):
        answer = theirs.goto(f"/dashboard/{path}")
        assert (path, answer and answer.status) == (path, 403)


def test_a_sign_in_that_has_expired_leads_to_sign_in_and_back(windows, owner, tcp, analyst):
    tcp.award("ada", 400, reason="Coffee")
    page = windows.enter(analyst)
    page.goto("/dashboard/ledger?type=award")
    settled(page)
    owner.execute("DELETE FROM sessions WHERE user_id = %s", [analyst.id])
    page.locator("table [hx-target='#drawer-content']").first.click()
    page.wait_for_url(lambda address: "/dashboard/sign-in?next=" in address)
    sign_in(page, analyst.email)

    assert page.url.endswith("/dashboard/ledger?type=award")
    expect(page.get_by_role("cell", name="Coffee")).to_be_visible()


def test_back_reload_and_a_bookmark_always_give_the_whole_page(windows, tcp, analyst):
    for name in ("ada", "adam", "bob"):
        tcp.award(name, 10)
    page = windows.enter(analyst)
    page.goto("/dashboard/participants")
    page.get_by_role("searchbox").press_sequentially("ada")
    page.wait_for_url("**q=ada*")
    expect(page.get_by_role("link", name="bob")).to_have_count(0)
    bookmark = page.url

    def is_whole(window: Page, *names: str) -> None:
        expect(window.get_by_role("navigation", name="Pages")).to_be_visible()
        expect(window.locator("main table tbody th a")).to_have_text(list(names), ignore_case=False)

    page.reload()
    is_whole(page, "adam", "ada")
    page.get_by_role("link", name="adam").click()
    expect(page.get_by_role("heading", name="adam")).to_be_visible()
    page.go_back()
    assert page.url == bookmark
    is_whole(page, "adam", "ada")
    page.go_back()
    is_whole(page, "bob", "adam", "ada")
    other = page.context.new_page()
    other.goto(bookmark)
    is_whole(other, "adam", "ada")


def test_keys_move_through_the_pages(windows, tcp, analyst):
    tcp.award("ada", 10)
    page = windows.enter(analyst)
    page.keyboard.press("g")
    page.keyboard.press("p")
    page.wait_for_url("**/dashboard/participants")
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.type("g l")  # is typed, and leads nowhere
    expect(page.get_by_role("searchbox")).to_have_value("g l")
    page.get_by_role("heading", name="Participants", exact=True).first.click()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard")).to_be_visible()
    expect(page.get_by_role("dialog", name="Keyboard")).to_contain_text("Ledger")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Keyboard")).to_be_hidden()


@both_ways
def test_a_chosen_theme_stays_and_never_flashes(windows, analyst, java_script):
    page = windows.enter(analyst, java_script=java_script, color_scheme="light")
    with page.expect_response("**/account/theme"):
        page.get_by_role("button", name="Dark colours").click()
    answer = page.goto("/dashboard/tiers")

    assert answer
    assert re.search(r"<html[^>]*data-theme=\"dark\"", answer.text())  # so the first paint is dark
    if java_script:
        assert page.evaluate("getComputedStyle(document.documentElement).colorScheme").startswith("dark")


def test_nothing_of_an_error_within_a_page_but_a_toast(windows, tcp, analyst):
    tcp.award("ada", 10)
    page = windows.enter(analyst)
    page.goto("/dashboard/ledger")
    page.route("**/dashboard/ledger/*", lambda route: route.continue_(url=re.sub(r"[0-9a-f]{12}$", "0" * 12, route.request.url)))
    page.locator("table [hx-target='#drawer-content']").first.click()

    expect(page.locator(".toast")).to_be_visible()
    expect(page.get_by_role("navigation", name="Pages")).to_be_visible()
    expect(page.locator("#drawer")).to_be_hidden()


def test_hostile_texts_are_texts_in_drawers_too(windows, tcp, analyst):
    reason = "<img src=nowhere onerror=\"document.title='harmed'\">"
    tcp.award("ada", 10, reason=reason, metadata={reason: reason})
    page = windows.enter(analyst)
    page.goto("/dashboard/ledger")
    page.locator("table [hx-target='#drawer-content']").first.click()

    expect(page.locator("#drawer")).to_be_visible()
    expect(page.locator("#drawer")).to_contain_text(reason)
    assert page.locator("#drawer img").count() == 0
    assert "harmed" not in page.title()
