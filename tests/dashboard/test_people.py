"""People, settings and tenants, as admins and operators manage them."""

import re

import pytest
from gamify import mail_server
from gamify.services import tenants as service
from gamify.services.mail import Mailer

from tests.harness import new_tenant
from tests.people import PASSWORD, Browser, actions, emails, log_of, new_user
from tests.smtp import Smtp

PEOPLE, TENANTS = "/dashboard/people", "/dashboard/tenants"


@pytest.fixture
def admin(here, tenant):
    return new_user(here, tenant.slug)


@pytest.fixture
def browser(app, admin):
    """A browser in which an admin is signed in."""
    signed_in = Browser(app)
    assert signed_in.sign_in(admin.email).status == 303
    return signed_in


@pytest.fixture
def operator(app, here):
    """A browser in which an operator is signed in."""
    new_user(here)
    signed_in = Browser(app)
    assert signed_in.sign_in(new_user(here).email).status == 303
    return signed_in


def link_in(page):
    return re.search(r'href="http://localhost(/dashboard/invitation/[\w-]{43})"', page.text)[1]


def test_an_invited_analyst_joins_and_may_only_read(app, here, tenant, browser):
    email = next(emails)
    page = browser.post(f"{PEOPLE}/invite", {"email": email, "role": "analyst"})
    assert page.status == 200
    link = link_in(page)
    guest = Browser(app)
    assert email in guest.get(link).text
    short = guest.post(link, {"password": "short"})
    assert (short.status, 'aria-describedby="password-error password-hint"' in short.text) == (422, True)
    assert guest.post(link, {"password": PASSWORD}).to == "/dashboard/sign-in"

    assert guest.get(link).status == 404
    assert guest.sign_in(email).status == 303
    assert guest.get(PEOPLE).status == 403
    assert f"<strong>{email}</strong>" in browser.get(PEOPLE).text
    assert actions(here, tenant.id, email) == ["invitation.create", "invitation.accept", "user.sign_in"]


def test_the_log_says_who_invited_from_where(here, tenant, admin, browser):
    email = next(emails)
    browser.post(f"{PEOPLE}/invite", {"email": email, "role": "analyst"}, headers={"X-Request-ID": "req-7"})
    (entry,) = [entry for entry in log_of(here, tenant.id) if entry.subject == email]

    assert (entry.actor_kind, entry.actor, entry.actor_id) == ("user", admin.email, admin.id)
    assert (entry.address, entry.request_id, entry.after) == (browser.address, "req-7", {"role": "analyst"})


def test_a_withdrawn_invitation_does_not_work(app, browser):
    link = link_in(browser.post(f"{PEOPLE}/invite", {"email": next(emails), "role": "admin"}))
    withdraw = re.search(r'action="(/dashboard/people/invitations/\w+/withdraw)"', browser.get(PEOPLE).text)[1]
    browser.post(withdraw)

    assert Browser(app).get(link).status == 404
    assert browser.post(withdraw).status == 404


@pytest.mark.parametrize("values", [{"email": "nobody", "role": "admin"}, {"email": "a@b.example", "role": "operator"}])
def test_what_is_wrong_stands_at_its_field(browser, values):
    page = browser.post(f"{PEOPLE}/invite", values)
    wrong = "email" if values["email"] == "nobody" else "role"

    assert page.status == 422
    assert f'id="{wrong}-error"' in page.text
    assert values["email"] in page.text


def test_a_role_change_ends_the_sessions_of_whom_it_concerns(app, here, tenant, browser):
    other = new_user(here, tenant.slug)
    elsewhere = Browser(app)
    elsewhere.sign_in(other.email)
    assert browser.post(f"{PEOPLE}/{other.id}/role", {"role": "analyst"}).to == PEOPLE

    assert elsewhere.get("/dashboard/").status == 302
    elsewhere.sign_in(other.email)
    assert elsewhere.get(PEOPLE).status == 403
    assert "user.change_role" in actions(here, tenant.id, other.email)


def test_ones_own_new_role_comes_with_a_new_id(here, tenant, admin, browser):
    new_user(here, tenant.slug)
    before = browser.client.get_cookie("session").value
    browser.post(f"{PEOPLE}/{admin.id}/role", {"role": "analyst"})

    assert browser.client.get_cookie("session").value != before
    assert browser.get("/dashboard/").status == 200
    assert browser.get(PEOPLE).status == 403


def test_the_last_admin_stays(admin, browser):
    for change in ({"role": "analyst"}, None):
        path = f"{PEOPLE}/{admin.id}/" + ("role" if change else "remove")
        page = browser.post(path, change)
        assert page.status == 409
        assert "is the last admin" in page.text

    assert browser.get(PEOPLE).status == 200


def test_who_is_removed_is_out_at_once_and_can_come_back(app, here, tenant, browser):
    other = new_user(here, tenant.slug)
    elsewhere = Browser(app)
    elsewhere.sign_in(other.email)
    browser.post(f"{PEOPLE}/{other.id}/remove")

    assert elsewhere.get("/dashboard/").status == 302
    assert Browser(app).sign_in(other.email).status == 401
    link = link_in(browser.post(f"{PEOPLE}/invite", {"email": other.email, "role": "analyst"}))
    guest = Browser(app)
    guest.get(link)
    assert guest.post(link, {"password": PASSWORD}).status == 303


def test_who_removes_themselves_is_signed_out(here, tenant, admin, browser):
    new_user(here, tenant.slug)

    assert browser.post(f"{PEOPLE}/{admin.id}/remove").to == "/dashboard/sign-in"
    assert browser.get("/dashboard/").status == 302


