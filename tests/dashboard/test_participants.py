"""Participants, as people of a tenant find, read and adjust them."""

import csv
import html
import io
import re
from urllib.parse import quote
from uuid import UUID

import pytest

from tests.harness import Api, TenantUnderTest, new_tenant
from tests.people import Browser, Page, log_of, new_user

LIST = "/dashboard/participants"
HTMX = {"HX-Request": "true"}
ROW = re.compile(r'<a class="id"\s+href="[^"]*">([^<]*)</a>\s*</th>')
KEY = re.compile(r'name="key" value="([^"]+)"')
HOSTILE = (
    "a/b",
    "/a/",
    "a//b",
    "100%",
    "%2F",
    "a?b=c",
    "a#b",
    "über 日本",
    "a\nb",
    "\nb\n",
    " a ",
    "me@mail.example",
    "../x",
    "participants.csv",
    "a/points",
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7*7 }}",
    "=1+1",
)


@pytest.fixture
def browser(app, here, tenant) -> Browser:
    """A browser in which an admin is signed in."""
    return signed_in(app, here, tenant)


@pytest.fixture
def analyst(app, here, tenant) -> Browser:
    return signed_in(app, here, tenant, "analyst")


def signed_in(app, here, tenant: TenantUnderTest, role: str = "admin") -> Browser:
    made = Browser(app)
    assert made.sign_in(new_user(here, tenant.slug, role=role).email).status == 303
    return made


def listed(page: Page) -> list[str]:
    return [html.unescape(name) for name in ROW.findall(page.text)]


def address(pid: str) -> str:
    return f"{LIST}/{quote(pid, safe='')}"


def form_of(page: Page, **values: str) -> dict[str, str]:
    """The form for adjustments on a page, filled in."""
    return {"key": KEY.findall(page.text)[-1], "kind": "award", "amount": "50", "reason": "Sorry"} | values


def adjust(browser: Browser, pid: str, **values: str) -> Page:
    form = form_of(browser.get(address(pid)), **values)
    return browser.post(f"/dashboard/adjust?participant={quote(pid, safe='')}", form)


def test_participants_are_found_filtered_and_sorted(browser, api):
    for name, amount in (("user_1", 10), ("user_2", 2_000), ("vip-3", 700)):
        api.award(name, amount)

    assert listed(browser.get(LIST)) == ["vip-3", "user_2", "user_1"]
    assert listed(browser.get(f"{LIST}?sort=-balance")) == ["user_2", "vip-3", "user_1"]
    assert listed(browser.get(f"{LIST}?sort=id&q=SER_")) == ["user_1", "user_2"]
    assert listed(browser.get(f"{LIST}?tier=gold&tier=silver&sort=id")) == ["user_2", "vip-3"]
    assert listed(browser.get(f"{LIST}?activity=active-7&sort=earned")) == ["user_1", "vip-3", "user_2"]
    assert "Nobody matches" in browser.get(f"{LIST}?activity=quiet-30").text
    assert "3 participants" in browser.get(LIST).text


def test_a_list_goes_on_where_the_page_ends(browser, api):
    api.batch([{"participant_id": f"p{n:03}", "amount": n + 1} for n in range(100)])
    api.award("p100", 500)
    found, path = [], f"{LIST}?sort=id"
    while path:
        page = browser.get(path)
        found += listed(page)
        more = re.search(r'href="([^"]+)"\s+rel="next"', page.text)
        path = html.unescape(more[1]) if more else None

    assert found == [f"p{n:03}" for n in range(101)]


def test_htmx_gets_the_part_it_asks_for_and_everybody_else_the_page(browser, api):
    api.award("ana", 5)
    page = browser.get(f"{LIST}?q=ana&tier=&activity=")
    part = browser.get(f"{LIST}?q=ana&tier=&activity=", headers=HTMX | {"HX-Target": "div#found"})
    rows = browser.get(f"{LIST}?q=ana", headers=HTMX | {"HX-Target": "tr#more"})

    assert "<html" in page.text
    assert "<html" not in part.text
    assert listed(page) == listed(part) == listed(rows) == ["ana"]
    assert part.headers["HX-Push-Url"] == f"{LIST}?q=ana"
    assert "HX-Target" in part.headers["Vary"]


@pytest.mark.parametrize(
    ("query", "says"),
    [("tier=ruby", "no tier ruby"), ("sort=name", "Choose one of"), ("activity=x", "Choose one of"), ("after=x", "first page")],
)
def test_what_cannot_be_asked_for_is_said(browser, query, says):
    page = browser.get(f"{LIST}?{query}")

    assert page.status == 422
    assert says in page.text


def test_an_empty_tenant_is_told_what_to_do_next(browser, analyst):
    assert "No participants yet" in browser.get(LIST).text
    assert "/dashboard/adjust" in browser.get(LIST).text
    assert "/dashboard/adjust" not in analyst.get(LIST).text


