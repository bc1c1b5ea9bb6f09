"""Rules that every page keeps to, whoever looks at it; pages are found, not listed."""

import itertools
from collections.abc import Iterator

import httpx
import pytest
from flask import Flask, url_for
from gamify.services import roles
from playwright.sync_api import Page

from dashboard import guard
from tests.browser import hostile
from tests.browser.hostile import HARM, Hostile
from tests.browser.windows import WIDTHS, overflow, violations
from tests.harness import Api, new_tenant
from tests.people import new_user

ROLES = ("admin", "analyst", "operator", guard.PUBLIC)
# What analysts see is a part of what admins see, page by page the same but for what they may not do.
EACH_ROLE = [pytest.param(role, marks=pytest.mark.long if role == "analyst" else ()) for role in ROLES]
# No pages: they send a file.
FILES = (".csv", "/file")
PARTS = ("adjustments.preview", "pins.preview")  # what a form shows while somebody types; never a page
PART = {"HX-Request": "true"}
# What looks different while there is nothing yet.
NEW = (
    "home.index", "participant.index", "ledger.index", "tiers.index", "tiers.versions", "draft.edit", "preview.index",
    "publication.ask", "developers.index", "keys.index", "reports.index", "reports.liability", "reports.tiers",
    "reports.activity", "reports.kept", "reports.shape",
    "exports.index", "exports.ask_for_one", "schedules.ask_for_new",
)  # fmt: skip
RESTORING = {"HX-History-Restore-Request": "true"}  # htmx goes back to a page it has forgotten

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def filled(here, server) -> Hostile:
    """A tenant whose texts try to be more than text."""
    with httpx.Client(base_url=server.url, timeout=30) as client:
        return hostile.make(here, Api(client, None))


def pages_for(app: Flask, role: str, filled: Hostile) -> Iterator[str]:
    """The address of every page that somebody in this role may see."""
    adapter = app.url_map.bind("localhost")
    for rule in app.url_map.iter_rules():
        if (
            not f"{rule.rule}/".startswith("/dashboard/")
            or "GET" not in rule.methods
            or rule.rule.endswith(FILES)
            or rule.endpoint in PARTS
        ):
            continue
        permission, _ = guard.permission_of(app, rule.endpoint)
        is_public = permission == guard.PUBLIC
        is_seen = is_public if role == guard.PUBLIC else not is_public and roles.allows(role, permission)
        if is_seen:
            yield filled.address(adapter, rule, role)


def enter(windows, filled, role, **options) -> Page:
    return windows.open(**options) if role == guard.PUBLIC else windows.enter(filled.people[role], **options)


@pytest.mark.parametrize("role", EACH_ROLE)
def test_every_page_is_accessible_fits_and_keeps_texts_harmless(app, windows, filled, role):
    page, wrong = enter(windows, filled, role), []
    for path in pages_for(app, role, filled):
        answer = page.goto(path)
        assert answer
        if answer.status != 200:
            wrong.append(f"{path}: status {answer.status}")
            continue
        if page.evaluate(HARM):
            wrong.append(f"{path}: a text was taken for markup")
        for width, theme in itertools.product(WIDTHS, ("light", "dark")):
            page.set_viewport_size({"width": width, "height": 800})
            page.emulate_media(color_scheme=theme)
            found = overflow(page) if theme == "light" else []
            if (width, theme) in {(1280, "light"), (360, "dark")}:
                found += violations(page)
            wrong += [f"{path}, {width}, {theme}: {each}" for each in found]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("role", EACH_ROLE)
def test_a_whole_page_for_people_and_a_part_for_htmx(app, windows, filled, role):
    page, wrong = enter(windows, filled, role), []
    for path in pages_for(app, role, filled):
        for headers, is_whole in (({}, True), (PART, False), (PART | RESTORING, True)):
            answer = page.request.get(path, headers=headers)
            text = answer.text()
            if "hx-redirect" not in answer.headers and (("<html" in text) != is_whole or text.count("<main") > 1):
                wrong.append(f"{path}: {'a whole page' if is_whole else 'a part'} was asked for")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("role", EACH_ROLE)
def test_every_page_is_read_and_every_form_is_sent_without_scripts(app, windows, filled, role):
    page, wrong = enter(windows, filled, role, java_script=False), []
    for path in pages_for(app, role, filled):
        page.goto(path)
        if not page.locator("main").inner_text().strip() or page.locator("h1").count() != 1:
            wrong.append(f"{path}: nothing to read, or not one heading")
        for form in page.locator("form:not([method=dialog])").all():
            method, action = form.get_attribute("method"), form.get_attribute("action")
            if not method or action is None:
                wrong.append(f"{path}: a form without method or action")
            if method == "post" and form.locator("input[name=csrf_token]").count() != 1:
                wrong.append(f"{path}: the form to {action} has no token")
            if not form.locator("button, input[type=submit]").count():
                wrong.append(f"{path}: the form to {action} has no button")
    assert not wrong, "\n".join(wrong)


def test_pages_of_a_new_tenant_and_of_its_sandbox_fit_and_are_accessible(app, here, windows):
    tenant, wrong = new_tenant(here), []
    page = windows.enter(new_user(here, tenant.slug))
    for endpoint, mode in itertools.product(NEW, (None, "test")):
        with app.test_request_context():
            path = url_for(endpoint, mode=mode)
        page.goto(path)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 800})
            wrong += [f"{path}, {width}: {each}" for each in overflow(page)]
        wrong += [f"{path}: {each}" for each in violations(page)]
    assert not wrong, "\n".join(wrong)
