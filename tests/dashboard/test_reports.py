"""Reports on pages: what the services say, leading to the entries behind every figure, kept, shaped, and taken away."""

import csv
import html
import io
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from threading import get_ident
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from flask import Flask
from gamify.deployment import Deployment
from gamify.models import ApiKey, PointCost, Tenant
from gamify.services import ledger, rollups, tiers
from gamify.services.audit import SYSTEM
from gamify.services.ledger import AWARD, Movement
from gamify.services.reports import activity, age_steps, ages, costs, dimensions, liability, rises, roll_forward, saved
from gamify.services.reports.ages import Ages
from gamify.services.reports.span import Span
from sqlalchemy import event, select

from tests.harness import TenantUnderTest, new_tenant
from tests.histories import Event, write
from tests.people import Browser, Page, actions, new_user
from tests.tables import Table, tables

PAGE = "/dashboard/reports"
PAGES = ("", "/liability", "/tiers", "/activity")
HTMX = {"HX-Request": "true", "HX-Target": "div#report"}
BY_AGE = {"HX-Request": "true", "HX-Target": "div#by-age"}
BASE = datetime(2026, 3, 27, 9, 5, tzinfo=UTC)  # clocks go forward in Europe two nights later
DAYS = "from=2026-03-27&to=2026-04-20"
REASONS = (None, "Purchase", "=1+1", "a & b=c+d %", " ", "long " * 60)
CHANNELS = (None, "web", "till", "<script>")
HOSTILE = ("=1+1", "<script>alert(1)</script>", "@SUM(A1)")
ZONES = ("", "Asia/Kathmandu", "America/New_York")
GROUPS = ("", "tier", "key", "reason", "metadata.channel")
COLUMN_OF = {
    "Opening": "Opening",
    "+ Awarded": "Awarded",
    "− Reversed": "Reversed",  # noqa: RUF001  # a minus
    "− Deducted": "Deducted",  # noqa: RUF001  # a minus
    "+ Given back": "Given back",
    "= Closing": "Closing",
}
SAYS = {
    "Opening": r"Opening</dt>\s*<dd[^>]*>\s*(\S+)",
    "Awarded": r"Awarded</dt>\s*<dd[^>]*>\s*(\S+)",
    "Reversed": r"([\d,]+) taken back",
    "Deducted": r"Deducted</dt>\s*<dd[^>]*>\s*(\S+)",
    "Given back": r"([\d,]+) given back",
    "Closing": r"Closing</dt>\s*<dd[^>]*>\s*(\S+)",
    "Entries": r"([\d,]+) entr(?:y|ies)",
}


@pytest.fixture
def admin(app: Flask, here: Deployment, tenant: TenantUnderTest) -> Browser:
    browser = Browser(app)
    browser.sign_in(new_user(here, tenant.slug).email)
    return browser


@pytest.fixture
def analyst(app: Flask, here: Deployment, tenant: TenantUnderTest) -> Browser:
    browser = Browser(app)
    browser.sign_in(new_user(here, tenant.slug, role="analyst").email)
    return browser


@pytest.fixture
def history(here: Deployment, tenant: TenantUnderTest) -> TenantUnderTest:
    """A history of this test's own."""
    return lived(here, tenant)


@pytest.fixture(scope="module")
def told(here: Deployment) -> Iterator[TenantUnderTest]:
    """A history for all tests that only read it; a point costs something in its second month."""
    tenant = lived(here, new_tenant(here))
    with here.database.transaction(tenant.id) as session:
        costs.put(session, tenant.id, valid_from=date(2026, 4, 1), cost="0.5", currency="eur", actor=SYSTEM)
    yield tenant
    assert tenant.differences() == []


@pytest.fixture(scope="module")
def reader(app: Flask, here: Deployment, told: TenantUnderTest) -> Browser:
    """An analyst who reads it."""
    browser = Browser(app)
    browser.sign_in(new_user(here, told.slug, role="analyst").email)
    return browser