@pytest.mark.parametrize("pid", HOSTILE)
def test_any_id_has_a_page_and_can_be_adjusted(browser, api, pid):
    api.award(pid, 600, reason="<b>bold</b>")

    assert listed(browser.get(LIST)) == [pid]
    assert listed(browser.get(f"{LIST}?q={quote(pid, safe='')}")) == [pid]
    page = browser.get(address(pid))
    assert page.status == 200
    assert html.escape(pid).replace("&#x27;", "&#39;").replace("&quot;", "&#34;") in page.text
    assert "<script>alert" not in page.text
    assert "<img" not in page.text
    assert "<b>bold" not in page.text

    done = adjust(browser, pid, kind="deduct", amount="100")
    assert done.status == 303
    assert api.balance(pid) == 500
    assert "balance is <strong>500</strong>" in browser.get(done.to).text


@pytest.mark.parametrize("pid", ["nobody", "a\0b"])
def test_who_is_unknown_is_not_found(browser, pid):
    assert browser.get(address(pid)).status == 404


def test_a_profile_tells_what_there_is_to_know(browser, api):
    api.award("ana", 450, reason="Purchase")
    api.award("ana", 790)
    api.deduct("ana", 240)
    text = browser.get(address("ana")).text

    for said in ("1,240", "240", "1,000", "Silver Tier", "260 to Gold Tier", "from Bronze Tier", "Purchase"):
        assert said in text
    assert text.count("<tr>") == 1 + 120 + 1 + 3  # the chart's table and the ledger, with their heads


def test_an_adjustment_is_told_and_can_be_undone_at_once(browser, api, here, tenant):
    api.award("ana", 100)
    page = browser.get(adjust(browser, "ana", amount="1,400", reason="<i>Sorry</i>").to)
    assert "+1,400" in page.text
    assert "Gold Tier" in page.text
    assert "&lt;i&gt;Sorry" in page.text

    action = html.unescape(re.search(r'action="(/dashboard/reverse[^"]+)"', page.text)[1])
    values = {"key": KEY.findall(page.text)[0], "why": "Undone right away"}
    undone = browser.post(action, values)
    again = browser.post(action, values)

    assert (undone.status, again.to) == (303, undone.to)
    assert api.balance("ana") == 100
    assert [entry.action for entry in log_of(here, tenant.id)][-2:] == ["points.adjust", "points.reverse"]


def test_a_form_sent_twice_moves_points_once(browser, api):
    api.award("ana", 100)
    form = form_of(browser.get(address("ana")))
    first, again = (browser.post("/dashboard/adjust?participant=ana", form) for _ in range(2))

    assert first.status == again.status == 303
    assert first.to == again.to
    assert api.balance("ana") == 150
    other = browser.post("/dashboard/adjust?participant=ana", form | {"amount": "60"})
    assert other.status == 422
    assert "was sent before" in other.text
    assert KEY.findall(other.text)[-1] != form["key"]
    assert api.balance("ana") == 150


@pytest.mark.parametrize(
    ("values", "status", "says"),
    [
        ({"amount": "0"}, 422, "whole number from 1 to 1,000,000"),
        ({"reason": " "}, 422, "Say why"),
        ({"kind": "gift"}, 422, "Choose award or deduct"),
        ({"key": "a b"}, 422, "characters A-Z"),
        ({"kind": "deduct", "amount": "101"}, 400, "Available: 100, requested: 101"),
    ],
)
def test_what_is_refused_stays_in_the_form(browser, api, values, status, says):
    api.award("ana", 100)
    page = adjust(browser, "ana", **{"reason": "Kept as typed"} | values)

    assert page.status == status
    assert says in page.text
    assert "reason" in values or "Kept as typed" in page.text
    assert api.balance("ana") == 100


def test_somebody_new_is_created_by_an_award_and_not_by_a_deduct(browser, api):
    form = form_of(browser.get("/dashboard/adjust"), participant_id="new one")
    refused = browser.post("/dashboard/adjust", form | {"kind": "deduct"})
    assert (refused.status, api.points("new one").status) == (400, 404)

    assert browser.post("/dashboard/adjust", form).to.startswith(f"{LIST}/new%20one?done=")
    assert api.balance("new one") == 50
    assert browser.get("/dashboard/adjust?participant=new%20one").to == f"{LIST}/new%20one"
    assert browser.post("/dashboard/adjust", form_of(browser.get("/dashboard/adjust"), participant_id="..")).status == 422


def test_the_preview_tells_balance_and_tier_or_why_not(browser, api):
    api.award("ana", 450)
    api.deduct("ana", 420)

    def preview(kind: str, amount: str) -> str:
        page = browser.get(f"/dashboard/adjust/preview?participant=ana&kind={kind}&amount={amount}", headers=HTMX)
        assert page.status == 200
        return page.text

    assert "80</strong> points" in preview("award", "50")
    assert "Silver Tier" in preview("award", "50")
    assert "1,001 to Gold" not in preview("award", "49")
    assert "1 to Silver Tier" in preview("award", "49")
    assert "Only 30 points" in preview("deduct", "31")
    assert "whole number" in preview("award", "x")
    assert "30 points now" in preview("award", "")
    assert api.balance("ana") == 30


