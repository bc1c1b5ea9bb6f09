"""Signing in and out, over HTTP."""

import re
import statistics
import time

import pyotp
import pytest
from gamify.services import passwords, tenants

from tests.people import PASSWORD, RECOMMENDED, Browser, actions, emails, enrolled, new_user, now

SIGN_IN = "/dashboard/sign-in"


@pytest.fixture
def user(here, tenant):
    return new_user(here, tenant.slug)


@pytest.fixture
def browser(app):
    return Browser(app)


def without_token(page):
    return re.sub(r'value="[^"]{40,}"', "", page.text)


def test_the_first_page_leads_to_signing_in(browser):
    assert browser.get("/").to == "/dashboard/"
    assert browser.get("/dashboard/").to == "/dashboard/sign-in?next=/dashboard/"
    page = browser.get(SIGN_IN)

    assert page.status == 200
    for words in (">E-mail</label>", ">Password</label>", ">Sign in</button>", 'for="email"', 'for="password"'):
        assert words in page.text


def test_somebody_signs_in_and_out(here, tenant, browser, user):
    page = browser.sign_in(user.email)
    assert (page.status, page.to) == (303, "/dashboard/")
    assert user.email in browser.get("/dashboard/").text

    left = browser.post("/dashboard/sign-out")
    assert (left.status, left.to) == (303, SIGN_IN)
    assert browser.get("/dashboard/").to.startswith(SIGN_IN)
    assert actions(here, tenant.id, user.email) == ["user.create", "user.sign_in", "user.sign_out"]


def test_an_email_is_the_same_however_it_is_written(browser, user):
    assert browser.sign_in(f" {user.email.upper()} ").status == 303


def test_a_wrong_password_and_an_unknown_email_look_the_same(app, user):
    answers = []
    for email, password in ((user.email, "wrong, and long enough"), (next(emails), PASSWORD)):
        browser = Browser(app)
        browser.get(SIGN_IN)
        answers.append(browser.post(SIGN_IN, {"email": email, "password": password}))
    known, unknown = answers
    shown = known.text.replace(user.email, "@")

    assert known.status == unknown.status == 401
    assert re.sub(r'value="[^"]*"', "", known.text) == re.sub(r'value="[^"]*"', "", unknown.text)
    assert "is not right" in shown
    assert set(known.headers.keys()) == set(unknown.headers.keys())


def test_a_wrong_password_and_an_unknown_email_are_byte_identical_but_for_the_token(app, here, owner, tenant):
    email = next(emails)

    def answer():
        browser = Browser(app)
        browser.get(SIGN_IN)
        return without_token(browser.post(SIGN_IN, {"email": email, "password": "wrong, and long enough"}))

    unknown = answer()
    new_user(here, tenant.slug, email=email)

    assert answer() == unknown
    assert email in unknown


def test_an_unknown_email_takes_as_long_as_a_wrong_password(app, here, tenant, monkeypatch):
    monkeypatch.setattr(passwords, "HASHER", RECOMMENDED)
    user = new_user(here, tenant.slug)

    def seconds(email):
        browser = Browser(app)
        browser.get(SIGN_IN)
        begun = time.perf_counter()
        browser.post(SIGN_IN, {"email": email, "password": "wrong, and long enough"})
        return time.perf_counter() - begun

    known = statistics.median(seconds(new) for new in [user.email] * 3)
    unknown = statistics.median(seconds(next(emails)) for _ in range(3))

    assert 0.4 < known / unknown < 2.5


@pytest.mark.parametrize(
    ("email", "password"), [("", ""), ("a\0b@mail.example", "x"), ("nobody", "x" * 5_000), ("É" * 300, "\0"), ("a@b", "\ud800")]
)
def test_whatever_is_typed_is_no_fault_of_ours(browser, email, password):
    browser.get(SIGN_IN)

    assert browser.post(SIGN_IN, {"email": email, "password": password.encode("utf-8", "surrogatepass")}).status == 401


def test_signing_in_changes_the_id_of_the_session_and_the_token_of_forms(browser, user):
    browser.get(SIGN_IN)
    before, cookie = browser.token, browser.client.get_cookie("session").value
    browser.sign_in(user.email)

    assert browser.token != before
    assert browser.client.get_cookie("session").value != cookie
    assert browser.post("/dashboard/account/sessions/end-others", {"csrf_token": before}).status == 400