def lived(here: Deployment, tenant: TenantUnderTest) -> TenantUnderTest:
    """Some weeks in which all kinds of entries happen, for all kinds of reasons, by keys and people; half of it is summed."""
    with here.database.transaction(tenant.id) as session:
        session.get_one(Tenant, tenant.id).time_zone = "Europe/Berlin"
        dimensions.declare(session, tenant.id, "channel", actor=SYSTEM)
        keys = [None, *session.scalars(select(ApiKey.id).where(ApiKey.tenant_id == tenant.id))]
    events: list[Event] = []
    for n in range(240):
        at = BASE + timedelta(hours=2 * n, minutes=7 * n % 60)
        channel = CHANNELS[n % 3 + n % 2]
        event_ = Event(at, f"p{n % 13}", 40 + 17 * n % 300, reason=REASONS[n % 6], metadata=channel and {"channel": channel})
        event_.api_key_id = keys[n % len(keys)]
        if n % 8 == 5:
            event_.participant, event_.points = events[-1].participant, -min(events[-1].points // 2, 60)
        if n % 24 == 15:  # an award of two hours ago
            event_.undoes, event_.participant, event_.points = n - 1, events[n - 1].participant, -events[n - 1].points
        if n % 48 == 6:  # the deduct of two hours ago
            event_.undoes, event_.participant, event_.points = n - 1, events[n - 1].participant, -events[n - 1].points
        events.append(event_)
    write(here, tenant.id, events)
    assert {e.points > 0 for e in events if e.undoes is not None} == {True, False}
    with here.database.transaction(tenant.id) as session:
        rollups.derive(session, tenant.id, until=BASE + timedelta(days=9, hours=1))
    assert dimensions.make_ready(here.database, tenant.id)
    return tenant


def read(browser: Browser, path: str) -> tuple[Page, dict[str, Table]]:
    page = browser.get(path)
    assert page.status == 200, page.text[:2000]
    return page, tables(page.text)


def figure(text: str) -> int:
    return int(text.replace(",", "").replace("−", "-").replace("+", "").strip("= "))  # noqa: RUF001  # a minus


def says(browser: Browser, link: str) -> dict[str, int]:
    """What the ledger adds up to at an address, once it has added up everything."""
    text = browser.get(link).text
    while rest := re.search(r'class="no-script"\s+href="([^"]*sum=[^"]*)"', text):
        text = browser.get(html.unescape(rest[1])).text
    found = {name: re.search(pattern, text) for name, pattern in SAYS.items()}
    return {name: int(match[1].replace(",", "").replace("−", "-")) if match else 0 for name, match in found.items()}  # noqa: RUF001


def file_of(browser: Browser, path: str) -> list[list[str]]:
    page = browser.get(path)
    assert (page.status, page.headers["Content-Type"]) == (200, "text/csv; charset=utf-8"), page.text
    return list(csv.reader(io.StringIO(page.text, newline="")))


def span(unit: str = "day", zone: str = "Europe/Berlin") -> Span:
    return Span(date(2026, 3, 27), date(2026, 4, 20), unit, ZoneInfo(zone))


@pytest.mark.parametrize("unit", ["day", "week", "month"])
@pytest.mark.parametrize("zone", ZONES)
def test_the_equation_and_its_rows_are_what_the_ledger_says(here, told, reader, unit, zone):
    page, found = read(reader, f"{PAGE}?{DAYS}&unit={unit}&zone={zone}")
    with here.database.snapshot(told.id) as session:
        rows = roll_forward.of_tenant(session, told.id, span(unit, zone or "Europe/Berlin"))

    assert [[figure(text) for text in row[1:]] for row in found["periods"].texts] == [
        [
            row.opening,
            row.sums.award_points,
            row.sums.award_reversal_points,
            row.sums.deduct_points,
            row.sums.deduct_reversal_points,
            row.closing,
        ]
        for row in rows
    ]
    shown = [figure(text) for text in equation(page.text)]
    assert shown[0] + shown[1] - shown[2] - shown[3] + shown[4] == shown[5]
    assert shown == [figure(cell.text) for cell in found["periods"].foot[0][1:]]
    assert shown[5] == rows[-1].closing


def equation(text: str) -> list[str]:
    part = text.partition('<dl class="equation">')[2].partition("</dl>")[0]
    return re.findall(r'(?:</span>|<a href="[^"]*">)\s*([\d,−]+)</a>', part)  # noqa: RUF001  # a minus


@pytest.mark.parametrize("by", GROUPS)
@pytest.mark.parametrize("zone", ["", "Asia/Kathmandu"])
def test_every_figure_leads_to_entries_that_come_to_the_same(told, reader, by, zone):
    _, found = read(reader, f"{PAGE}?{DAYS}&unit=week&by={by}&zone={zone}&compare=previous")
    followed: set[str] = set()
    table = next(iter(found.values()))
    for row in [*table.body, *table.foot]:
        for column, cell in zip(table.columns, row, strict=True):
            if cell.link and column in COLUMN_OF:
                assert says(reader, cell.link)[COLUMN_OF[column]] == figure(cell.text), (row[0].text, column, cell.link)
                followed.add(column)
            elif column in COLUMN_OF and column[0] in "+−" and figure(cell.text):  # noqa: RUF001  # a minus
                assert row[0].text in ("All others together", ""), (row[0].text, column)  # the ledger cannot ask for these

    assert len(followed) == 4


def test_a_period_leads_to_the_ledger_with_the_same_opening_and_closing(told, reader):
    _, found = read(reader, f"{PAGE}?{DAYS}&zone=America/New_York")
    table = found["periods"]
    for row in table.body[:6]:
        told = says(reader, row[0].link)
        assert [told[name] for name in COLUMN_OF.values()] == [figure(cell.text) for cell in row[1:]]


def test_groups_are_what_the_service_says_and_come_to_the_whole(here, told, reader):
    for by, dimension in (("reason", 0), ("metadata.channel", 1)):
        page, found = read(reader, f"{PAGE}?{DAYS}&by={by}")
        with here.database.snapshot(told.id) as session:
            groups = roll_forward.by_word(session, told.id, span(), dimension=dimension)
        table = found["groups"]

        assert [figure(row[5]) for row in table.texts] == [group.sums.net for group in groups]
        assert [figure(row[6]) for row in table.texts] == [group.sums.entry_count for group in groups]
        assert [figure(cell.text) for cell in table.foot[0][1:5]] == [figure(text) for text in equation(page.text)[1:5]]


def test_tiers_add_up_with_what_moves_in_and_out(here, history, admin):
    with here.database.transaction(history.id) as session:  # a movement on an old ladder stands on the same tier
        tiers.replace(session, history.id, {"iron": 0, "bronze": 100, "silver": 600}, actor=SYSTEM)
    ledger.post(here.database, history.id, [Movement(AWARD, "p1", 70), Movement(AWARD, "someone new", 5)])

    _, found = read(admin, f"{PAGE}?from=2026-03-27&by=tier")
    for row in found["tiers"].texts:
        opening, awarded, reversed_, deducted, given_back, moved_in, moved_out, closing = map(figure, row[1:])
        assert opening + awarded - reversed_ - deducted + given_back + moved_in - moved_out == closing
    for row in found["participants"].texts:
        before, came, went, after = map(figure, row[1:])
        assert before + came - went == after
    for row in found["tiers"].body:
        for column, cell in zip(found["tiers"].columns, row, strict=True):
            if cell.link and column in COLUMN_OF:
                assert says(admin, cell.link)[COLUMN_OF[column]] == figure(cell.text), (row[0].text, column)
    assert found["tiers"].foot[0][8].text == f"{history_total(here, history):,}"


def history_total(here: Deployment, tenant: TenantUnderTest) -> int:
    with here.database.snapshot(tenant.id) as session:
        return liability.of(session, tenant.id, Span(date(2200, 1, 1), date(2200, 1, 1), "day", UTC)).points


def test_liability_is_points_by_cost_with_both_formulas_in_sight(here, told, reader):
    page, found = read(reader, f"{PAGE}/liability?{DAYS}&unit=day&compare=previous")
    with here.database.snapshot(told.id) as session:
        of = liability.of(session, told.id, span())

    assert of.points > 0
    assert of.amount is not None
    text = " ".join(html.unescape(page.text).split())
    assert f"EUR {of.amount:,.2f}" in text
    assert f"redeemed ÷ earned = {of.redeemed:,} ÷ {of.earned:,} = <strong>{of.redemption_rate * 100:.1f}%</strong>" in text
    assert "nothing has matured" in text
    assert figure(found["tiers"].foot[0][2].text) == of.points == sum(figure(row[2]) for row in found["tiers"].texts)
    assert found["course"].texts[4][1:] != found["course"].texts[5][1:]
    assert [row[2] for row in found["course"].texts[:5]] == ["–"] * 5  # noqa: RUF001  # before the first cost
    for row in found["course"].body[::6]:
        assert says(reader, row[0].link)["Closing"] == figure(row[1].text)


def test_breakage_is_of_what_was_earned_a_year_before(here, tenant, admin):
    write(here, tenant.id, [Event(BASE - timedelta(days=500), "ana", 1000), Event(BASE, "ana", -400)])
    page, _ = read(admin, f"{PAGE}/liability?{DAYS}")
    text = " ".join(page.text.split())

    assert "max(0, 1,000 − 400) ÷ 1,000 = <strong>60.0%</strong>" in text  # noqa: RUF001  # a minus
    assert "600 × 60.0% = 360 points" in text  # noqa: RUF001  # times


@pytest.mark.parametrize("zone", ZONES)
def test_points_by_age_are_what_is_outstanding_at_the_end_of_the_last_day(here, told, reader, zone):
    days = span(zone=zone or "Europe/Berlin")
    _, found = read(reader, f"{PAGE}/liability?{DAYS}&zone={zone}")
    with here.database.snapshot(told.id) as session:
        counted = ages.advance(session, told.id, Ages(days.until))
        owed = liability.of(session, told.id, days)

    rows, [total] = found["ages"].texts, found["ages"].foot
    assert [row[0] for row in rows] == ["Under 30 days", "30 to 90 days", "90 to 180 days", "180 to 365 days", "Over 365 days"]
    assert [figure(row[1]) for row in rows] == list(counted.points)
    assert [row[3] for row in rows] == [f"EUR {points / 2:,.2f}" for points in counted.points]
    assert [cell.text for cell in total] == ["Total", f"{owed.points:,}", "100.0%", f"EUR {owed.amount:,.2f}"]


@pytest.fixture
def slow(monkeypatch) -> None:
    """Counting that comes no further than four participants in one request."""
    monkeypatch.setattr(ages, "AT_ONCE", 4)
    monkeypatch.setattr(age_steps, "STEP", 0)


def rest(page: Page) -> str | None:
    """Where counting goes on, with scripts and without."""
    found = re.search(r'class="no-script"\s+href="([^"]*ages=[^"]*)"', page.text)
    if found:
        assert f'hx-get="{found[1]}" hx-trigger="load"' in page.text
    return found and html.unescape(found[1])


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("headers", [{}, BY_AGE])
def test_ages_of_many_are_counted_step_by_step(told, reader, headers):
    page, shares = reader.get(f"{PAGE}/liability?{DAYS}"), []
    while address := rest(page):
        shares.append(re.findall(r"(\d+)% of participants are counted", page.text))
        assert "ages" not in tables(page.text)
        page = reader.get(address, headers=headers)
        assert ("<html" in page.text) is not bool(headers)

    found = tables(page.text)["ages"]
    assert shares == [["30"], ["61"], ["92"]]
    assert found.foot[0][1].text in reader.get(f"{PAGE}/liability?{DAYS}").text.partition("Points outstanding")[2][:200]
    file = re.search(r'href="([^"]*table=ages[^"]*)"', page.text)
    assert file
    assert [row[2] for row in file_of(reader, html.unescape(file[1]))[1:]] == [row[1].replace(",", "") for row in found.texts]


@pytest.mark.usefixtures("slow")
def test_a_file_of_ages_that_are_not_counted_yet_is_none(told, reader):
    refused = reader.get(f"{PAGE}/liability.csv?{DAYS}&table=ages")

    assert refused.status == 422
    assert "table=ages" not in reader.get(f"{PAGE}/liability?{DAYS}").text


@pytest.mark.usefixtures("slow")
def test_all_steps_are_of_the_moment_of_the_first(here, history, admin):
    page, steps = admin.get(f"{PAGE}/liability"), 0
    first = f"{history_total(here, history):,}"
    while address := rest(page):
        ledger.post(here.database, history.id, [Movement(AWARD, f"p{n}", 100) for n in range(13)])
        page, steps = admin.get(address, headers=BY_AGE), steps + 1

    assert steps == 3
    assert "Counted at" in page.text
    assert tables(page.text)["ages"].foot[0][1].text == first


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("other", ["x", "%F0%9F%A6%84", "of another day", "of another zone", "of a neighbour"])
def test_what_is_counted_of_something_else_is_left_alone(here, told, reader, other):
    last, zone = date(2026, 4, 20), "Europe/Berlin"
    strange = {"of another day": (last.replace(day=19), zone), "of another zone": (last, "UTC")}.get(other, (last, zone))
    done = age_steps.Progress(*strange, Ages(BASE, (7, 7, 7, 7, 7), None, 13))
    owner = told.sandbox_id if other == "of a neighbour" else told.id
    token = age_steps.seal(here.vault, owner, done, now=BASE) if other.startswith("of ") else other

    assert "30% of participants are counted" in reader.get(f"{PAGE}/liability?{DAYS}&ages={token}", headers=BY_AGE).text


def test_a_part_of_a_report_that_cannot_be_shown_has_the_page_loaded_anew(here, told, reader, owner, tenant, api, admin):
    api.award("ana", 5)
    rollups.advance(here.database, tenant.id)
    owner.execute("UPDATE rollup_progress SET made_by = 1 WHERE tenant_id = %s", [tenant.id])
    for page in (admin.get(f"{PAGE}/liability", headers=BY_AGE), reader.get(f"{PAGE}/liability?unit=x", headers=BY_AGE)):
        assert (page.status, page.text, page.headers["HX-Refresh"]) == (200, "", "true")
    assert reader.get(f"{PAGE}/tiers?{DAYS}", headers=BY_AGE).status == 200  # another report has no such part
    assert rollups.catch_up(here.database, tenant.id, seconds=10)


def test_tiers_show_who_is_where_and_who_moves(here, told, reader):
    _, found = read(reader, f"{PAGE}/tiers?{DAYS}&unit=week&compare=year")
    with here.database.snapshot(told.id) as session:
        standings = roll_forward.standings(session, told.id, span("week"))
        flows = roll_forward.flows(session, told.id, span("week"))

    assert [figure(row[-1]) for row in found["distribution"].texts] == [
        sum(count for count, _ in standing.values()) for standing in standings[1:]
    ]
    assert figure(found["movements"].foot[0][-1].text) == sum(flow.participant_count for flow in flows)
    assert found["movements"].texts[0][0] == "New"
    assert found["movements"].columns[1:-1] == [row[0] for row in found["movements"].texts[1:]]


def test_the_time_to_the_next_tier_is_told_in_days_and_by_the_hour_where_it_is_less(here, tenant, admin):
    rises_of = [("ana", 0, 400), ("ana", 84.5, 200), ("bo", 0, 499), ("bo", 10.25, 1), ("cleo", 0, 1), ("cleo", 0.25, 2000)]
    events = [Event(BASE + timedelta(days=after), who, points) for who, after, points in rises_of]
    write(here, tenant.id, sorted(events, key=lambda each: each.at))
    page, found = read(admin, f"{PAGE}/tiers?from=2026-03-27&to=2026-07-20")

    assert found["rises"].texts == [
        ["Bronze Tier", "Silver Tier", "2", "28.8 days", "47.4 days", "65.9 days"],
        ["Bronze Tier", "Gold Tier", "1", "6.0 hours", "6.0 hours", "6.0 hours"],
    ]
    assert "Half within so many days" in page.text
    assert "Only the newest" not in page.text
    header, _, last = file_of(admin, f"{PAGE}/tiers.csv?from=2026-03-27&to=2026-07-20&table=rises")
    assert header == ["from", "to", "number", "lower_quartile", "median", "upper_quartile"]
    assert last == ["Bronze Tier", "Gold Tier", "1", "0.25", "0.25", "0.25"]


def test_it_is_said_that_only_the_newest_rises_are_looked_at(told, reader, monkeypatch):
    monkeypatch.setattr(rises, "MOST", 2)
    page, found = read(reader, f"{PAGE}/tiers?{DAYS}")

    assert "Only the newest 2 in these days are looked at." in page.text
    assert sum(figure(row[2]) for row in found["rises"].texts) == 2


def test_without_rises_nothing_is_drawn(reader):
    page, found = read(reader, f"{PAGE}/tiers?from=2026-06-01&to=2026-06-02")

    assert found["rises"].texts == [["Nothing in these days."]]
    assert "chart-of-rises" not in page.text


def test_behaviour_shows_who_is_active_and_what_for(here, told, reader):
    _, found = read(reader, f"{PAGE}/activity?{DAYS}&unit=week&compare=previous")
    of = span("week")
    with here.database.snapshot(told.id) as session:
        active, sizes = activity.active(session, told.id, of), activity.award_sizes(session, told.id, of)
        balances, whole = activity.balances(session, told.id), roll_forward.of_tenant(session, told.id, of)

    awarded = sum(row.sums.award_points for row in whole)
    assert [figure(row[1]) for row in found["active"].texts] == [count for _, count in active]
    assert [(figure(row[1]), figure(row[2])) for row in found["award-sizes"].texts] == [(b.number, b.points) for b in sizes]
    assert [(figure(row[1]), figure(row[2])) for row in found["balances"].texts] == [(b.number, b.points) for b in balances]
    assert sum(figure(row[2]) for row in found["reasons"].texts) == awarded
    assert sum(figure(row[2]) for row in found["keys"].texts) == awarded
    for row in found["award-sizes"].body:
        if row[1].link:
            told = says(reader, row[1].link)
            assert (told["Entries"], told["Awarded"]) == (figure(row[1].text), figure(row[2].text))
    for name in ("reasons", "keys"):
        for row in found[name].body:
            if row[2].link:
                assert says(reader, row[2].link)["Awarded"] == figure(row[2].text), row[0].text


def test_cohorts_are_of_a_year_even_if_the_days_are_few(here, tenant, admin):
    write(here, tenant.id, [Event(BASE - timedelta(days=59), "ana", 5), Event(BASE, "ana", 5), Event(BASE, "bo", 5)])
    _, found = read(admin, f"{PAGE}/activity?from=2026-03-27&to=2026-03-28")

    assert found["cohorts"].texts == [
        ["January 2026", "1", "100%", "0%", "100%"],
        ["February 2026", "0", "–", "–", ""],  # noqa: RUF001  # of nobody
        ["March 2026", "1", "100%", "", ""],
    ]


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("period=soon", "period"),
        ("from=yesterday", "from"),
        ("to=2026-13-01", "to"),
        ("from=0001-01-01", "from"),
        ("to=9999-12-31", "to"),
        ("from=2026-02-02&to=2026-01-01", "to"),
        ("unit=year", "unit"),
        ("unit=day&from=2020-01-01", "unit"),
        ("compare=never", "compare"),
        ("zone=Europe/Nowhere", "zone"),
    ],
)
def test_what_cannot_be_is_told_next_to_its_field(reader: Browser, path, query, field):
    if (path, field) == ("/activity", "zone"):
        path = "/tiers"  # behaviour has the tenant's own days
    page = reader.get(f"{PAGE}{path}?{query}")

    assert page.status == 422
    assert f'id="{field}-error"' in page.text
    assert "This cannot be shown" in page.text
    kind = path.removeprefix("/") or "roll-forward"
    assert reader.get(f"{PAGE}/{kind}.csv?{query}").status == 422