def test_an_entry_is_reversed_for_a_reason_and_in_part_if_asked(browser, api):
    entry = api.award("ana", 100).json["transaction_id"]
    api.deduct("ana", 40)
    path = f"/dashboard/reverse?entry={entry}"
    page = browser.get(path)
    part = browser.get(path, headers=HTMX | {"HX-Target": "div#drawer-content"})
    assert "take back the 60 that are left" in page.text
    assert "<html" not in part.text

    form = {"key": KEY.findall(page.text)[0], "why": ""}
    assert "Say why" in browser.post(path, form).text
    assert browser.post(path, form | {"why": "Not due"}).status == 400
    done = browser.post(path, form | {"why": "Not due", "allow_partial": "1"})

    assert done.to.startswith(f"{LIST}/ana?done=")
    assert api.balance("ana") == 0
    assert "was reversed before" in browser.post(path, form | {"key": "another", "why": "Again"}).text
    assert "Reversed" in browser.get(done.to).text


@pytest.mark.parametrize("query", ["", "?entry=x", f"?entry={UUID(int=7)}"])
def test_what_is_no_entry_is_not_found(browser, query):
    assert browser.get(f"/dashboard/reverse{query}").status == 404


def test_an_analyst_reads_everything_and_moves_nothing(analyst, api):
    entry = api.award("ana", 100).json["transaction_id"]
    for path in (LIST, address("ana")):
        text = analyst.get(path).text
        assert "/dashboard/adjust" not in text
        assert "/dashboard/reverse" not in text
    assert analyst.get(f"{LIST}.csv").status == 200

    for path in ("adjust", "adjust?participant=ana", f"reverse?entry={entry}"):
        assert analyst.get(f"/dashboard/{path}").status == 403
        assert analyst.post(f"/dashboard/{path}", {"amount": "5", "kind": "award", "reason": "x", "key": "k"}).status == 403
    assert api.balance("ana") == 100


def test_live_sandbox_and_other_tenants_never_mix(app, here, browser, tenant, api):
    api.award("ana", 100)
    api.with_key(tenant.test_key).award("toy", 5)
    other = new_tenant(here)
    stranger = Api(app.test_client(), other.key).award("stranger", 7).json["transaction_id"]

    assert listed(browser.get(LIST)) == ["ana"]
    assert listed(browser.get(f"{LIST}?mode=test")) == ["toy"]
    assert browser.get(f"{address('ana')}?mode=test").status == 404
    assert browser.get(address("stranger")).status == 404
    assert browser.get(f"/dashboard/reverse?entry={stranger}").status == 404
    assert browser.post(f"/dashboard/reverse?entry={stranger}", {"key": "k", "why": "Mine"}).status == 404

    page = browser.get(f"{address('toy')}?mode=test")
    done = browser.post("/dashboard/adjust?participant=toy&mode=test", form_of(page))
    assert "mode=test" in done.to
    assert api.with_key(tenant.test_key).balance("toy") == 55
    assert api.points("toy").status == 404


def test_the_file_holds_what_is_filtered_and_no_formula(browser, api):
    for name, amount in (("=1+1", 10), ("user_2", 2_000), ("üser\n3", 700)):
        api.award(name, amount)
    file = browser.get(f"{LIST}.csv?sort=-balance")
    rows = list(csv.DictReader(io.StringIO(file.text, newline="")))

    assert file.response.mimetype == "text/csv"
    assert [row["participant_id"] for row in rows] == ["user_2", "üser\n3", "'=1+1"]
    assert [row["tier"] for row in rows] == ["gold", "silver", "bronze"]
    assert [row["balance"] for row in rows] == ["2000", "700", "10"]
    assert browser.get(f"{LIST}.csv?q=user").text.count("\r\n") == 2
    assert browser.get(f"{LIST}.csv?sort=x").status == 422


def test_the_ledger_of_a_profile_is_paged(browser, api):
    for _ in range(2):
        api.batch([{"participant_id": "ana", "amount": 1, "reason": f"number {n}"} for n in range(100)])
    last = browser.get(f"{address('ana')}?page=8", headers=HTMX | {"HX-Target": "section#statement"})

    assert "Page 8 of 8" in last.text
    assert "number 0" in last.text
    assert "<html" not in last.text
    assert "ends before this page" in browser.get(f"{address('ana')}?page=9").text
    for odd in ("0", "-1", "x", "9" * 30):
        assert "Page 1 of 8" in browser.get(f"{address('ana')}?page={odd}").text
