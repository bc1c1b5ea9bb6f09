"""Details of participants, as people of a tenant see, edit and erase them."""

import csv
import html
import io
from urllib.parse import quote

import pytest

from tests.harness import BASE, Api
from tests.people import Browser, log_of, new_user

LIST = "/dashboard/participants"


@pytest.fixture
def browser(app, here, tenant) -> Browser:
    return signed_in(app, here, tenant, "admin")


def signed_in(app, here, tenant, role: str) -> Browser:
    made = Browser(app)
    assert made.sign_in(new_user(here, tenant.slug, role=role).email).status == 303
    return made


def register(api: Api, pid: str, **said) -> None:
    assert api.request("POST", f"{BASE}/participants", body={"participant_id": pid, **said}).status == 200


def shown(api: Api, pid: str):
    return api.request("GET", f"{BASE}/participants/{quote(pid, safe='')}").json


def edit(browser: Browser, pid: str, **form: str):
    return browser.post(f"/dashboard/details?participant={quote(pid, safe='')}", form)


def erase(browser: Browser, pid: str, typed: str):
    return browser.post(f"/dashboard/erase?participant={quote(pid, safe='')}", {"typed": typed})


def test_a_name_is_seen_in_the_list_and_on_the_page_and_finds(browser, api):
    register(api, "user_1", display_name="Zoë <b>Lee</b>")
    register(api, "user_2")

    found, page = browser.get(f"{LIST}?q=lee").text, browser.get(f"{LIST}/user_1").text

    for text in (found, page):
        assert "Zoë &lt;b&gt;Lee&lt;/b&gt;" in text
        assert "never" in text
    assert "user_2" not in found


def test_the_file_has_names_and_no_time_for_who_never_moved(browser, api):
    register(api, "user_1", display_name="=1+1")
    api.award("user_2", 5)

    rows = list(csv.DictReader(io.StringIO(browser.get(f"{LIST}.csv?sort=id").text)))

    assert [(row["participant_id"], row["display_name"]) for row in rows] == [("user_1", "'=1+1"), ("user_2", "")]
    assert [bool(row["last_entry_at"]) for row in rows] == [False, True]


@pytest.mark.parametrize("pid", ["ann", "a/points", "a\nb", " a ", "<script>"])
def test_details_are_edited_whatever_the_id(browser, api, pid, here, tenant):
    api.award(pid, 5)
    page = edit(browser, pid, display_name=" Ann ", attributes='{"a": [1, true]}')
    assert page.status == 303

    form = browser.get(f"/dashboard/details?participant={quote(pid, safe='')}").text
    assert 'value="Ann"' in form
    assert '"a": [\n    1,\n    true\n  ]' in html.unescape(form)
    assert [entry.after for entry in log_of(here, tenant.id) if entry.action == "participant.edit"] == [
        {"changed": ["attributes", "display_name"]}
    ]

    assert edit(browser, pid, display_name="", attributes="").status == 303
    [person] = api.request("GET", f"{BASE}/participants?participant_id={quote(pid, safe='')}").json["participants"]
    assert (person["display_name"], person["attributes"]) == (None, {})


@pytest.mark.parametrize(
    ("form", "says"),
    [
        ({"display_name": "x" * 201}, "Must have 1 to 200 characters."),
        ({"attributes": "plan: pro"}, "Must be a JSON object"),
        ({"attributes": "[1]"}, "Must be a JSON object"),
        ({"attributes": "[" * 100_000}, "Must be a JSON object"),
        ({"attributes": '{"a": 1e999}'}, "Has a number that is too large."),
        ({"attributes": '{"a": NaN}'}, "Has a number that is too large."),
        ({"attributes": '{"a": "\\u0000"}'}, "Must be Unicode text"),
    ],
)
def test_what_cannot_be_kept_stays_in_the_form_with_the_reason(browser, api, form, says):
    register(api, "ann", display_name="Ann")
    page = edit(browser, "ann", **({"display_name": "Anne", "attributes": ""} | form))

    assert page.status == 422
    assert says in html.unescape(page.text)
    assert shown(api, "ann")["display_name"] == "Ann"


def test_somebody_is_erased_once_their_id_is_typed(browser, api, here, tenant):
    api.award("ann@mail", 700, reason="for Ann")
    asked = browser.get("/dashboard/erase?participant=ann@mail").text
    assert "700 points" in asked
    assert "What stays" in asked

    refused = erase(browser, "ann@mail", "ann")
    assert (refused.status, "nothing was erased" in refused.text) == (422, True)
    assert api.balance("ann@mail") == 700

    assert erase(browser, "ann@mail", " ann@mail").status == 303
    assert api.points("ann@mail").status == 404
    assert "Erased participant" in browser.get(LIST).text
    [entry] = [entry for entry in log_of(here, tenant.id) if entry.action == "participant.erase"]
    assert (entry.actor_kind, entry.before) == ("user", {"entries": 1, "balance": 700})

    [left] = api.request("GET", f"{BASE}/participants").json["participants"]
    page = browser.get(f"{LIST}/{left['participant_id']}").text
    assert "Erased participant" in page
    assert "Edit details" not in page
    for path in ("details", "erase"):
        assert browser.get(f"/dashboard/{path}?participant={left['participant_id']}").status == 404


@pytest.mark.parametrize("pid", ["a\nb", "a  b", "a/points", "\u200b"])
def test_any_id_can_be_typed(browser, api, pid):
    api.award(pid, 5)

    assert erase(browser, pid, pid.replace("\n", " ")).status == 303
    assert api.points(pid).status == 404


@pytest.mark.parametrize("pid", ["nobody", "", "%00"])
def test_who_is_unknown_is_not_found(browser, pid):
    for path in ("details", "erase"):
        assert browser.get(f"/dashboard/{path}?participant={pid}").status == 404
        assert browser.post(f"/dashboard/{path}?participant={pid}", {"typed": pid}).status == 404


def test_an_analyst_sees_names_and_edits_nothing(app, here, tenant, api):
    register(api, "ann", display_name="Ann Lee")
    analyst = signed_in(app, here, tenant, "analyst")

    page = analyst.get(f"{LIST}/ann").text

    assert "Ann Lee" in page
    assert "Edit details" not in page
    assert [edit(analyst, "ann", display_name="x").status, erase(analyst, "ann", "ann").status] == [403, 403]


def test_htmx_gets_the_question_for_the_drawer(browser, api):
    register(api, "ann")
    for path in ("details", "erase"):
        headers = {"HX-Request": "true", "HX-Target": "div#drawer-content"}
        part = browser.get(f"/dashboard/{path}?participant=ann", headers=headers).text
        assert "<html" not in part
        assert "<form" in part
