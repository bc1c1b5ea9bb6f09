"""The page of exports: asked for on the ledger, made in the background, taken away by whoever may, and equal to the screen."""

import csv
import io
import re
import sys
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest
from gamify.jobs.registry import JOBS
from gamify.jobs.turn import perform
from gamify.models import Export, ReportSchedule, SavedReport
from gamify.services import exports, schedules, tenants
from gamify.services.audit import SYSTEM
from sqlalchemy import select, update

from tests.exporting import READERS
from tests.harness import new_tenant
from tests.histories import Event, write
from tests.people import Browser, actions, log_of, new_user

BASE = datetime(2026, 2, 14, 10, tzinfo=UTC)
ROW = re.compile(r'/dashboard/ledger/([0-9a-f-]{36})"')
PART = {"HX-Request": "true", "HX-Target": "section#exports"}


@pytest.fixture
def history(here, tenant):
    events = [Event(BASE + timedelta(minutes=n), f"p{n % 2}", 5 + n, reason="=coffee" if n % 3 else None) for n in range(12)]
    return write(here, tenant.id, events)


@pytest.fixture
def analyst(app, here, tenant) -> Browser:
    found = Browser(app)
    found.sign_in(new_user(here, tenant.slug, role="analyst").email)
    return found


def of(here, tenant_id) -> list[Export]:
    with here.database.transaction(tenant_id) as session:
        return list(session.scalars(select(Export).where(Export.tenant_id == tenant_id).order_by(Export.id)))


def ask(browser, *, kind="ledger", query="", format="csv", mode=""):  # noqa: A002
    return browser.post(f"/dashboard/exports{mode}", {"kind": kind, "query": query, "format": format})


def make(here, tenant_id) -> Export:
    """Do the newest export's job, as a worker does."""
    export = of(here, tenant_id)[-1]
    perform(JOBS["write_export"], here, {"tenant_id": tenant_id, "export_id": export.id}, is_stopping=lambda: False)
    return of(here, tenant_id)[-1]


def file_of(browser, export, mode=""):
    return browser.get(f"/dashboard/exports/{export.id}/file{mode}")


def test_the_ledger_leads_to_an_export_of_what_is_filtered(here, tenant, history, browser):
    page = browser.get("/dashboard/ledger?participant=p1&reason=%3Dcoffee")
    address = re.search(r'href="(/dashboard/exports/ask[^"]*)"', page.text)[1].replace("&amp;", "&")
    asked = browser.get(address)
    query = re.search(r'name="query" value="([^"]*)"', asked.text)[1].replace("&amp;", "&")
    assert "Participant p1; Reason contains =coffee" in asked.text
    assert ask(browser, query=query).status == 303

    file = file_of(browser, make(here, tenant.id))
    assert file.text == browser.get("/dashboard/ledger.csv?participant=p1&reason=%3Dcoffee").text
    rows = list(csv.DictReader(io.StringIO(file.text, newline="")))
    assert [row["transaction_id"] for row in rows] == list(dict.fromkeys(ROW.findall(page.text)))


@pytest.mark.parametrize("name", READERS)
def test_every_format_holds_the_entries_of_the_screen_in_their_order(here, tenant, history, browser, tmp_path, name):
    page = browser.get("/dashboard/ledger?type=award")
    ask(browser, query="type=award", format=name)
    export = make(here, tenant.id)
    answer = file_of(browser, export).response
    (tmp_path / f"file.{name}").write_bytes(answer.data)

    assert [row["transaction_id"] for row in READERS[name](tmp_path / f"file.{name}")] == list(
        dict.fromkeys(ROW.findall(page.text))
    )
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{export.file_name}"'
    assert export.file_name.startswith(f"ledger-{tenant.slug}-live-beginning-to-")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"