@pytest.mark.parametrize("by", ["x", "metadata.", "metadata.nothing", "%00"])
def test_only_what_is_declared_breaks_a_report_down(reader: Browser, by):
    page = reader.get(f"{PAGE}?by={by}")

    assert page.status == 422
    assert 'id="by-error"' in page.text


@pytest.mark.parametrize(
    "query", ["from=&to=&unit=&zone=&compare=&by=", "page=2", "q=%00", "period=all", "from=1970-01-01&unit=month"]
)
@pytest.mark.parametrize("path", PAGES)
def test_whatever_else_is_asked_is_no_fault(reader: Browser, path, query):
    assert reader.get(f"{PAGE}{path}?{query}").status in (200, 422)


FILES = [
    *(
        (f"/roll-forward.csv?{DAYS}&unit=week&compare=year&by={by}", f"?{DAYS}&unit=week&compare=year&by={by}", "")
        for by in GROUPS
    ),
    (f"/roll-forward.csv?{DAYS}&by=tier&table=participants", f"?{DAYS}&by=tier", "participants"),
    (f"/liability.csv?{DAYS}", f"/liability?{DAYS}", "tiers"),
    (f"/liability.csv?{DAYS}&table=course", f"/liability?{DAYS}", "course"),
    (f"/liability.csv?{DAYS}&table=ages", f"/liability?{DAYS}", "ages"),
    (f"/tiers.csv?{DAYS}", f"/tiers?{DAYS}", "distribution"),
    (f"/tiers.csv?{DAYS}&table=movements", f"/tiers?{DAYS}", "movements"),
    (f"/tiers.csv?{DAYS}&table=rises", f"/tiers?{DAYS}", "rises"),
    *(
        (f"/activity.csv?{DAYS}&table={name}", f"/activity?{DAYS}", name)
        for name in ("active", "cohorts", "award-sizes", "balances", "reasons", "keys")
    ),
]


