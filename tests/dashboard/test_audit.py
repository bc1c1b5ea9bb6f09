"""The audit logs as pages: who sees which, filtered, page by page, and as a file."""

import csv
import io
import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from gamify.deployment import Deployment
from gamify.services import audit
from gamify.services.audit import Actor, Filter

from tests.harness import TenantUnderTest, new_tenant
from tests.people import Browser, log_of, new_user

OWN, OF_PLATFORM = "/dashboard/audit", "/dashboard/platform-audit"
BO = Actor("user", "bo@shop.example", 7, "203.0.113.9")
ROW = re.compile(r"<tr>\s*<td[^>]*>\s*<time.*?</tr>", re.DOTALL)


@pytest.fixture
def admin(app, here: Deployment, tenant: TenantUnderTest) -> Browser:
    browser = Browser(app)
    browser.sign_in(new_user(here, tenant.slug).email)
    return browser


@pytest.fixture
def operator(app, here: Deployment) -> Browser:
    browser = Browser(app)
    browser.sign_in(new_user(here).email)
    return browser


def write(here: Deployment, tenant_id: int, *actions: str, subject: str = "x", actor: Actor = BO) -> None:
    with here.database.transaction() as session:
        for action in actions:
            audit.record(session, tenant_id, actor, action=action, subject=subject, before={"n": 1}, after={"n": 2})


def shown(browser: Browser, path: str) -> list[str]:
    """The rows of a page."""
    page = browser.get(path)
    assert page.status == 200
    return ROW.findall(page.text)


def table(browser: Browser, path: str) -> list[dict[str, str]]:
    page = browser.get(path)
    assert (page.status, page.headers["Content-Type"]) == (200, "text/csv; charset=utf-8")
    assert "attachment" in page.headers["Content-Disposition"]
    return list(csv.DictReader(io.StringIO(page.text)))


def test_an_admin_sees_who_changed_what_of_the_tenant(here, tenant, admin):
    write(here, tenant.id, "a.b")

    [row] = shown(admin, f"{OWN}?action=a")

    for part in ("bo@shop.example (user)", "203.0.113.9", "a.b", "<dt>n</dt>", "<del>1</del>", "<ins>2</ins>"):
        assert part in row


def test_nobody_sees_another_tenants_log(here, tenant, admin):
    other = new_tenant(here)
    write(here, other.id, "a.b", subject="of the other")

    assert shown(admin, f"{OWN}?action=a") == []
    assert table(admin, f"{OWN}.csv?action=a") == []
    with here.database.transaction(other.id) as session:
        [foreign] = audit.search(session, other.id, Filter(action="a"), limit=1)
    assert "of the other" not in admin.get(f"{OWN}?before={foreign.id}").text


@pytest.mark.parametrize("file", ["", ".csv"])
def test_the_platforms_log_is_the_operators_alone(app, tenant, admin, operator, file):
    analyst = Browser(app)
    analyst.sign_in(new_user(tenant.here, tenant.slug, role="analyst").email)

    assert operator.get(OF_PLATFORM + file).status == 200
    assert f"{tenant.slug} (live)" in operator.get(f"{OF_PLATFORM}{file}?action=tenant.create").text
    assert operator.get(OWN + file).status == 403
    assert admin.get(OF_PLATFORM + file).status == 403
    assert analyst.get(OWN + file).status == analyst.get(OF_PLATFORM + file).status == 403
    assert Browser(app).get(OWN + file).status == 302


def test_entries_are_filtered_by_actor_kind_and_dates(here, tenant, admin):
    write(here, tenant.id, "a.b", "a.c", "aa.b")
    write(here, tenant.id, "a.d", actor=Actor("key", "gk_live_12345678"))

    def actions(query: str) -> list[str]:
        rows = [row["action"] for row in table(admin, f"{OWN}.csv?{query}")]
        assert len(shown(admin, f"{OWN}?{query}")) == len(rows)
        return rows

    assert actions("action=a") == ["a.d", "a.c", "a.b"]
    assert actions("action=a.c") == ["a.c"]
    assert actions("actor=bo@shop.example") == ["aa.b", "a.c", "a.b"]
    assert actions("actor=gk_live_12345678&action=a") == ["a.d"]
    assert actions("action=a&to=2026-01-01") == actions("action=a&from=2100-01-01") == []
    today = datetime.now(UTC).date().isoformat()
    assert len(actions(f"action=a&to={today}")) == 3 or datetime.now(UTC).date().isoformat() != today