def test_the_page_tells_how_far_it_is_by_itself_until_it_is_there(here, tenant, history, browser):
    assert "No exports yet" in browser.get("/dashboard/exports").text
    ask(browser)
    waiting = browser.get("/dashboard/exports")
    assert "Waiting" in waiting.text
    assert 'hx-trigger="every 2s"' in waiting.text
    with here.database.transaction(tenant.id) as session:
        session.execute(update(Export).values(state="running", row_count=1234, expected_count=5678))
    part = browser.get("/dashboard/exports", headers=PART)
    assert "1,234 of 5,678 rows" in part.text
    assert 'value="1234" max="5678"' in re.sub(r"\s+", " ", part.text)
    assert "<html" not in part.text

    make(here, tenant.id)
    done = browser.get("/dashboard/exports")
    assert "12 rows" in done.text
    assert "Download" in done.text
    assert "every 2s" not in done.text


def test_what_is_asked_for_cancelled_taken_away_and_deleted_is_in_the_log(here, tenant, history, browser):
    ask(browser)
    browser.post(f"/dashboard/exports/{of(here, tenant.id)[-1].id}/cancel")
    again = browser.post(f"/dashboard/exports/{of(here, tenant.id)[-1].id}/again")
    assert again.status == 303
    export = make(here, tenant.id)
    assert file_of(browser, export).status == 200
    browser.post(f"/dashboard/exports/{export.id}/delete")

    assert actions(here, tenant.id, "Ledger as csv") == [
        *("export.ask", "export.cancel", "export.ask", "export.download", "export.delete")
    ]
    assert file_of(browser, export).status == 404
    assert not list((here.settings.exports_folder / str(tenant.id)).glob(f"{export.id}.*"))


def test_a_file_that_is_not_made_yet_is_none_to_take_away(here, tenant, browser):
    ask(browser)

    assert file_of(browser, of(here, tenant.id)[-1]).status == 409


def test_an_analyst_changes_their_own_and_an_admin_everybodys(here, tenant, history, browser, analyst):
    ask(browser)
    admins = make(here, tenant.id)
    for act in ("cancel", "delete"):
        assert analyst.post(f"/dashboard/exports/{admins.id}/{act}").status == 403
    assert f"/exports/{admins.id}/delete" not in analyst.get("/dashboard/exports").text
    assert file_of(analyst, admins).status == 200

    ask(analyst)
    own = make(here, tenant.id)
    assert f"/exports/{own.id}/delete" in browser.get("/dashboard/exports").text
    assert browser.post(f"/dashboard/exports/{own.id}/delete").status == 303
    ask(analyst)
    assert analyst.post(f"/dashboard/exports/{of(here, tenant.id)[-1].id}/cancel").status == 303


def test_a_file_is_for_people_of_its_tenant_signed_in_and_in_its_mode(app, here, tenant, history, browser):
    ask(browser)
    export = make(here, tenant.id)
    neighbour, operator = Browser(app), Browser(app)
    neighbour.sign_in(new_user(here, new_tenant(here).slug).email)
    operator.sign_in(new_user(here).email)

    assert file_of(browser, export).status == 200
    assert file_of(browser, export, "?mode=test").status == 404
    assert file_of(neighbour, export).status == 404
    assert file_of(operator, export).status == 403
    assert file_of(Browser(app), export).to.startswith("/dashboard/sign-in?next=")
    assert export.file_name not in browser.get("/dashboard/exports?mode=test").text
    assert (
        "Ledger" not in re.sub(r"<nav.*?</nav>", "", neighbour.get("/dashboard/exports").text, flags=re.DOTALL).split("<h1>")[1]
    )
    assert {entry.action for entry in log_of(here, tenant.id)} >= {"export.download"}
    assert sum(entry.action == "export.download" for entry in log_of(here, tenant.id)) == 1


def test_the_sandbox_has_exports_of_its_own(here, tenant, history, browser):
    ask(browser, mode="?mode=test")
    export = make(here, tenant.sandbox_id)

    assert of(here, tenant.id) == []
    assert "-test-" in export.file_name
    assert file_of(browser, export, "?mode=test").text.count("\n") == 1  # nothing has happened there
    assert file_of(browser, export).status == 404


def test_an_expired_file_is_not_there(here, tenant, history, browser):
    ask(browser)
    export = make(here, tenant.id)
    with here.database.transaction(tenant.id) as session:
        session.execute(update(Export).values(expires_at=datetime.now(UTC) - timedelta(seconds=1)))

    assert file_of(browser, export).status == 404
    assert "No exports yet" in browser.get("/dashboard/exports").text


