"""Whatever a page takes by id, of another tenant it is not there; nor is it in the other mode."""

import re

import pytest
from flask import Flask
from gamify.deployment import Deployment
from gamify.models import SavedReport, Tenant
from gamify.services import api_keys, export_contents, exports, schedules
from gamify.services.audit import SYSTEM
from gamify.services.entries import Filter

from dashboard.guard import PUBLIC, permission_of
from tests.harness import Api, TenantUnderTest, new_tenant
from tests.people import Browser, log_of, new_user, now

SECRET = "ours-alone-4711"
FORM = {"overlap": next(iter(api_keys.OVERLAPS)), "role": "analyst"}  # what is not refused for its values
ENTRY = re.compile(r"/dashboard/ledger/([0-9a-f-]{36})")


@pytest.fixture
def admin(app: Flask, here: Deployment, tenant: TenantUnderTest) -> Browser:
    browser = Browser(app)
    browser.sign_in(new_user(here, tenant.slug).email)
    return browser


@pytest.fixture
def theirs(app: Flask, here: Deployment, tenant: TenantUnderTest, api: Api, admin: Browser) -> dict[str, str]:
    """What there is of a tenant, by the name that routes have for it."""
    entry = api.award(SECRET, 50, reason=SECRET, metadata={"note": SECRET}).json["transaction_id"]
    person = new_user(here, tenant.slug, email=f"{SECRET}-{tenant.slug}@mail.example")
    other = Browser(app)
    other.sign_in(person.email)
    session = re.search(r"/sessions/([0-9a-f-]{36})/end", other.get("/dashboard/account").text)
    invited = admin.post("/dashboard/people/invite", {"email": f"new-{SECRET}-{tenant.slug}@mail.example", "role": "analyst"})
    link = re.search(r"/invitations/([^/]+)/withdraw", invited.text + admin.get("/dashboard/people").text)
    assert link
    tenant.put_tiers(bronze=0, silver=500)  # a second version; neighbours have one
    export_id, schedule_id = files_of(here, tenant, person.id)
    return {
        "export_id": str(export_id),
        "schedule_id": str(schedule_id),
        "pid": SECRET,
        "entry_id": entry,
        "prefix": tenant.key[:16],
        "user_id": str(person.id),
        "session_id": session[1] if session else "00000000-0000-4000-8000-000000000000",
        "link_id": link[1],
        "slug": tenant.slug,
        "version": "2",
    }


def files_of(here: Deployment, tenant: TenantUnderTest, user_id: int) -> tuple[int, int]:
    """An export of theirs, and a schedule."""
    with here.database.transaction(tenant.id) as session:
        live = session.get_one(Tenant, tenant.id)
        asked = {"query": "", "about": SECRET, "now": now()}
        wish = export_contents.ledger(live, Filter(participant_id=SECRET), **asked)
        made = exports.ask(session, tenant.id, wish, format="csv", actor=SYSTEM, now=now())
        report = SavedReport(tenant_id=tenant.id, name=f"{SECRET}-", kind="roll-forward", query="", saved_by="ana")
        session.add(report)
        session.flush()
        plan = schedules.Plan(report.id, "csv", "daily", 7, [user_id])
        return made.id, schedules.create(session, live, plan, page="", actor=SYSTEM, now=now()).id


@pytest.fixture
def neighbour(app: Flask, here: Deployment) -> Browser:
    browser = Browser(app)
    browser.sign_in(new_user(here, new_tenant(here).slug).email)
    return browser


def test_what_a_neighbour_names_in_a_path_is_not_there_and_stays_as_it_is(app, here, tenant, theirs, neighbour):
    before = len(log_of(here, tenant.id))
    adapter, tried = app.url_map.bind("localhost"), 0
    for rule in app.url_map.iter_rules():
        if not rule.rule.startswith("/dashboard/") or not rule.arguments or permission_of(app, rule.endpoint)[0] == PUBLIC:
            continue
        assert rule.arguments <= set(theirs), rule.endpoint  # a new one needs something of theirs here
        path = adapter.build(rule.endpoint, {name: theirs[name] for name in rule.arguments}, force_external=False)
        for method in rule.methods & {"GET", "POST"}:
            for mode in ("", "?mode=test"):
                page = neighbour._open(path + mode, method=method, data=FORM | {"csrf_token": neighbour.token})
                assert page.status in (403, 404), (method, path, page.status)
                assert f"{SECRET}-" not in page.text, path
                tried += 1
    assert tried > 15
    assert len(log_of(here, tenant.id)) == before


