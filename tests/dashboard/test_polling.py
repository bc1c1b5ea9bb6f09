"""Pages that bring parts of themselves up to date are no sign of anybody being there."""

import re
from pathlib import Path

import pytest

import dashboard
from tests.people import Browser, new_user

TEMPLATES = Path(dashboard.__file__).parent / "templates"
POLLING = re.compile(r'<[^>]*hx-trigger="every [^>]*>')


@pytest.mark.parametrize(("headers", "is_use"), [({}, True), ({"X-By-Itself": "true"}, False)])
def test_what_a_page_does_by_itself_does_not_keep_a_session_from_going_idle(app, owner, tenant, headers, is_use):
    user, browser = new_user(tenant.here, tenant.slug), Browser(app)
    browser.sign_in(user.email)
    owner.execute("UPDATE sessions SET seen_at = seen_at - interval '1 hour' WHERE user_id = %s", [user.id])

    assert browser.get("/dashboard/", headers={"HX-Request": "true", "HX-Target": "div#newest"} | headers).status == 200

    recent = "SELECT seen_at > now() - interval '1 minute' FROM sessions WHERE user_id = %s"
    assert owner.execute(recent, [user.id]).fetchone() == (is_use,)


def test_all_that_polls_says_so():
    found = [tag for path in TEMPLATES.rglob("*.html") for tag in POLLING.findall(path.read_text())]

    assert len(found) == 6
    assert all('hx-headers=\'{"X-By-Itself": "true"}\'' in tag for tag in found)