def test_a_file_that_somebody_has_removed_is_told_and_asked_for_again(here, tenant, history, browser):
    ask(browser)
    export = make(here, tenant.id)
    (here.settings.exports_folder / str(tenant.id) / f"{export.id}.csv").unlink()
    page = file_of(browser, export)

    assert page.status == 404
    assert "ask for it again" in page.text


def test_a_download_goes_on_where_it_broke_off(here, tenant, history, browser):
    ask(browser)
    export = make(here, tenant.id)
    whole = file_of(browser, export).response.data
    rest = browser.get(f"/dashboard/exports/{export.id}/file", headers={"Range": "bytes=100-"})

    assert rest.status == 206
    assert rest.response.data == whole[100:]


def test_downloads_hold_nothing_when_they_are_over(here, tenant, history, browser):
    ask(browser)
    export = make(here, tenant.id)
    for _ in range(5):
        assert file_of(browser, export).status == 200
        assert browser._open(f"/dashboard/exports/{export.id}/file", method="HEAD").status == 200


@pytest.mark.parametrize(
    ("kind", "query", "said"),
    [
        ("ledger", "type=nonsense", "Must be one of award"),
        ("ledger", "from=yesterday", "Must be a day"),
        ("roll-forward", "by=nonsense", "Must be one of tenant"),
        ("nonsense", "", "Must be one of roll-forward"),
        ("ledger", "x=" + "y" * 9_000, "at most 8000 characters"),
    ],
)
def test_what_cannot_be_is_told_before_and_after_it_is_asked_for(here, tenant, browser, kind, query, said):
    for page in (browser.get(f"/dashboard/exports/ask?kind={kind}&query={quote(query)}"), ask(browser, kind=kind, query=query)):
        assert page.status == 422
        assert said in page.text
    assert of(here, tenant.id) == []


def test_parquet_is_offered_where_it_is_installed_and_refused_where_not(here, tenant, browser, monkeypatch):
    assert 'value="parquet"' in browser.get("/dashboard/exports/ask?kind=ledger").text
    monkeypatch.setitem(sys.modules, "pyarrow", None)  # as if it could not be found

    assert 'value="parquet"' not in browser.get("/dashboard/exports/ask?kind=ledger").text
    page = ask(browser, format="parquet")
    assert page.status == 422
    assert "Needs gamify[parquet], which is not installed here." in page.text
    assert of(here, tenant.id) == []


def test_too_many_at_once_are_refused_with_a_sentence(here, tenant, browser):
    for _ in range(exports.MOST_UNDER_WAY):
        ask(browser)
    page = ask(browser)

    assert page.status == 409
    assert "10 exports are under way already" in page.text


def save(here, tenant_id, name="Umsätze 日本"):
    with here.database.transaction(tenant_id) as session:
        made = SavedReport(tenant_id=tenant_id, name=name, kind="roll-forward", query="period=yesterday", saved_by="ana")
        session.add(made)
        session.flush()
        return made.id


def schedules_of(here, tenant_id):
    with here.database.transaction(tenant_id) as session:
        return list(session.scalars(select(ReportSchedule).where(ReportSchedule.tenant_id == tenant_id)))


def test_a_saved_report_is_sent_changed_and_sent_no_longer(here, tenant, browser):
    assert "There is no saved report yet" in browser.get("/dashboard/schedules/new").text
    report_id = save(here, tenant.id)
    user = new_user(here, tenant.slug)
    form = {"report": str(report_id), "format": "xlsx", "rhythm": "weekly", "weekday": "4", "day": "1", "hour": "9"}
    assert user.email in browser.get("/dashboard/schedules/new").text

    refused = browser.post("/dashboard/schedules", form)
    assert refused.status == 422
    assert "Choose somebody to send it to." in refused.text
    assert 'value="4" selected' in re.sub(r"\s+", " ", refused.text)

    assert browser.post("/dashboard/schedules", form | {"recipients": str(user.id)}).status == 303
    page = browser.get("/dashboard/exports").text
    assert "Every Friday at 09:00" in page
    assert "There is no mail server" in page
    [made] = schedules_of(here, tenant.id)
    assert made.page == "http://localhost/dashboard/exports"
    assert f'value="{user.id}" checked' in re.sub(r"\s+", " ", browser.get(f"/dashboard/schedules/{made.id}/edit").text)

    changed = form | {"recipients": str(user.id), "rhythm": "monthly", "day": "31"}
    assert browser.post(f"/dashboard/schedules/{made.id}", changed).status == 303
    assert "On day 31 of each month at 09:00" in browser.get("/dashboard/exports").text
    assert browser.post(f"/dashboard/schedules/{made.id}/remove").status == 303
    assert schedules_of(here, tenant.id) == []