def test_signing_in_again_ends_the_session_of_before(app, here, user, browser):
    browser.sign_in(user.email)
    old = browser.client.get_cookie("session").value
    browser.get("/dashboard/account")
    browser.post(SIGN_IN, {"email": user.email, "password": PASSWORD})

    stolen = Browser(app)
    stolen.client.set_cookie("session", old)
    assert stolen.get("/dashboard/").to.startswith(SIGN_IN)
    assert browser.get("/dashboard/").status == 200


def test_a_copied_cookie_is_worth_nothing_after_signing_out(app, browser, user):
    browser.sign_in(user.email)
    copied = browser.client.get_cookie("session").value
    browser.post("/dashboard/sign-out")

    thief = Browser(app)
    thief.client.set_cookie("session", copied)
    assert thief.get("/dashboard/").to.startswith(SIGN_IN)


@pytest.mark.parametrize(
    ("target", "leads_to"),
    [
        ("/dashboard/account", "/dashboard/account"),
        ("/dashboard/people?q=1", "/dashboard/people?q=1"),
        ("", "/dashboard/"),
        ("https://evil.example/", "/dashboard/"),
        ("//evil.example/dashboard/", "/dashboard/"),
        ("/\\evil.example", "/dashboard/"),
        ("/dashboard/\n/x", "/dashboard/"),
        ("/\t/evil.example", "/dashboard/"),
        ("javascript:alert(1)", "/dashboard/"),
        ("/dashboard.evil.example", "/dashboard/"),
    ],
)
def test_signing_in_leads_to_our_own_pages_only(browser, user, target, leads_to):
    browser.get(SIGN_IN)
    page = browser.post(SIGN_IN, {"email": user.email, "password": PASSWORD, "next": target})

    assert page.to == leads_to


def test_a_page_is_remembered_with_its_query(browser):
    assert browser.get("/dashboard/account?a=%20b").to == "/dashboard/sign-in?next=/dashboard/account?a%3D%2520b"


def test_htmx_is_led_in_its_own_way(browser):
    headers = {"HX-Request": "true", "HX-Current-URL": "http://localhost/dashboard/people?q=a"}
    page = browser.get("/dashboard/people", headers=headers)

    assert (page.status, page.text) == (200, "")
    assert page.headers["HX-Redirect"] == "/dashboard/sign-in?next=/dashboard/people?q%3Da"


def test_guessing_is_slowed_down_and_says_for_how_long(browser, user):
    browser.get(SIGN_IN)
    answers = [browser.post(SIGN_IN, {"email": user.email, "password": "a wrong password"}) for _ in range(6)]

    assert [page.status for page in answers[:4]] == [401] * 4
    assert answers[5].status == 429
    assert 1 <= int(answers[5].headers["Retry-After"]) <= 2
    assert "try again in" in answers[5].text


def test_unknown_emails_are_slowed_down_alike(browser):
    browser.get(SIGN_IN)
    email = next(emails)
    statuses = [browser.post(SIGN_IN, {"email": email, "password": PASSWORD}).status for _ in range(6)]

    assert statuses[:4] == [401] * 4
    assert statuses[5] == 429


def test_one_address_that_tries_many_accounts_is_slowed_down(browser):
    browser.get(SIGN_IN)
    statuses = [browser.post(SIGN_IN, {"email": next(emails), "password": PASSWORD}).status for _ in range(12)]

    assert statuses[:4] == [401] * 4
    assert 429 in statuses


def test_nobody_is_locked_out(here, browser, user):
    browser.get(SIGN_IN)
    for _ in range(5):
        page = browser.post(SIGN_IN, {"email": user.email, "password": "a wrong password"})
    time.sleep(int(page.headers.get("Retry-After", 2)))

    assert browser.post(SIGN_IN, {"email": user.email, "password": PASSWORD}).status == 303