@pytest.mark.parametrize(("file", "page", "table"), FILES)
def test_a_file_has_the_rows_and_figures_of_the_page(here, told, reader, file, page, table):
    _, found = read(reader, f"{PAGE}{page}")
    shown = found[table] if table else next(iter(found.values()))
    header, *rows = file_of(reader, f"{PAGE}{file}")

    assert len(rows) == len(shown.body) > 0
    if "currency" in header:  # the page says it with the cost
        rows = [[cell for name, cell in zip(header, row, strict=True) if name != "currency"] for row in rows]
        header.remove("currency")
    skipped = len(header) - len(shown.columns)  # the end of a period
    assert skipped in (0, 1)
    for row, cells in zip(rows, shown.texts, strict=True):
        for value, cell in zip(row[1 + skipped :], cells[1:], strict=True):
            if table == "cohorts" and cell.endswith("%"):
                assert value == "0" if cell == "0%" else int(value) > 0
            elif cell.endswith("%"):
                assert f"{float(value) * 100:.1f}%" == cell
            elif cell.endswith(" days"):
                assert f"{float(value):.1f} days" == cell
            elif cell.endswith(" Tier"):
                assert value == cell
            elif cell.startswith("EUR "):
                assert f"EUR {float(value):,.2f}" == cell
            elif value and cell != "–":  # noqa: RUF001  # of nobody
                assert f"{float(value):,.2f}" == f"{float(cell.replace(',', '').replace('−', '-').replace('+', '')):,.2f}"  # noqa: RUF001


