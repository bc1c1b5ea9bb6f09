"""The page for developers: samples that run, a key that is nowhere but in them, the last requests, and what errors mean."""

import ast
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest
from gamify.app import create_app
from gamify.services import api_keys, tenants

from dashboard import samples
from dashboard.problems import PROBLEMS
from tests import secrets_issued
from tests.harness import BASE, Api, TenantUnderTest, free_port, new_tenant
from tests.people import Browser, Page, log_of, new_user

DEVELOPERS = "/dashboard/developers"
SECRET = re.compile(r"gk_test_\w{38}")
SAMPLE = re.compile(r"<pre tabindex=\"0\"><code>(.*?)</code></pre>", re.DOTALL)
ROW = re.compile(r"<tr>\s*<td>\s*<span class=\"badge \w+\">(\d+)</span>.*?</tr>", re.DOTALL)
SAMPLE_COUNT = len(samples.OPERATIONS) * len(samples.LANGUAGES)


def signed_in(app, tenant: TenantUnderTest, role: str = "admin") -> Browser:
    browser = Browser(app)
    browser.sign_in(new_user(tenant.here, tenant.slug, role=role).email)
    return browser


@pytest.fixture
def admin(app, tenant) -> Browser:
    return signed_in(app, tenant)


@pytest.fixture
def analyst(app, tenant) -> Browser:
    return signed_in(app, tenant, "analyst")


def issue(browser: Browser, **kwargs) -> tuple[Page, str]:
    page = browser.post(f"{DEVELOPERS}/key", **kwargs)
    assert page.status == 200
    secret = SECRET.findall(page.text)[0]
    secrets_issued.note(secret)
    return page, secret


def for_htmx(target: str) -> dict[str, str]:
    return {"HX-Request": "true", "HX-Target": target}


def shown(browser: Browser, query: str = "", **kwargs) -> list[str]:
    """The rows of the last requests, once what was noted has been delivered."""
    browser.client.application.extensions["gamify"].request_log.deliver()
    text = browser.get(f"{DEVELOPERS}{query}", **kwargs).text
    return [row[0] for row in ROW.finditer(text)]


def test_an_analyst_sees_samples_with_a_word_in_the_place_of_a_key(analyst):
    text = analyst.get(DEVELOPERS).text

    assert len(SAMPLE.findall(text)) == SAMPLE_COUNT
    assert all("YOUR_API_KEY" in sample for sample in SAMPLE.findall(text))
    assert "Issue a test key" not in text
    assert analyst.post(f"{DEVELOPERS}/key").status == 403


def test_an_issued_key_is_in_every_sample_and_nowhere_else(admin, tenant):
    page, secret = issue(admin)

    found = SAMPLE.findall(page.text)
    assert len(found) == SAMPLE_COUNT
    assert all(secret in sample for sample in found)
    assert "YOUR_API_KEY" not in "".join(found)
    assert page.headers["Cache-Control"] == "no-store"
    assert not any(secret in str(value) for value in dict(page.headers).values())
    for path in (DEVELOPERS, "/dashboard/keys", "/dashboard/audit?mode=test", "/dashboard/audit.csv?mode=test"):
        text = admin.get(path).text
        assert secret[:16] in text or path == DEVELOPERS
        assert secret not in text
    assert not any(secret in line for line in secrets_issued.lines)
    said = [str((entry.subject, entry.before, entry.after)) for entry in log_of(tenant.here, tenant.sandbox_id)]
    assert not any(secret in each for each in said)


def test_htmx_puts_the_key_into_the_samples_and_the_address_stays(admin):
    page, secret = issue(admin, headers=for_htmx("div#samples"))

    assert "<html" not in page.text
    assert len(SAMPLE.findall(page.text)) == page.text.count("<pre") == SAMPLE_COUNT
    assert secret in page.text
    assert "HX-Push-Url" not in page.headers
    assert page.headers["Cache-Control"] == "no-store"


def test_an_issued_key_works_on_the_sandbox_for_a_week(admin, api, tenant, here):
    key = api.with_key(issue(admin)[1])

    assert key.award("p", 5).status == 200
    assert api.points("p").status == 404
    with here.database.transaction() as session:
        [*_, made] = api_keys.of_tenant(session, tenants.get(session, tenant.slug, mode="test"))
    assert made.name.startswith("Developers page (someone-")
    assert set(made.scopes) == {"points:read", "points:write", "participants:read", "tiers:read", "reports:read"}
    assert timedelta(days=6, hours=23) < made.expires_at - datetime.now(UTC) <= timedelta(days=7)


def test_the_key_is_the_sandboxs_whichever_mode_the_page_is_in(admin, api):
    page = admin.post(f"{DEVELOPERS}/key?mode=test")

    assert api.with_key(SECRET.findall(page.text)[0]).award("p", 1).status == 200


def run(language: str, text: str) -> dict:
    command = {
        "curl": ["/bin/sh", "-c", text.replace("curl ", "curl -sS ", 1)],
        "python": [sys.executable, "-c", text],
        "javascript": [
            "node",
            "--input-type=module",
            "-e",
            text.replace("answer.status, await answer.json()", "JSON.stringify(await answer.json())"),
        ],
    }[language]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    if language == "python":
        printed: dict = ast.literal_eval(done.stdout)
        return printed
    answer: dict = json.loads(done.stdout)
    return answer