def test_people_of_another_tenant_do_not_exist_here(here, browser):
    stranger = new_user(here, new_tenant(here).slug)
    unknown = browser.post(f"{PEOPLE}/999999999/remove")

    for what, values in (("remove", {}), ("role", {"role": "analyst"})):
        page = browser.post(f"{PEOPLE}/{stranger.id}/{what}", values)
        assert page.status == unknown.status == 404
    assert stranger.email not in browser.get(PEOPLE).text


def test_operators_see_and_invite_operators_only(app, here, admin, operator):
    email = next(emails)
    link = link_in(operator.post(f"{PEOPLE}/invite", {"email": email, "role": "operator"}))
    assert operator.post(f"{PEOPLE}/invite", {"email": next(emails), "role": "admin"}).status == 422
    assert operator.post(f"{PEOPLE}/{admin.id}/remove").status == 404
    assert admin.email not in operator.get(PEOPLE).text

    guest = Browser(app)
    guest.get(link)
    guest.post(link, {"password": PASSWORD})
    guest.sign_in(email)
    assert guest.get(TENANTS).status == 200
    assert actions(here, None, email)[:2] == ["invitation.create", "invitation.accept"]


def test_an_admin_requires_a_second_factor_of_everybody(app, here, tenant, admin, browser):
    browser.get("/dashboard/settings")
    browser.post("/dashboard/settings/second-factor", {"is_required": "1"})

    assert "checked" in browser.get("/dashboard/settings").text
    assert Browser(app).sign_in(admin.email).to.startswith("/dashboard/second-factor")
    (entry,) = [entry for entry in log_of(here, tenant.id) if entry.action == "tenant.require_second_factor"]
    assert (entry.before, entry.after) == ({"requires_totp": False}, {"requires_totp": True})


def test_an_operator_creates_a_tenant_and_its_first_admin_joins(app, here, operator):
    slug, email = f"made-{next(emails).split('-')[-1].split('@')[0]}-{id(app)}", next(emails)
    link = link_in(operator.post(f"{TENANTS}/create", {"slug": slug, "name": "Made", "email": email}))
    guest = Browser(app)
    guest.get(link)
    guest.post(link, {"password": PASSWORD})

    assert guest.sign_in(email).status == 303
    assert guest.get(PEOPLE).status == 200
    assert slug in operator.get(f"{TENANTS}?q={slug}").text
    assert operator.post(f"{TENANTS}/create", {"slug": slug, "name": "Made"}).status == 409
    assert operator.post(f"{TENANTS}/create", {"slug": "No!", "name": "Made"}).status == 422


def test_a_wrong_email_of_the_first_admin_creates_no_tenant(here, operator):
    page = operator.post(f"{TENANTS}/create", {"slug": "never-made", "name": "Made", "email": "nobody"})

    assert page.status == 422
    with here.database.transaction() as session:
        assert "never-made" not in {tenant.slug for tenant in service.every(session)}


def test_an_operator_suspends_and_resumes_a_tenant(tenant, api, browser, operator):
    operator.post(f"{TENANTS}/{tenant.slug}/suspend")
    assert api.award("p").status == 403
    assert browser.get("/dashboard/").status == 302

    operator.post(f"{TENANTS}/{tenant.slug}/resume")
    assert api.award("p").status == 200


def test_a_tenant_that_is_being_deleted_is_not_resumed(owner, tenant, operator):
    owner.execute("UPDATE tenants SET status = 'deleting' WHERE slug = %s", [tenant.slug])

    assert operator.post(f"{TENANTS}/{tenant.slug}/resume").status == 409


def test_with_a_mail_server_the_link_is_sent_and_not_shown(app, here, tenant, browser, monkeypatch):
    server, email = Smtp(), next(emails)
    mailer = Mailer(mail_server.parse(server.url()), is_production=True)
    monkeypatch.setitem(here.__dict__, "mailer", mailer)
    page = browser.post(f"{PEOPLE}/invite", {"email": email, "role": "analyst"})
    mailer.drain()
    server.close()

    assert page.to == PEOPLE
    assert "/dashboard/invitation/" not in browser.get(PEOPLE).text
    (got,) = server.mails
    assert got["To"] == email
    link = re.search(r"http://localhost(/dashboard/invitation/[\w-]{43})", got.get_content())[1]
    assert Browser(app).get(link).status == 200


def test_removing_asks_for_the_very_person_first(app, here, tenant, browser):
    person, stranger = new_user(here, tenant.slug), new_user(here, new_tenant(here).slug)
    page = browser.get(f"{PEOPLE}/{person.id}/remove")
    drawer = browser.get(f"{PEOPLE}/{person.id}/remove", headers={"HX-Request": "true", "HX-Target": "div#drawer-content"})

    for asked in (page, drawer):
        assert f"Remove {person.email}?" in asked.text
        assert f'action="{PEOPLE}/{person.id}/remove"' in asked.text
    assert "<html" not in drawer.text
    assert Browser(app).sign_in(person.email).status == 303
    assert browser.get(f"{PEOPLE}/{stranger.id}/remove").status == 404


@pytest.mark.parametrize("path", [f"{PEOPLE}/{10**30}/remove", f"{PEOPLE}/-1/remove", f"{PEOPLE}/invitations/%00/withdraw"])
def test_addresses_that_lead_nowhere_are_no_fault_of_ours(browser, path):
    assert browser.post(path).status in (404, 405)


@pytest.mark.parametrize("slug", ["%00", "nobody", "%F0%9F%92%A9", "%ff", "x" * 500])
def test_tenants_that_do_not_exist_are_no_fault_of_ours(operator, slug):
    assert operator.post(f"{TENANTS}/{slug}/suspend").status == 404
