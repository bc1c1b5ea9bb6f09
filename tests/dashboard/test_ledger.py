"""The ledger page: filtered by its address, added up, page by page, an entry beside it, and as a file."""

import csv
import gc
import html
import io
import re
from datetime import UTC, datetime, timedelta

import pytest
from gamify.deployment import Deployment
from gamify.errors import Unavailable
from gamify.models import Tenant
from gamify.services import ledger_totals

from dashboard import ledger_sum, ledger_words
from tests.harness import Api, TenantUnderTest, new_tenant
from tests.histories import Event, write
from tests.people import Browser, new_user

PAGE = "/dashboard/ledger"
ROW = re.compile(r'class="row-link"\s+href="/dashboard/ledger/([0-9a-f-]{36})')
LINK = re.compile(r'class="more"\s+href="([^"]*)"')
STAT = re.compile(r'<div class="stat">\s*<dt>\s*(.*?)\s*</dt>\s*<dd[^>]*>\s*(\S+)', re.DOTALL)
BASE = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOSTILE = ("=1+1", "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "@SUM(A1)", "-2+3", "{{ 7*7 }}")
HTMX = {"HX-Request": "true"}


@pytest.fixture
def admin(app, here: Deployment, tenant: TenantUnderTest) -> Browser:
    browser = Browser(app)
    browser.sign_in(new_user(here, tenant.slug).email)
    return browser


@pytest.fixture
def old(app, here: Deployment) -> tuple[TenantUnderTest, Browser]:
    """A tenant whose history a test writes itself."""
    made, browser = new_tenant(here), Browser(app)
    browser.sign_in(new_user(here, made.slug).email)
    return made, browser


def shown(browser: Browser, path: str) -> list[str]:
    """The ids of a page's entries."""
    page = browser.get(path)
    assert page.status == 200
    return ROW.findall(page.text)


def all_shown(browser: Browser, query: str) -> list[str]:
    """The ids of all pages, one after the other."""
    path, found = f"{PAGE}?{query}", []
    while path:
        page = browser.get(path).text
        found += ROW.findall(page)
        link = LINK.search(page)
        path = html.unescape(link[1]) if link else ""
    return found


def table(browser: Browser, query: str = "") -> list[dict[str, str]]:
    page = browser.get(f"{PAGE}.csv?{query}")
    assert (page.status, page.headers["Content-Type"]) == (200, "text/csv; charset=utf-8")
    return list(csv.DictReader(io.StringIO(page.text, newline="")))


def stats(text: str) -> dict[str, str]:
    return {html.unescape(name): html.unescape(value) for name, value in STAT.findall(text)}


def test_entries_stand_newest_first_with_what_they_add_up_to(api: Api, admin: Browser):
    first = api.award("ana", 600, reason="Purchase").json["transaction_id"]
    second = api.deduct("ana", 50).json["transaction_id"]

    page = admin.get(PAGE)

    assert ROW.findall(page.text) == [second, first]
    assert stats(page.text) == {"Opening": "0", "Awarded": "600", "Deducted": "50", "Closing": "550"}
    assert "Purchase" in page.text
    assert "Silver Tier" in page.text
    assert re.search(r"\+600\b", page.text)
    assert "−50" in page.text  # noqa: RUF001  # a minus


def test_filters_of_the_address_choose_entries(api: Api, admin: Browser):
    bought = api.award("ana", 600, reason="Purchase", metadata={"order_id": "ord_1"}).json["transaction_id"]
    gift = api.award("bo b/é", 7, reason="A gift").json["transaction_id"]
    spent = api.deduct("ana", 50).json["transaction_id"]
    today = datetime.now(UTC).date()

    for query, expected in {
        "participant=ana": [spent, bought],
        "participant=bo%20b%2F%C3%A9": [gift],
        "participant=&type=&from=&to=": [spent, gift, bought],
        "type=deduct": [spent],
        "reason=GIFT": [gift],
        "reason=gift&match=exact": [],
        "reason=A%20gift&match=exact": [gift],
        "min=50&max=599": [spent],
        "max=1,000&min=600": [bought],
        "metadata.order_id=ord_1": [bought],
        f"key={api.key[:16]}": [spent, gift, bought],
        f"from={today}": [spent, gift, bought],
        f"to={today - timedelta(days=1)}": [],
        "period=today": [spent, gift, bought],
        "period=yesterday": [],
    }.items():
        assert shown(admin, f"{PAGE}?{query}") == expected, query
        assert [row["transaction_id"] for row in table(admin, query)] == expected, query


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("type=gift", "type"),
        ("from=yesterday", "from"),
        ("to=2026-13-01", "to"),
        ("from=2026-02-02&to=2026-01-01", "to"),
        ("period=soon", "period"),
        ("min=x", "min"),
        ("max=0", "max"),
        ("min=5&max=4", "max"),
        ("min=99999999999999999999", "min"),
        ("key=gk_live_nothere", "key"),
        ("key=nobody@nowhere.example", "key"),
        ("match=like&reason=x", "match"),
        ("participant=%00", "participant"),
        ("metadata.a=%00", "metadata.a"),
        ("reason=" + "x" * 501, "reason"),
    ],
)
def test_what_cannot_be_is_told_next_to_its_field(api: Api, admin: Browser, query, field):
    api.award("ana", 5)
    page = admin.get(f"{PAGE}?{query}&participant=ana" if "participant" not in query else f"{PAGE}?{query}")

    assert page.status == 422
    assert f'id="{field}-error"' in page.text
    assert 'name="participant"' in page.text
    assert admin.get(f"{PAGE}.csv?{query}").status == 422