def test_files_have_sane_names_and_no_formulas(here, tenant, admin):
    write(here, tenant.id, [Event(BASE + timedelta(hours=n), "ana", 10, reason=text) for n, text in enumerate(HOSTILE)])
    page = admin.get(f"{PAGE}/roll-forward.csv?{DAYS}&by=reason")
    name = f"roll-forward-groups-{tenant.slug}-live-2026-03-27-to-2026-04-20.csv"

    assert page.headers["Content-Disposition"] == f'attachment; filename="{name}"'
    cells = [row[0] for row in csv.reader(io.StringIO(page.text, newline=""))][1:]
    assert sorted(cell.removeprefix("'") for cell in cells) == sorted(HOSTILE)
    assert not [cell for cell in cells if cell.startswith(("=", "@"))]
    text = admin.get(f"{PAGE}?{DAYS}&by=reason").text
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert admin.get(f"{PAGE}/roll-forward.csv?table=nothing").status == 422


def test_a_report_is_compared_with_the_days_before_and_a_year_before(here, tenant, admin):
    year_before = BASE.replace(year=2025)
    write(here, tenant.id, [Event(year_before, "ana", 200), Event(BASE - timedelta(days=2), "ana", 50), Event(BASE, "ana", 100)])

    before, by_period = read(admin, f"{PAGE}?from=2026-03-27&to=2026-03-28&compare=previous")
    year, _ = read(admin, f"{PAGE}?from=2026-03-27&to=2026-03-28&compare=year")

    assert [cell.text for cell in by_period["periods"].foot[1]] == ["25 Mar to 26 Mar 2026", "200", "50", "0", "0", "0", "250"]
    assert re.findall(r'class="change">([^<]*)<', before.text)[1] == "+100.0%"
    assert re.findall(r'class="change">([^<]*)<', year.text)[1] == "−50.0%"  # noqa: RUF001  # a minus


