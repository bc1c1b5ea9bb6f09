"""The operators' page: how many, how busy, and nothing of what is in tenants."""

import csv
import io
import re

import pytest

from dashboard.views.tenants import PAGE
from tests.harness import item, new_tenant
from tests.people import Browser, log_of, new_user

TENANTS = "/dashboard/tenants"


@pytest.fixture
def operator(app, here) -> Browser:
    browser = Browser(app)
    browser.sign_in(new_user(here).email)
    return browser


def rows(text: str) -> list[list[str]]:
    """The cells of each row of the page's table, without markup."""
    body = text.partition("<tbody>")[2].partition("</tbody>")[0]
    cells = [re.findall(r"<td.*?</td>", row, re.DOTALL) for row in re.findall(r"<tr>.*?</tr>", body, re.DOTALL)]
    return [[" ".join(re.sub(r"<[^>]+>", " ", cell).split()) for cell in row] for row in cells]


def table(browser: Browser, query: str) -> list[dict[str, str]]:
    page = browser.get(f"{TENANTS}.csv?{query}")
    assert (page.status, page.headers["Content-Type"]) == (200, "text/csv; charset=utf-8")
    assert "attachment" in page.headers["Content-Disposition"]
    return list(csv.DictReader(io.StringIO(page.text)))


def test_a_tenants_size_is_shown_live_and_sandbox_apart(operator, tenant, api):
    api.batch([item("ana", 5), item("ben", 5), item("ben", 1)])
    api.with_key(tenant.test_key).award("tried", 1)

    live, sandbox = rows(operator.get(f"{TENANTS}?q={tenant.slug}").text)

    assert live[0].startswith(tenant.slug)
    assert [live[1], *live[2:4]] == ["Active", "2", "3"]
    assert live[5].startswith("3 0 in ")
    assert [sandbox[0], *sandbox[2:4]] == [f"Sandbox of {tenant.slug}", "1", "1"]


def test_the_file_says_the_same_month_by_month(operator, tenant, api, owner):
    api.batch([item("ana", 5), item("ben", 5)])
    owner.execute("INSERT INTO request_months VALUES (%s, date_trunc('month', now() AT TIME ZONE 'UTC'), 7)", [tenant.id])

    live, sandbox = table(operator, f"q={tenant.slug}")

    assert [live[name] for name in ("tenant", "mode", "status", "participants", "entries")] == [
        tenant.slug,
        "live",
        "active",
        "2",
        "2",
    ]
    months = [name for name in live if name.startswith("requests 2")]
    assert len(months) == 12
    assert (live[months[0]], live[months[0].replace("requests", "movements")]) == ("7", "2")
    assert (sandbox["mode"], sandbox["participants"], sandbox[months[0]]) == ("sandbox", "0", "0")


def test_no_participants_data_reaches_operators(operator, tenant, api):
    api.award("ana-the-participant", 5, reason="a secret reason")

    for path in (TENANTS, f"{TENANTS}?q={tenant.slug}", f"{TENANTS}.csv?q={tenant.slug}"):
        text = operator.get(path).text
        assert "ana-the-participant" not in text
        assert "a secret reason" not in text


@pytest.mark.parametrize("role", ["admin", "analyst"])
@pytest.mark.parametrize("path", ["", ".csv", "/none/limits", "/none/suspend"])
def test_nobody_of_a_tenant_sees_the_tenants(app, here, tenant, role, path):
    browser = Browser(app)
    browser.sign_in(new_user(here, tenant.slug, role=role).email)

    assert browser.get(TENANTS + path).status == 403


def test_a_long_list_comes_page_by_page_and_none_is_lost(operator, here):
    made = {new_tenant(here).slug for _ in range(PAGE + 2)}
    prefix = next(iter(made)).rpartition("-")[0]
    path, seen, pages = f"{TENANTS}?q={prefix}", [], 0
    while path:
        text = operator.get(path).text
        seen += re.findall(r"<strong>([\w-]+)</strong>", text)
        pages += 1
        link = re.search(r'href="([^"]*)"\s+rel="next"', text)
        path = link[1].replace("&amp;", "&") if link else ""

    assert pages > 1
    assert made <= set(seen)
    assert len(seen) == len(set(seen))


def test_a_search_for_nobody_says_so(operator):
    assert "No tenant is called so" in operator.get(f"{TENANTS}?q=%25no-such-tenant%00").text


def test_a_search_by_htmx_answers_with_the_list_alone(operator, tenant):
    page = operator.get(f"{TENANTS}?q={tenant.slug}", headers={"HX-Request": "true", "HX-Target": "div#tenants"})

    assert page.text.lstrip().startswith('<div class="stack" id="tenants">')
    assert "<html" not in page.text
    assert tenant.slug in page.text


def test_limits_of_live_and_sandbox_are_set_and_work_at_once(operator, tenant, api, here):
    limited = api.with_key(tenant.issue("points:read", rate_limit=1000))
    assert limited.points("p").headers["X-RateLimit-Limit"] == "1000"
    operator.get(f"{TENANTS}/{tenant.slug}/limits")
    page = operator.post(f"{TENANTS}/{tenant.slug}/limits", {"live": "7", "test": "5000"})

    assert page.to == TENANTS
    assert limited.points("p").headers["X-RateLimit-Limit"] == "7"
    changes = [(each.subject, each.after) for each in log_of(here, None) if each.action == "tenant.set_rate_limit"]
    assert [each for each in changes if each[0].startswith(f"{tenant.slug} ")] == [(f"{tenant.slug} (live)", {"rate_limit": 7})]


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"live": "many", "test": "1"}, "live"),
        ({"live": "1", "test": "-1"}, "test"),
        ({"live": "9" * 16, "test": "1"}, "live"),
        ({"live": "", "test": "1"}, "live"),
    ],
)
def test_limits_that_cannot_be_are_told_at_their_field_and_nothing_changes(operator, tenant, here, wanted, field):
    page = operator.post(f"{TENANTS}/{tenant.slug}/limits", wanted)

    assert (page.status, f'id="limit-{field}-error"' in page.text) == (422, True)
    assert not [each for each in log_of(here, tenant.id) if each.action == "tenant.set_rate_limit"]


def test_suspending_asks_for_the_very_tenant_first(operator, tenant, api):
    page = operator.get(f"{TENANTS}/{tenant.slug}/suspend")

    assert f"Suspend {tenant.slug}?" in page.text
    assert f'action="{TENANTS}/{tenant.slug}/suspend"' in page.text
    assert api.award("p", 1).status == 200


@pytest.mark.parametrize("question", ["suspend", "limits"])
@pytest.mark.parametrize("slug", ["nobody", "%00", "NO"])
def test_questions_about_nobody_lead_nowhere(operator, question, slug):
    assert operator.get(f"{TENANTS}/{slug}/{question}").status == 404


def test_a_name_is_no_formula_in_the_file(operator, tenant, owner):
    owner.execute("UPDATE tenants SET name = '=1+1' WHERE slug = %s", [tenant.slug])

    assert [row["name"] for row in table(operator, f"q={tenant.slug}")] == ["'=1+1", "'=1+1"]