def test_an_analyst_changes_no_schedule_of_somebody_else(here, tenant, browser, analyst):
    user = new_user(here, tenant.slug)
    form = {"report": str(save(here, tenant.id)), "format": "csv", "rhythm": "daily", "hour": "7", "recipients": str(user.id)}
    browser.post("/dashboard/schedules", form)
    [made] = schedules_of(here, tenant.id)

    assert analyst.get(f"/dashboard/schedules/{made.id}/edit").status == 403
    for path in ("", "/remove", "/resume"):
        assert analyst.post(f"/dashboard/schedules/{made.id}{path}", form).status == 403
    assert f"/schedules/{made.id}/" not in analyst.get("/dashboard/exports").text


def test_a_schedule_that_is_paused_says_why_and_goes_on(here, tenant, browser):
    user = new_user(here, tenant.slug)
    form = {"report": str(save(here, tenant.id)), "format": "csv", "rhythm": "daily", "hour": "7", "recipients": str(user.id)}
    browser.post("/dashboard/schedules", form)
    [made] = schedules_of(here, tenant.id)
    with here.database.transaction(tenant.id) as session:
        paused = update(ReportSchedule).values(paused_at=BASE, failure_count=3, error="The folder cannot be written to.")
        session.execute(paused)
    page = browser.get("/dashboard/exports").text
    assert "after 3 failures" in page
    assert "The folder cannot be written to." in page

    assert browser.post(f"/dashboard/schedules/{made.id}/resume").status == 303
    assert schedules_of(here, tenant.id)[0].paused_at is None
    assert browser.post(f"/dashboard/schedules/{made.id}/resume").status == 409


@pytest.mark.parametrize("field", ["report", "hour", "weekday", "day"])
@pytest.mark.parametrize("value", ["x", "-1", "1.5", "\u0661", "9" * 40])
def test_what_is_no_number_is_told_at_its_field(here, tenant, browser, field, value):
    form = {"report": str(save(here, tenant.id)), "format": "csv", "rhythm": "weekly", "weekday": "0", "hour": "7"}
    page = browser.post("/dashboard/schedules", form | {field: value})

    assert page.status == 422
    assert "Must be a whole number." in page.text


def test_a_saved_reports_file_has_a_name_in_every_language(here, tenant, history, browser):
    user = new_user(here, tenant.slug)
    form = {"report": str(save(here, tenant.id)), "format": "csv", "rhythm": "daily", "hour": "7", "recipients": str(user.id)}
    browser.post("/dashboard/schedules", form)
    [made] = schedules_of(here, tenant.id)
    schedules.begin_due(here.database, tenant.id, now=made.next_at)
    answer = file_of(browser, make(here, tenant.id)).response

    disposition = answer.headers["Content-Disposition"]
    assert disposition.startswith("attachment; filename=\"file.csv\"; filename*=UTF-8''Ums%C3%A4tze%20%E6%97%A5%E6%9C%AC%20")
    assert "sent by mail" in browser.get("/dashboard/exports").text


def test_days_are_those_of_the_tenants_zone(here, tenant, history, browser):
    with here.database.transaction() as session:
        tenants.set_profile(session, tenant.slug, name="Shop", time_zone="Asia/Tokyo", actor=SYSTEM)
    ask(browser, kind="roll-forward", query="from=2026-02-14&to=2026-02-14")
    export = make(here, tenant.id)
    rows = list(csv.DictReader(io.StringIO(file_of(browser, export).text)))

    assert export.wanted["zone"] == "Asia/Tokyo"
    assert sum(int(row["awarded"]) for row in rows) == sum(event.points for event in history)  # until 19:11 there