def test_the_number_of_statements_is_that_of_tables_and_not_of_cells(app, here, told):
    reader = Browser(app)
    reader.sign_in(new_user(here, told.slug).email)  # just now: who has been seen is noted once a minute
    mine = get_ident()  # the app sums rollups in another thread

    def count(path: str) -> int:
        seen: list[str] = []

        def note(_: Any, __: Any, statement: str, *___: Any) -> None:
            if get_ident() == mine:
                seen.append(statement)

        event.listen(here.database.engine, "before_cursor_execute", note)
        try:
            assert reader.get(path).status == 200
        finally:
            event.remove(here.database.engine, "before_cursor_execute", note)
        return len(seen)

    for path in PAGES:
        few = count(f"{PAGE}{path}?from=2026-04-01&to=2026-04-02")
        assert few == count(f"{PAGE}{path}?from=2026-03-01&to=2026-06-30&unit=day") <= 32, path


def test_the_address_that_is_kept_has_no_empty_or_usual_parameters(reader: Browser):
    page = reader.get(f"{PAGE}?from=&to=&unit=week&by=reason&compare=&period=last_30_days&zone=Europe/Berlin", headers=HTMX)

    assert page.headers["HX-Push-Url"] == f"{PAGE}?unit=week&by=reason"
    assert "<html" not in page.text
    assert {"HX-Request", "HX-Target"} <= set(page.response.vary)


