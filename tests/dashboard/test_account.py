"""One's own account: password, second factor, sessions, and links that work once."""

import re

import pyotp
import pytest
from gamify.services import links

from tests.people import PASSWORD, Browser, actions, emails, enrolled, new_user, now

ACCOUNT = "/dashboard/account"
NEW = "another long password"


@pytest.fixture
def user(here, tenant):
    return new_user(here, tenant.slug, role="analyst")


@pytest.fixture
def browser(app, user):
    """A browser in which the user is signed in."""
    signed_in = Browser(app)
    assert signed_in.sign_in(user.email).status == 303
    return signed_in


def stale(owner):
    owner.execute("UPDATE sessions SET fresh_at = fresh_at - interval '10 minutes'")


def test_a_new_password_ends_all_other_sessions(app, here, tenant, user, browser):
    other = Browser(app)
    other.sign_in(user.email)
    page = browser.post(f"{ACCOUNT}/password", {"password": PASSWORD, "new_password": NEW})

    assert page.to == ACCOUNT
    assert browser.get(ACCOUNT).status == 200
    assert other.get(ACCOUNT).to.startswith("/dashboard/sign-in")
    assert Browser(app).sign_in(user.email, NEW).status == 303
    assert Browser(app).sign_in(user.email).status == 401
    assert "user.change_password" in actions(here, tenant.id, user.email)


def test_the_password_changes_for_its_owner_only(browser):
    wrong = browser.post(f"{ACCOUNT}/password", {"password": "not the password", "new_password": NEW})

    assert wrong.status == 422
    assert 'aria-describedby="password-error"' in wrong.text
    assert "not the password" not in wrong.text


def test_a_password_too_short_is_told_at_its_field(browser):
    page = browser.post(f"{ACCOUNT}/password", {"password": PASSWORD, "new_password": "short"})

    assert page.status == 422
    assert 'aria-describedby="new_password-error new_password-hint"' in page.text


def test_a_second_factor_is_set_up_used_and_turned_off(app, here, tenant, user, browser):
    page = browser.get(f"{ACCOUNT}/second-factor")
    secret = re.search(r'<code class="key">(\w+)</code>', page.text)[1]
    ticket = re.search(r'name="ticket"\s+value="([^"]+)"', page.text)[1]
    before = browser.client.get_cookie("session").value
    done = browser.post(f"{ACCOUNT}/second-factor", {"code": pyotp.TOTP(secret).at(now()), "ticket": ticket})

    assert len(re.findall(r"<code>[a-z2-9-]{14}</code>", done.text)) == 10
    assert browser.client.get_cookie("session").value != before
    assert "with 10 recovery codes left" in browser.get(ACCOUNT).text
    assert Browser(app).sign_in(user.email).to.startswith("/dashboard/second-factor")

    assert browser.post(f"{ACCOUNT}/second-factor/off").to == ACCOUNT
    assert Browser(app).sign_in(user.email).to == "/dashboard/"
    log = actions(here, tenant.id, user.email)
    assert {"user.second_factor_on", "user.second_factor_off"} <= set(log)


def test_it_cannot_be_turned_off_where_everybody_needs_one(here, owner, tenant, user, app):
    totp, _ = enrolled(here, user)
    owner.execute("UPDATE tenants SET requires_totp = true WHERE slug = %s", [tenant.slug])
    browser = Browser(app)
    browser.sign_in(user.email)
    browser.get("/dashboard/second-factor")
    browser.post("/dashboard/second-factor", {"code": totp.at(now())})
    browser.get(ACCOUNT)
    page = browser.post(f"{ACCOUNT}/second-factor/off")

    assert page.status == 409
    assert "requires a second factor" in page.text


def test_a_session_elsewhere_is_seen_and_ended(app, here, tenant, user, browser):
    other = Browser(app)
    other.sign_in(user.email)
    page = browser.get(ACCOUNT)
    assert browser.address in page.text
    assert other.address in page.text
    ending = re.search(r'action="(/dashboard/account/sessions/[0-9a-f-]{36}/end)"', page.text)[1]

    assert browser.post(ending).to == ACCOUNT
    assert other.get(ACCOUNT).to.startswith("/dashboard/sign-in")
    assert browser.get(ACCOUNT).status == 200
    assert "session.revoke" in actions(here, tenant.id, user.email)