@pytest.mark.parametrize(
    "query", ["before=x", "before=ffffffff-ffff-ffff-ffff-ffffffffffff", "page=2", "sum=x", "participant=%F0%9F%A6%84", "q=%00"]
)
def test_whatever_else_is_asked_is_no_fault(api: Api, admin: Browser, query):
    api.award("ana", 5)
    assert admin.get(f"{PAGE}?{query}").status == 200


def test_two_fields_for_a_member_of_the_metadata_become_one_parameter(admin: Browser):
    page = admin.get(f"{PAGE}?metadata_name=order_id&metadata_value=a%26b&type=award")

    assert (page.status, page.to) == (302, f"{PAGE}?type=award&metadata.order_id=a%26b")


def test_older_entries_are_a_link_away_and_the_file_has_the_same(old):
    tenant, browser = old
    write(tenant.here, tenant.id, [Event(BASE + timedelta(minutes=n), f"p{n % 7}", n + 1) for n in range(130)])

    pages = all_shown(browser, "period=all&min=2")

    assert len(pages) == len(set(pages)) == 129
    assert [row["transaction_id"] for row in table(browser, "min=2")] == pages


def test_days_are_those_of_the_tenants_zone(old, here: Deployment):
    tenant, browser = old
    with here.database.transaction() as session:
        session.get_one(Tenant, tenant.id).time_zone = "Asia/Tokyo"
    before, within = write(tenant.here, tenant.id, [Event(BASE.replace(hour=14, minute=59)), Event(BASE.replace(hour=15))])

    page = browser.get(f"{PAGE}?from=2026-01-02&to=2026-01-02")

    assert ROW.findall(page.text) == [str(within.id)]
    assert "Asia/Tokyo" in page.text
    assert stats(page.text)["Opening"] == "10"
    assert shown(browser, f"{PAGE}?to=2026-01-01") == [str(before.id)]
    [row] = table(browser, "from=2026-01-02")
    assert (row["created_at_utc"], row["created_at_local"]) == ("2026-01-01T15:00:00.000000Z", "2026-01-02T00:00:00.000000+09:00")


def test_a_sum_that_takes_long_goes_on_from_request_to_request(old):
    """And ends with what is true, whichever way it is asked for."""
    tenant, browser = old
    write(tenant.here, tenant.id, [Event(BASE + timedelta(seconds=n), f"p{n % 9}", 3, reason="x") for n in range(2_000)])
    with tenant.here.database.snapshot(tenant.id) as session:
        start = ledger_totals.begin(session, tenant.id, ledger_sum.Filter(reason_part="x"))
    token = ledger_sum.seal(tenant.here.vault, tenant.id, ledger_sum.Filter(reason_part="x"), start, now=datetime.now(UTC))

    whole = browser.get(f"{PAGE}?reason=x&sum={token}")
    part = browser.get(f"{PAGE}?reason=x&sum={token}", headers=HTMX | {"HX-Target": "section#totals"})

    assert stats(whole.text) == stats(part.text) == {"Opening": "0", "Awarded": "6,000", "Deducted": "0", "Closing": "6,000"}
    assert "<html" in whole.text
    assert "<html" not in part.text