def test_a_report_is_kept_under_a_name_that_no_other_has(here, history, analyst, admin):
    form = {"name": " Weekly <b> close ", "kind": "roll-forward", "query": "unit=week&by=reason&evil=1&mode=test"}
    kept = analyst.post(f"{PAGE}/saved", form)

    assert (kept.status, kept.to) == (303, f"{PAGE}?unit=week&by=reason")
    assert f'href="{PAGE}?unit=week&amp;by=reason"' in admin.get(PAGE).text
    assert "Weekly &lt;b&gt; close" in admin.get(f"{PAGE}/tiers").text
    again = admin.post(f"{PAGE}/saved", form | {"query": ""})
    assert again.status == 409
    assert "named Weekly &lt;b&gt; close already" in again.text
    assert actions(here, history.id, "Weekly <b> close") == ["report.save"]


@pytest.mark.parametrize(
    ("change", "status"), [({"name": "  "}, 422), ({"name": "x" * 101}, 422), ({"name": "\0"}, 422), ({"kind": "tears"}, 422)]
)
def test_what_cannot_be_kept_is_refused_and_the_form_comes_back(analyst, change, status):
    page = analyst.post(f"{PAGE}/saved", {"name": "Close", "kind": "tiers", "query": "unit=week"} | change)

    assert page.status == status
    assert 'value="unit=week"' in page.text
    assert "Nothing is saved yet" in analyst.get(f"{PAGE}/saved").text


def test_a_kept_report_is_renamed_and_removed(here, tenant, analyst):
    for name in ("One", "Two"):
        analyst.post(f"{PAGE}/saved", {"name": name, "kind": "tiers", "query": ""})
    with here.database.transaction(tenant.id) as session:
        one, two = saved.listed(session, tenant.id)

    assert analyst.post(f"{PAGE}/saved/rename", {"id": one.id, "name": "Two"}).status == 409
    assert analyst.post(f"{PAGE}/saved/rename", {"id": one.id, "name": "One"}).status == 303
    assert analyst.post(f"{PAGE}/saved/rename", {"id": one.id, "name": "First"}).status == 303
    assert analyst.post(f"{PAGE}/saved/remove", {"id": two.id}).status == 303
    assert analyst.post(f"{PAGE}/saved/remove", {"id": two.id}).status == 404
    with here.database.transaction(tenant.id) as session:
        assert [each.name for each in saved.listed(session, tenant.id)] == ["First"]
    assert actions(here, tenant.id, "First") == ["report.rename"]
    assert actions(here, tenant.id, "Two") == ["report.save", "report.remove"]


@pytest.mark.parametrize("number", ["x", "", "-1", "9" * 30, "²"])
def test_what_is_no_number_of_a_kept_report_is_of_none(analyst, number):
    assert analyst.post(f"{PAGE}/saved/remove", {"id": number}).status == 404


def test_of_a_neighbour_nothing_is_there(app, here, history, analyst):
    analyst.post(f"{PAGE}/saved", {"name": "Ours", "kind": "tiers", "query": ""})
    with here.database.transaction(history.id) as session:
        [ours] = saved.listed(session, history.id)
        costs.put(session, history.id, valid_from=date(2026, 1, 1), cost="1", currency="EUR", actor=SYSTEM)
    neighbour = Browser(app)
    neighbour.sign_in(new_user(here, new_tenant(here).slug).email)

    assert neighbour.post(f"{PAGE}/saved/rename", {"id": ours.id, "name": "Theirs"}).status == 404
    assert neighbour.post(f"{PAGE}/saved/remove", {"id": ours.id}).status == 404
    assert neighbour.post(f"{PAGE}/costs/remove", {"valid_from": "2026-01-01"}).status == 404
    assert neighbour.post(f"{PAGE}/dimensions/remove", {"number": 1}).status == 404
    assert "Ours" not in neighbour.get(f"{PAGE}/saved").text
    assert "Nothing to report yet" in neighbour.get(PAGE).text


def test_admins_set_the_cost_of_a_point_and_take_it_back(here, tenant, api, admin):
    api.award("ana", 1000)
    wrong = admin.post(f"{PAGE}/costs?unit=week", {"valid_from": "soon", "cost": "-1", "currency": "euro"})
    assert (wrong.status, 'id="valid_from-error"' in wrong.text) == (422, True)
    wrong = admin.post(f"{PAGE}/costs", {"valid_from": "2026-01-01", "cost": "-1", "currency": "euro"})
    assert wrong.status == 422
    assert 'id="cost-error"' in wrong.text
    assert 'id="currency-error"' in wrong.text

    assert admin.post(f"{PAGE}/costs", {"valid_from": "2026-01-01", "cost": "0.01", "currency": "eur"}).status == 303
    assert "EUR 10.00" in admin.get(f"{PAGE}/liability").text
    assert admin.post(f"{PAGE}/costs/remove", {"valid_from": "2026-01-01"}).status == 303
    assert "no cost of a point on that day" in admin.get(f"{PAGE}/liability").text
    assert admin.post(f"{PAGE}/costs/remove", {"valid_from": "2026-01-01"}).status == 404
    with here.database.transaction(tenant.id) as session:
        assert session.scalars(select(PointCost).where(PointCost.tenant_id == tenant.id)).all() == []