@pytest.mark.parametrize("mode", ["", "&mode=test"])
@pytest.mark.parametrize(
    "path",
    [
        "ledger?participant={pid}",
        "ledger?key={prefix}",
        "ledger?key={email}",
        "ledger?before=ffffffff-ffff-ffff-ffff-ffffffffffff",
        "ledger.csv?participant={pid}",
        "exports/ask?kind=ledger&query=key%3D{prefix}",
        "schedules/new?report={schedule_id}",
        "ledger.csv?reason=ours&match=contains",
        "participants?q={pid}",
        "participants?q=ou",
        "participants.csv?q=ours",
        "audit?actor={email}",
        "audit.csv?actor={email}",
        "developers?key={prefix}",
        "reverse?entry={entry_id}",
        "details?participant={pid}",
        "erase?participant={pid}",
        "adjust?participant={pid}",
        "adjust/preview?participant={pid}&kind=award&amount=1",
    ],
)
def test_what_a_neighbour_names_in_a_query_shows_nothing(tenant, theirs, neighbour, path, mode):
    values = theirs | {"email": f"{SECRET}-{tenant.slug}@mail.example"}
    page = neighbour.get("/dashboard/" + path.format(**values) + mode)

    # What they typed comes back to them in fields and links, and in sentences that say there is none.
    said = re.sub(r'="[^"]*"', "", page.text)

    assert page.status in (200, 404, 422)
    assert "/dashboard/ledger/" + theirs["entry_id"] not in page.text
    assert not re.search(rf"<t[dh][^>]*>[^<]*{SECRET}|^{SECRET}|,{SECRET}", said, re.MULTILINE)


@pytest.mark.parametrize("query", ["", "?mode=test"])
def test_a_neighbour_moves_none_of_their_points(here, api, theirs, neighbour, query):
    form = {"reason": "r", "why": "r", "key": "form:1", "kind": "deduct", "amount": "1", "participant_id": SECRET}
    mode = query.removeprefix("?")
    for path in (f"adjust?{mode}", f"reverse?entry={theirs['entry_id']}&{mode}"):
        assert neighbour.post(f"/dashboard/{path}", form).status in (400, 404), path
    for path in ("details", "erase"):
        page = neighbour.post(f"/dashboard/{path}?participant={SECRET}&{mode}", {"typed": SECRET, "display_name": "x"})
        assert page.status == 404, path

    assert api.balance(SECRET) == 50


def test_what_is_live_is_not_there_in_the_sandbox(admin, theirs):
    for path in ("participants/{pid}", "ledger/{entry_id}", "reverse?entry={entry_id}", "details?participant={pid}"):
        address = "/dashboard/" + path.format(**theirs)
        assert admin.get(address).status == 200
        assert admin.get(address + ("&" if "?" in address else "?") + "mode=test").status == 404


@pytest.mark.parametrize("query", ["mode=live&mode=test", "mode=TEST", "mode=test%00", "mode=", "Mode=test"])
def test_a_mode_that_is_none_is_live_for_the_page_and_all_its_links(admin, theirs, query):
    page = admin.get(f"/dashboard/ledger?{query}")

    assert set(ENTRY.findall(page.text)) == {theirs["entry_id"]}
    assert not re.search(r'href="/dashboard/ledger/[^"]*mode=test', page.text)


@pytest.mark.parametrize("path", ["tenants", "people", "account", "platform-audit", "tenants.csv"])
def test_operators_have_no_sandbox_and_no_participants(app, here, path):
    operator = Browser(app)
    operator.sign_in(new_user(here).email)

    assert operator.get(f"/dashboard/{path}?mode=test").status == 200
    for closed in ("ledger", "participants", "ledger.csv", "participants.csv", "tiers", "developers", "audit"):
        assert operator.get(f"/dashboard/{closed}?mode=test").status == 403