def test_the_sandbox_has_a_log_of_its_own(here, tenant, admin):
    write(here, tenant.sandbox_id, "a.b")

    assert shown(admin, f"{OWN}?action=a") == []
    assert len(shown(admin, f"{OWN}?action=a&mode=test")) == len(table(admin, f"{OWN}.csv?action=a&mode=test")) == 1


def test_older_entries_are_a_link_away_and_none_is_lost(here, tenant, admin):
    write(here, tenant.id, *(f"a.n{n}" for n in range(120)))
    path, seen = f"{OWN}?action=a&mode=live", []
    while path:
        page = admin.get(path).text
        seen += re.findall(r"<td>a\.n(\d+)</td>", page)
        link = re.search(r'href="([^"]*)"\s+rel="next"', page)
        path = link[1].replace("&amp;", "&") if link else ""

    assert seen == [str(n) for n in reversed(range(120))]
    assert len(table(admin, f"{OWN}.csv?action=a")) == 120


def test_a_file_has_no_formulas_and_a_page_no_markup_of_others(here, tenant, admin):
    write(here, tenant.id, "a.b", subject="=HYPERLINK(1)", actor=Actor("user", "@SUM(1)"))
    write(here, tenant.id, "b.b", subject="<script>alert(1)</script>")

    [row] = table(admin, f"{OWN}.csv?action=a")
    assert (row["actor"], row["subject"]) == ("'@SUM(1)", "'=HYPERLINK(1)")
    assert "<script>alert" not in admin.get(f"{OWN}?action=b").text


@pytest.mark.parametrize("query", ["from=yesterday", "to=2026-13-01", "actor=%00", "action=a%00"])
def test_a_filter_that_cannot_be_is_told_beside_the_form(admin, query):
    page = admin.get(f"{OWN}?{query}")

    assert page.status == 422
    assert f"{query.partition('=')[0]}: " in page.text
    assert admin.get(f"{OWN}.csv?{query}").status == 422


@pytest.mark.parametrize("query", ["before=x", "action=%25", "actor='", "mode=x", "page=2", "action=%F0%9F%A6%84"])
def test_whatever_is_asked_is_no_fault(admin, query):
    assert admin.get(f"{OWN}?{query}").status == 200


def test_days_are_those_of_the_tenants_zone(here, owner, tenant, admin):
    owner.execute("UPDATE tenants SET time_zone = 'Pacific/Kiritimati' WHERE slug = %s", [tenant.slug])
    write(here, tenant.id, "a.b")
    [at] = [entry.at for entry in log_of(here, tenant.id) if entry.action == "a.b"]
    day = f"{at.astimezone(ZoneInfo('Pacific/Kiritimati')).date()}"

    assert len(shown(admin, f"{OWN}?action=a&from={day}&to={day}")) == 1
    assert f"{at.astimezone(ZoneInfo('Pacific/Kiritimati')):%Y-%m-%d %H:%M}" in admin.get(f"{OWN}?action=a").text


def test_a_filter_by_htmx_answers_with_the_entries_alone(here, tenant, admin):
    write(here, tenant.id, "a.b")
    page = admin.get(f"{OWN}?action=a", headers={"HX-Request": "true", "HX-Target": "div#entries"})

    assert page.text.lstrip().startswith('<div class="stack" id="entries">')
    assert "<html" not in page.text
    assert "a.b" in page.text


def test_only_what_has_become_different_is_told(here, tenant, admin):
    with here.database.transaction() as session:
        values = {"before": {"same": "as it was", "old": [1]}, "after": {"same": "as it was", "new": None, "on": True}}
        audit.record(session, tenant.id, BO, action="a.b", subject="x", **values)

    [row] = shown(admin, f"{OWN}?action=a")
    assert "as it was" not in row
    assert "<del>1</del>" in row
    assert "<ins>yes</ins>" in row