def test_a_dimension_is_declared_prepared_and_taken_away(here, tenant, api, admin):
    api.award("ana", 5, metadata={"channel": "web"})
    assert admin.post(f"{PAGE}/dimensions", {"metadata_key": " "}).status == 422
    assert admin.post(f"{PAGE}/dimensions", {"metadata_key": "channel"}).status == 303
    assert admin.post(f"{PAGE}/dimensions", {"metadata_key": "channel"}).status == 409

    assert "Being prepared" in admin.get(f"{PAGE}/dimensions").text
    assert "channel (being prepared)" in admin.get(PAGE).text
    early = admin.get(f"{PAGE}?by=metadata.channel")
    assert (early.status, "is being prepared" in early.text) == (422, True)
    assert dimensions.make_ready(here.database, tenant.id)
    part = admin.get(f"{PAGE}/dimensions", headers={"HX-Request": "true", "HX-Target": "section#dimensions"})
    assert "Ready" in part.text
    assert "hx-trigger" not in part.text
    _, found = read(admin, f"{PAGE}?by=metadata.channel")
    assert found["groups"].texts[0][:2] == ["web", "5"]

    assert admin.post(f"{PAGE}/dimensions/remove", {"number": 1}).status == 303
    assert admin.get(f"{PAGE}?by=metadata.channel").status == 422


def test_analysts_read_keep_and_take_away_and_shape_nothing(api, analyst):
    api.award("ana", 5)
    page = analyst.get(f"{PAGE}/liability").text

    assert "Download as CSV" in page
    assert "Save as" in page
    assert "Set cost" not in page
    assert f"{PAGE}/dimensions" not in analyst.get(PAGE).text
    assert analyst.get(f"{PAGE}/dimensions").status == 403
    for path in ("costs", "costs/remove", "dimensions", "dimensions/remove"):
        assert analyst.post(f"{PAGE}/{path}", {"valid_from": "2026-01-01", "cost": "1", "currency": "EUR"}).status == 403


@pytest.mark.parametrize("path", PAGES)
def test_operators_see_no_reports(app, here, path):
    operator = Browser(app)
    operator.sign_in(new_user(here).email)

    assert operator.get(f"{PAGE}{path}").status == 403


@pytest.mark.parametrize("path", PAGES)
def test_an_empty_ledger_says_what_to_do(admin, path):
    page = admin.get(f"{PAGE}{path}")

    assert page.status == 200
    assert "Nothing to report yet" in page.text
    assert ("Set cost" in page.text) == (path == "/liability")


def test_the_sandbox_has_reports_of_its_own(api, tenant, admin):
    api.with_key(tenant.test_key).award("ana", 5)
    form = {"name": "Tried", "kind": "tiers", "query": "unit=week"}

    assert "Nothing to report yet" in admin.get(PAGE).text
    _, found = read(admin, f"{PAGE}?mode=test&unit=month")
    link = found["periods"].foot[0][2].link
    assert "mode=test" in link
    assert says(admin, link)["Awarded"] == 5
    assert admin.post(f"{PAGE}/saved?mode=test", form).to == f"{PAGE}/tiers?unit=week&mode=test"
    assert "Tried" in admin.get(f"{PAGE}/saved?mode=test").text
    assert "Tried" not in admin.get(f"{PAGE}/saved").text
    assert (
        f"roll-forward-periods-{tenant.slug}-test-"
        in admin.get(f"{PAGE}/roll-forward.csv?mode=test").headers["Content-Disposition"]
    )


def test_while_reports_are_prepared_a_page_says_so_and_goes_on_by_itself(here, tenant, owner, api, admin):
    api.award("ana", 5)
    rollups.advance(here.database, tenant.id)
    owner.execute("UPDATE rollup_progress SET made_by = 1 WHERE tenant_id = %s", [tenant.id])
    for path in PAGES:
        page = admin.get(f"{PAGE}{path}?unit=week")
        assert page.status == 200
        assert "Reports are being prepared" in page.text
        assert f'hx-get="{PAGE}{path}?unit=week"' in page.text
    assert "<html" not in admin.get(PAGE, headers=HTMX).text
    file = admin.get(f"{PAGE}/tiers.csv")
    assert (file.status, file.headers["Retry-After"]) == (503, "1")

    assert rollups.advance(here.database, tenant.id)
    _, found = read(admin, f"{PAGE}?unit=month")
    assert found["periods"].foot[0][2].text == "5"


def test_what_is_printed_says_what_it_is(told, reader):
    said = reader.get(f"{PAGE}?{DAYS}&by=metadata.channel").text.partition('class="print-only"')[2].partition("</p>")[0]

    assert "(live), Roll-forward by channel, printed" in " ".join(said.split())