@pytest.mark.parametrize("language", samples.LANGUAGES)
def test_every_sample_runs_as_it_stands(server, tenant, language):
    if not shutil.which({"python": sys.executable, "javascript": "node"}.get(language, language)):
        pytest.skip(f"there is no {language} here")
    written = {each.name: texts[language] for each, texts in samples.written(f"{server.url}/api/v1/gamify", tenant.test_key)}

    assert run(language, written["award"])["new_balance"] == 100
    deducted = run(language, written["deduct"])
    assert deducted["new_balance"] == 70
    assert run(language, written["batch"])["processed"] == 2
    assert run(language, written["balance"])["balance"] == 90
    assert run(language, written["history"])["total"] == 3
    reverse = written["reverse"].replace("TRANSACTION_ID", deducted["transaction_id"])
    assert run(language, reverse)["new_balance"] == 120
    assert run(language, written["tier"])["current"]["code"] == "bronze"
    assert [tier["code"] for tier in run(language, written["tiers"])["tiers"]] == ["bronze", "silver", "gold"]
    assert {each["participant_id"] for each in run(language, written["participants"])["participants"]} == {"user_123", "user_456"}
    assert run(language, written["roll-forward"])["rows"][-1]["closing"] == 170


def test_samples_are_for_the_address_that_the_page_was_asked_for(admin):
    text = unescape(admin.get(DEVELOPERS).text)

    assert "curl 'http://localhost/api/v1/gamify/points/award'" in text


def test_the_last_requests_are_those_of_the_tenants_keys_in_the_mode(admin, api, tenant):
    other = new_tenant(tenant.here)
    api.request("GET", f"{BASE}/mine")
    api.with_key(tenant.test_key).award("tried", 1)
    api.with_key(other.key).request("GET", f"{BASE}/of-another")

    [live], [test] = shown(admin), shown(admin, "?mode=test")

    assert f"{BASE}/mine" in live
    assert "points/award" in test
    assert "of-another" not in live + test


def test_requests_are_filtered_by_status_and_key(admin, api, tenant):
    reader = tenant.issue("points:read")
    api.award("p", 1)
    api.with_key(reader).award("p", 1)
    api.with_key(reader).points("p")

    def statuses(query: str) -> list[str]:
        return [re.search(r">(\d+)<", row)[1] for row in shown(admin, query)]

    assert statuses("") == ["200", "403", "200"]
    assert statuses("?status=4") == ["403"]
    assert statuses("?status=5") == []
    assert statuses(f"?key={reader[:16]}") == ["200", "403"]
    assert statuses(f"?key={reader[:16]}&status=2") == ["200"]
    assert statuses("?status=x&key=nobody") == ["200", "403", "200"]
    assert "No request with such a status" in admin.get(f"{DEVELOPERS}?status=5").text


def test_a_key_of_another_tenant_shows_nothing_of_it(admin, api, tenant):
    other = new_tenant(tenant.here)
    api.with_key(other.key).points("of-another")

    assert shown(admin, f"?key={other.key[:16]}") == []


def test_the_requests_refresh_by_themselves_alone(admin, api):
    api.points("mine")
    rows = shown(admin, "?status=4", headers=for_htmx("div#requests"))
    text = admin.get(f"{DEVELOPERS}?status=4", headers=for_htmx("div#requests")).text

    assert len(rows) == 1
    assert text.lstrip().startswith('<div id="requests"')
    assert 'hx-trigger="every 5s"' in text
    assert f'hx-get="{DEVELOPERS}?status=4"' in text
    assert "<pre" not in text


def test_what_a_client_puts_into_a_path_is_text(admin, api):
    api.request("GET", f"{BASE}/<script>alert(1)</script>")

    [row] = shown(admin)
    assert "<script" not in row
    assert "&lt;script&gt;" in row


def test_without_redis_the_page_says_so_and_all_else_is_there(settings, tenant):
    app = create_app(replace(settings, redis_url=f"redis://127.0.0.1:{free_port()}/0"))
    page = signed_in(app, tenant).get(DEVELOPERS)
    app.extensions["gamify"].counters.is_reachable = lambda: True  # lets the thread that waits for Redis go
    app.extensions["gamify"].close()

    assert page.status == 200
    assert "The requests cannot be read at the moment" in page.text
    assert len(SAMPLE.findall(page.text)) == SAMPLE_COUNT


def test_before_the_first_request_the_page_tells_what_to_do(admin):
    assert "Run one of the samples above" in admin.get(DEVELOPERS).text


def test_errors_are_explained_here_and_in_the_documentation(admin, api: Api):
    here, docs = admin.get(DEVELOPERS).text, api.request("GET", "/docs").body.decode()

    for problem in PROBLEMS:
        assert f'id="problem-{problem.code}"' in here
        assert f'id="problem-{problem.code}"' in docs


def test_every_language_can_be_chosen_without_a_script(admin):
    text = admin.get(DEVELOPERS).text

    for language in samples.LANGUAGES:
        assert f'id="in-{language}"' in text
        assert text.count(f'<div class="in-{language}">') == len(samples.OPERATIONS)
