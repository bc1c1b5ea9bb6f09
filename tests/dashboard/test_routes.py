"""One rule over every page: it names a permission, and lets in just those who have it."""

import re
from dataclasses import replace

import pytest
from gamify.app import create_app
from gamify.services import roles

from dashboard import guard
from dashboard.navigation import LINKS
from tests.people import Browser, new_user

VALUES = {
    "token": "x" * 43,
    "user_id": 1,
    "session_id": "00000000-0000-4000-8000-000000000000",
    "link_id": "ab",
    "slug": "none",
    "pid": "nobody",
    "entry_id": "00000000-0000-4000-8000-000000000000",
    "version": 1,
    "export_id": 1,
    "schedule_id": 1,
}
ROLES = ("operator", "admin", "analyst")


def pages(app):
    """Every page and method: endpoint, method, path, permission, whether a fresh sign-in is needed."""
    adapter = app.url_map.bind("localhost")
    for rule in app.url_map.iter_rules():
        if not f"{rule.rule}/".startswith("/dashboard/"):
            continue
        values = {name: VALUES.get(name, "x") for name in rule.arguments}
        permission, is_fresh = guard.permission_of(app, rule.endpoint)
        for method in rule.methods - {"HEAD", "OPTIONS"}:
            yield rule.endpoint, method, adapter.build(rule.endpoint, values), permission, is_fresh


def test_every_page_names_a_permission(app):
    found = {endpoint: permission for endpoint, _, _, permission, _ in pages(app)}

    assert found
    assert [endpoint for endpoint, permission in found.items() if permission not in (*roles.PERMISSIONS, guard.PUBLIC)] == []


def test_what_is_public_is_for_signing_in(app):
    public = {path for _, _, path, permission, _ in pages(app) if permission == guard.PUBLIC}

    assert {path.split("/")[2] for path in public} == {"sign-in", "sign-out", "second-factor", "invitation", "reset"}


def test_whoever_is_not_signed_in_is_led_there(app):
    browser = Browser(app)
    browser.get("/dashboard/sign-in")
    for endpoint, method, path, permission, _ in pages(app):
        if permission != guard.PUBLIC:
            page = browser._open(path, method=method, data={"csrf_token": browser.token})
            assert page.status in (302, 303), endpoint
            assert page.to.startswith("/dashboard/sign-in?next="), endpoint


@pytest.fixture(params=ROLES)
def visitor(request, app, here, tenant):
    """Somebody signed in, in each role, in a tenant (or platform) with others left."""
    role = request.param
    slug = None if role == "operator" else tenant.slug
    new_user(here, slug)
    browser = Browser(app)
    assert browser.sign_in(new_user(here, slug, role=role).email).status == 303
    return role, browser


def test_each_role_is_let_in_just_where_the_table_says(app, visitor):
    role, browser = visitor
    for endpoint, method, path, permission, _ in pages(app):
        if permission == guard.PUBLIC:
            continue
        page = browser._open(path, method=method, data={"csrf_token": browser.token})
        assert (page.status == 403) == (not roles.allows(role, permission)), (endpoint, page.status)
        assert page.status < 500, (endpoint, page.text)
        browser.get("/dashboard/account")


def test_what_matters_most_wants_a_fresh_sign_in(app, owner, visitor):
    role, browser = visitor
    owner.execute("UPDATE sessions SET fresh_at = fresh_at - interval '10 minutes'")
    for endpoint, method, path, permission, is_fresh in pages(app):
        if is_fresh and roles.allows(role, permission):
            page = browser._open(path, method=method, data={"csrf_token": browser.token})
            assert page.to.startswith("/dashboard/confirm?next=/dashboard/"), endpoint


def test_changes_to_people_tenants_and_security_are_what_matters_most(app):
    fresh = {endpoint for endpoint, _, _, _, is_fresh in pages(app) if is_fresh}
    # Points are moved all day long, and each movement can be reversed. A draft moves nobody.
    daily = {"participants:write", "tiers:draft"}
    changing = {e for e, method, _, p, _ in pages(app) if method == "POST" and str(p).endswith(":write") and p not in daily}

    assert changing <= fresh
    assert {"account.set_up", "account.enrol", "account.disable"} <= fresh


def test_the_first_page_lists_what_somebody_may_see(app, visitor):
    role, browser = visitor
    page = browser.get("/dashboard/account")
    for link in LINKS:
        is_for_them = roles.allows(role, link.permission) and not (role == "operator" and link.endpoint == "home.index")
        assert (f">{link.label}</a>" in page.text) == is_for_them, link.label


def test_links_ask_for_what_their_pages_ask_for(app):
    for link in LINKS:
        assert guard.permission_of(app, link.endpoint)[0] == link.permission


def test_a_page_that_names_no_permission_is_shut(app, visitor):
    _, browser = visitor
    permission = app.view_functions["home.index"].permission
    del app.view_functions["home.index"].permission
    try:
        assert browser.get("/dashboard/").status == 403
    finally:
        app.view_functions["home.index"].permission = permission


def test_a_permission_that_nobody_can_have_is_a_mistake():
    with pytest.raises(ValueError, match="no role"):
        guard.allows("people:wriet")


def test_no_page_holds_inline_script_or_style(app, visitor):
    _, browser = visitor
    for _, method, path, _, _ in pages(app):
        if method == "GET" and (page := browser.get(path)).response.mimetype == "text/html":  # not the files
            text = page.text
            assert re.findall(r"<script(?! defer\s+src=\"/static/| type=\"application/json\")", text) == []
            assert "<style" not in text
            assert " style=" not in text
            assert not re.search(r"<[^>]* on[a-z]+=", text)


@pytest.mark.parametrize("path", ["/dashboard/nothing", "/dashboard/people/1/2/3"])
def test_errors_of_pages_are_pages(app, path):
    page = Browser(app).get(path)

    assert page.status == 404
    assert page.response.mimetype == "text/html"
    assert "request <code>" in page.text


def test_a_page_refuses_wrong_methods_as_a_page(app):
    page = Browser(app).post("/dashboard/people")

    assert (page.status, page.response.mimetype, page.headers["Allow"]) == (405, "text/html", "GET, HEAD")


@pytest.mark.parametrize("path", ["/nothing", "/dashboardish", "/api/v1/gamify/nothing"])
def test_errors_elsewhere_stay_as_they_were(app, path):
    page = Browser(app).get(path)

    assert page.response.mimetype == "application/problem+json"


def test_pages_set_no_cookie_for_the_api_and_the_api_reads_none(app, visitor, api):
    _, browser = visitor
    page = browser.get("/api/v1/gamify/participants/p/points")

    assert page.status == 401
    assert "Set-Cookie" not in page.headers
    assert "Cookie" not in page.headers.get("Vary", "")
    assert "Cookie" not in browser.get("/healthz").headers.get("Vary", "")


def test_the_table_of_roles_says_nothing_of_permissions_that_are_unknown():
    assert set().union(*roles.ROLES.values()) == set(roles.PERMISSIONS)


def test_without_a_database_a_page_says_so(settings):
    unreachable = replace(settings, database_url="postgresql://127.0.0.1:1/nothing")
    app = create_app(unreachable)
    browser = Browser(app)
    with browser.client.session_transaction() as cookie:
        cookie["_user_id"] = VALUES["session_id"]
    page = browser.get("/dashboard/")
    app.extensions["gamify"].close()

    assert (page.status, page.response.mimetype, page.headers["Retry-After"]) == (503, "text/html", "1")
    assert "Try again shortly" in page.text