def test_all_other_sessions_end_at_once(app, user, browser):
    others = [Browser(app) for _ in range(3)]
    for other in others:
        other.sign_in(user.email)
    browser.post(f"{ACCOUNT}/sessions/end-others")

    assert "Ended 3 sessions." in browser.get(ACCOUNT).text
    assert all(other.get(ACCOUNT).status == 302 for other in others)


def test_the_session_of_another_cannot_be_ended(app, here, owner, tenant, browser):
    other = new_user(here, tenant.slug)
    elsewhere = Browser(app)
    elsewhere.sign_in(other.email)
    (found,) = owner.execute("SELECT id FROM sessions WHERE user_id = %s", [other.id]).fetchone()
    page = browser.post(f"{ACCOUNT}/sessions/{found}/end")
    unknown = browser.post(f"{ACCOUNT}/sessions/00000000-0000-4000-8000-000000000000/end")

    assert page.status == unknown.status == 404
    assert elsewhere.get(ACCOUNT).status == 200


def test_what_matters_most_asks_for_the_password_again_and_then_goes_on(browser, owner):
    stale(owner)
    asked = browser.get(f"{ACCOUNT}/second-factor")
    assert asked.to == "/dashboard/confirm?next=/dashboard/account/second-factor"
    browser.get(asked.to)

    assert browser.post("/dashboard/confirm", {"password": "not the password"}).status == 422
    before = browser.client.get_cookie("session").value
    done = browser.post("/dashboard/confirm", {"password": PASSWORD, "next": f"{ACCOUNT}/second-factor"})
    assert done.to == f"{ACCOUNT}/second-factor"
    assert browser.client.get_cookie("session").value != before
    assert browser.get(f"{ACCOUNT}/second-factor").status == 200


def test_after_a_form_one_comes_back_to_its_page(browser, owner):
    stale(owner)
    headers = {"Referer": "http://localhost/dashboard/account?a=1"}
    page = browser.post(f"{ACCOUNT}/second-factor/off", headers=headers)

    assert page.to == "/dashboard/confirm?next=/dashboard/account?a%3D1"


def test_asking_for_a_reset_says_the_same_for_everybody(app, user):
    answers = []
    for email in (user.email, next(emails), "nobody"):
        browser = Browser(app)
        browser.get("/dashboard/reset")
        page = browser.post("/dashboard/reset", {"email": email})
        answers.append((page.status, page.to, re.findall(r'class="said"[^>]*>([^<]+)<', browser.get(page.to).text)))

    assert answers[0] == answers[1] == answers[2]
    assert "on its way" in answers[0][2][0]


def test_asking_for_resets_is_slowed_down(app):
    browser = Browser(app)
    browser.get("/dashboard/reset")
    email = next(emails)
    statuses = [browser.post("/dashboard/reset", {"email": email}).status for _ in range(6)]

    assert statuses[:4] == [303] * 4
    assert statuses[5] == 429


def test_a_reset_link_sets_a_new_password_once(app, here, user):
    with here.database.transaction() as session:
        path = f"/dashboard/reset/{links.request_reset(session, user.email, place=links.Place(), now=now()).token}"
    browser = Browser(app)
    assert user.email in browser.get(path).text
    assert browser.post(path, {"password": "short"}).status == 422

    assert browser.post(path, {"password": NEW}).to == "/dashboard/sign-in"
    assert browser.get(path).status == 404
    assert Browser(app).sign_in(user.email, NEW).status == 303


def test_a_reset_does_not_replace_the_second_factor(app, here, user):
    enrolled(here, user)
    with here.database.transaction() as session:
        path = f"/dashboard/reset/{links.request_reset(session, user.email, place=links.Place(), now=now()).token}"
    browser = Browser(app)
    browser.get(path)
    browser.post(path, {"password": NEW})

    assert browser.sign_in(user.email, NEW).to.startswith("/dashboard/second-factor")