def test_staff_of_a_suspended_tenant_hear_why_after_the_right_password_only(here, tenant, browser, user):
    browser.sign_in(user.email)
    tenant.become("suspended")
    assert browser.get("/dashboard/").to.startswith(SIGN_IN)
    browser.get(SIGN_IN)

    assert "suspended" not in browser.post(SIGN_IN, {"email": user.email, "password": "a wrong password"}).text
    refused = browser.post(SIGN_IN, {"email": user.email, "password": PASSWORD})
    assert refused.status == 403
    assert "suspended" in refused.text

    tenant.become("active")
    browser.post("/dashboard/sign-out")
    browser.get(SIGN_IN)
    assert browser.post(SIGN_IN, {"email": user.email, "password": PASSWORD}).status == 303


def test_a_second_factor_comes_between_the_password_and_everything_else(here, browser, user):
    app, _ = enrolled(here, user)
    page = browser.sign_in(user.email)
    assert page.to == "/dashboard/second-factor?next=/dashboard/"
    half = browser.client.get_cookie("session").value

    assert browser.get("/dashboard/account").to == "/dashboard/second-factor?next=/dashboard/account"
    browser.get("/dashboard/second-factor")
    assert browser.post("/dashboard/second-factor", {"code": "000000"}).status == 422
    done = browser.post("/dashboard/second-factor", {"code": app.at(now()), "next": "/dashboard/account"})

    assert done.to == "/dashboard/account"
    assert browser.get("/dashboard/account").status == 200
    assert browser.client.get_cookie("session").value != half


def test_the_id_from_before_the_second_factor_is_worth_nothing_after(app, here, browser, user):
    totp, _ = enrolled(here, user)
    browser.sign_in(user.email)
    half = browser.client.get_cookie("session").value
    browser.get("/dashboard/second-factor")
    browser.post("/dashboard/second-factor", {"code": totp.at(now())})

    thief = Browser(app)
    thief.client.set_cookie("session", half)
    assert thief.get("/dashboard/").to.startswith(SIGN_IN)


def test_a_recovery_code_lets_in_once(app, here, user):
    _, codes = enrolled(here, user)
    statuses = []
    for _ in range(2):
        browser = Browser(app)
        browser.sign_in(user.email)
        browser.get("/dashboard/second-factor")
        statuses.append(browser.post("/dashboard/second-factor", {"code": codes[0].upper()}).status)

    assert statuses == [303, 422]


def test_codes_are_throttled(here, tenant, app, user):
    enrolled(here, user)
    statuses = []
    browser = Browser(app)
    browser.sign_in(user.email)
    browser.get("/dashboard/second-factor")
    for _ in range(6):
        browser.address = Browser(app).address  # from everywhere
        statuses.append(browser.post("/dashboard/second-factor", {"code": "000000"}).status)

    assert statuses[:4] == [422] * 4
    assert statuses[5] == 429
    assert "user.second_factor_failed" in actions(here, tenant.id, user.email)


def test_a_tenant_can_require_a_second_factor_of_everybody(here, tenant, browser, user):
    with here.database.transaction() as session:
        tenants.get(session, tenant.slug).requires_totp = True
    browser.sign_in(user.email)
    assert browser.get("/dashboard/").to.startswith("/dashboard/second-factor")

    page = browser.get("/dashboard/second-factor")
    secret = re.search(r'<code class="key">(\w+)</code>', page.text)[1]
    ticket = re.search(r'name="ticket"\s+value="([^"]+)"', page.text)[1]
    assert 'src="data:image/svg+xml' in page.text

    wrong = browser.post("/dashboard/second-factor/enrol", {"code": "000000", "ticket": ticket})
    assert wrong.status == 422
    assert secret in wrong.text
    done = browser.post("/dashboard/second-factor/enrol", {"code": pyotp.TOTP(secret).at(now()), "ticket": ticket})
    assert len(re.findall(r"<code>[a-z2-9]{4}-[a-z2-9]{4}-[a-z2-9]{4}</code>", done.text)) == 10
    assert browser.get("/dashboard/").status == 200


@pytest.mark.parametrize("path", [SIGN_IN, "/dashboard/second-factor", "/dashboard/sign-out", "/dashboard/reset"])
def test_forms_without_their_token_are_refused(browser, path):
    page = browser.client.post(path, data={"email": "a@b"})

    assert page.status_code == 400
    assert page.mimetype == "text/html"