def test_a_sum_is_good_for_its_own_filter_and_tenant_alone(here: Deployment, tenant: TenantUnderTest):
    wanted, other = ledger_sum.Filter(reason="x"), ledger_sum.Filter(reason="y")
    done = ledger_sum.Progress(ledger_sum.Totals(opening=7), ledger_sum.UUID(int=5), BASE, BASE)
    token = ledger_sum.seal(here.vault, tenant.id, wanted, done, now=BASE)

    assert ledger_sum.unseal(here.vault, tenant.id, wanted, token) == done
    assert ledger_sum.unseal(here.vault, tenant.id, other, token) is None
    assert ledger_sum.unseal(here.vault, tenant.sandbox_id, wanted, token) is None
    assert ledger_sum.unseal(here.vault, tenant.id, wanted, f"{token[:-4]}AAAA") is None


def test_an_entry_tells_everything_and_both_ways_of_a_reversal(api: Api, admin: Browser):
    metadata = {"order_id": "ord_1", "n": 12345678901234567, "price": 1.10}
    headers = {"X-Request-ID": "req-77"}
    award = api.award("ana", 600, reason="Purchase", metadata=metadata, idempotency_key="k:1", headers=headers).json[
        "transaction_id"
    ]
    undone = api.request("POST", f"/api/v1/gamify/points/transactions/{award}/reverse", body={}).json["transaction_id"]

    text = html.unescape(admin.get(f"{PAGE}/{award}").text)
    reversal = html.unescape(admin.get(f"{PAGE}/{undone}").text)

    for part in (
        "+600",
        "ana",
        "Purchase",
        "req-77",
        "k:1",
        '"n": 12345678901234567',
        "Silver Tier",
        api.key[:16],
        award,
        undone,
    ):
        assert part in text, part
    assert "Takes back" in reversal
    assert f"{PAGE}/{award}" in reversal


def test_an_entry_is_a_page_of_its_own_or_the_content_of_the_drawer(api: Api, admin: Browser):
    path = f"{PAGE}/{api.award('ana', 5).json['transaction_id']}"

    assert "<html" in admin.get(path).text
    part = admin.get(path, headers=HTMX | {"HX-Target": "div#drawer-content"}).text
    assert "<html" not in part
    assert f'data-address="{path}"' in part


@pytest.mark.parametrize("element", ["div#ledger", "tr#more", "section#totals"])
def test_htmx_gets_the_part_it_asks_for_and_going_back_the_whole(api: Api, admin: Browser, element):
    api.award("ana", 5)

    part = admin.get(f"{PAGE}?type=award", headers=HTMX | {"HX-Target": element})
    whole = admin.get(f"{PAGE}?type=award", headers=HTMX | {"HX-Target": element, "HX-History-Restore-Request": "true"})

    assert "<html" not in part.text
    assert "<html" in whole.text
    assert {"HX-Request", "HX-Target"} <= set(part.response.vary)


def test_the_address_that_is_kept_has_no_empty_parameters(admin: Browser):
    query = "participant=&type=award&from=&metadata_name=a&metadata_value=b"
    page = admin.get(f"{PAGE}?{query}", headers=HTMX | {"HX-Target": "div#ledger"})

    assert page.headers["HX-Push-Url"] == f"{PAGE}?type=award&metadata.a=b"


def test_nobody_sees_another_tenants_entries(app, here: Deployment, api: Api, admin: Browser):
    other = new_tenant(here)
    foreign = Api(app.test_client(), other.key).award("of-the-other", 5).json["transaction_id"]

    assert "of-the-other" not in admin.get(PAGE).text
    assert shown(admin, f"{PAGE}?participant=of-the-other") == table(admin, "participant=of-the-other") == []
    assert admin.get(f"{PAGE}/{foreign}").status == 404
    assert admin.get(f"{PAGE}?key={other.key[:16]}").status == 422


def test_the_sandbox_has_a_ledger_of_its_own(api: Api, tenant: TenantUnderTest, admin: Browser):
    tried = api.with_key(tenant.test_key).award("ana", 5).json["transaction_id"]

    assert shown(admin, PAGE) == []
    assert shown(admin, f"{PAGE}?mode=test") == [tried]
    assert (
        "mode=test" in html.unescape(admin.get(f"{PAGE}?mode=test").text).partition('class="row-link"')[2].partition("hx-get")[0]
    )
    page = admin.get(f"{PAGE}.csv?mode=test")
    assert f"ledger-{tenant.slug}-test-beginning-to-" in page.headers["Content-Disposition"]


def test_hostile_text_is_text_on_pages_and_no_formula_in_files(api: Api, admin: Browser):
    for text in HOSTILE:
        api.award(text, 5, reason=text, metadata={text: text})

    page = admin.get(PAGE).text
    drawers = [admin.get(f"{PAGE}/{id_}", headers=HTMX | {"HX-Target": "div#drawer-content"}).text for id_ in ROW.findall(page)]
    rows = table(admin)

    for text in (page, *drawers):
        assert "<script>alert" not in text
        assert "<img" not in text
    assert len(drawers) == len(HOSTILE)
    assert sorted(row["participant_id"].removeprefix("'") for row in rows) == sorted(HOSTILE)
    assert not [cell for row in rows for name, cell in row.items() if name != "points" and cell.startswith(("=", "+", "-", "@"))]


def test_a_chip_leads_to_the_page_without_it(api: Api, admin: Browser):
    api.award("ana", 5)
    page = html.unescape(admin.get(f"{PAGE}?participant=ana&type=award&metadata.a=b").text)

    for without in ("participant=ana&type=award", "participant=ana&metadata.a=b", "type=award&metadata.a=b"):
        assert f'href="{PAGE}?{without}"' in page


def test_an_empty_ledger_says_what_to_do_and_an_empty_filter_how_to_leave_it(admin: Browser):
    assert "No entries yet" in admin.get(PAGE).text
    assert "Show all entries" in admin.get(f"{PAGE}?type=award").text


def test_what_is_printed_says_what_is_filtered(api: Api, admin: Browser):
    api.award("ana", 5)
    said = admin.get(f"{PAGE}?participant=ana&min=2").text.partition('class="print-only"')[2].partition("</p>")[0]

    assert " ".join(said.split()).endswith("Participant ana; At least 2 points")


def test_metadata_are_indented_and_spelt_as_sent():
    text = '{"a":1e5,"b":[1.10,{"c":"x,{\\"}:"}],"d":{},"e":[]}'

    assert ledger_words.indented(text) == (
        '{\n  "a": 1e5,\n  "b": [\n    1.10,\n    {\n      "c": "x,{\\"}:"\n    }\n  ],\n  "d": {},\n  "e": []\n}'
    )


def test_an_analyst_may_read_and_take_away(app, here: Deployment, tenant: TenantUnderTest, api: Api):
    api.award("ana", 5)
    analyst = Browser(app)
    analyst.sign_in(new_user(here, tenant.slug, role="analyst").email)

    assert "Export" in analyst.get(PAGE).text
    assert len(table(analyst)) == 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # psycopg misses a cursor that is gone
def test_a_file_that_breaks_off_says_so_in_its_last_line(old, owner):
    """An answer that has begun cannot become an error page."""
    tenant, browser = old
    write(tenant.here, tenant.id, [Event(BASE + timedelta(seconds=n), f"p{n % 5}", 3) for n in range(2_000)])
    answer = browser.client.get(f"{PAGE}.csv", buffered=False)
    parts = answer.iter_encoded()
    sent = [next(parts)]

    owner.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND state = 'idle in transaction' AND application_name = 'gamify'"
    )
    with pytest.raises(Unavailable):
        sent.extend(parts)
    gc.collect()

    lines = b"".join(sent).decode().splitlines()
    assert len(lines) < 2_000
    assert "THIS FILE IS INCOMPLETE" in lines[-1]


def test_a_fault_before_the_first_line_is_an_error(old, owner):
    tenant, browser = old
    write(tenant.here, tenant.id, [Event(BASE)])
    with owner.transaction(force_rollback=True):
        owner.execute("LOCK TABLE ledger_entries IN ACCESS EXCLUSIVE MODE")
        page = browser.get(f"{PAGE}.csv")

    assert (page.status, page.response.mimetype) == (503, "text/html")
