"""The page on which admins import points from a file."""

import io

import pytest

from tests.people import Browser, log_of, new_user

PAGE = "/dashboard/import"
BALANCES = "participant_id,balance\nana,5\nbo,7\n"


@pytest.fixture
def admin(app, here, tenant) -> Browser:
    browser = Browser(app)
    browser.sign_in(new_user(here, tenant.slug).email)
    return browser


def upload(browser: Browser, content: str, how: str, *, page: str = PAGE):
    browser.get(PAGE)
    return browser.post(page, {"how": how, "file": (io.BytesIO(content.encode()), "points.csv")})


def test_a_check_says_what_would_become_of_each_line_and_stores_nothing(admin, tenant):
    page = upload(admin, BALANCES + "cleo,many\n", "check")

    assert page.status == 200
    assert "Nothing is stored yet: 1 line is bad" in " ".join(page.text.split())
    assert "Must be a whole number" in page.text
    assert tenant.row_count() == 0


def test_an_import_stores_the_file_and_the_log_has_who_did_it(admin, here, tenant, api):
    page = upload(admin, BALANCES, "store")

    assert "2 lines stored" in " ".join(page.text.split())
    assert (api.balance("ana"), api.balance("bo")) == (5, 7)
    [entry] = [entry for entry in log_of(here, tenant.id) if entry.action == "points.import"]
    assert (entry.actor_kind, entry.subject) == ("user", "opening balances: points.csv")


def test_what_is_good_is_stored_if_asked_for(admin, tenant, api):
    upload(admin, BALANCES + "cleo,many\n", "store")
    assert tenant.row_count() == 0

    upload(admin, BALANCES + "cleo,many\n", "skip")
    assert api.balance("ana") == 5


def test_in_the_sandbox_it_goes_into_the_sandbox(admin, api, tenant):
    upload(admin, BALANCES, "store", page=f"{PAGE}?mode=test")

    assert api.points("ana").status == 404
    assert api.with_key(tenant.test_key).balance("ana") == 5


@pytest.mark.parametrize(
    ("content", "how", "said"),
    [("who\nana\n", "check", "participant_id"), (BALANCES, "guess", "Choose what to do"), ("", "check", "begins with nothing")],
)
def test_a_file_that_is_none_is_said_at_its_field(admin, tenant, content, how, said):
    page = upload(admin, content, how)

    assert (page.status, said in page.text) == (422, True)
    assert tenant.row_count() == 0


def test_without_a_file_the_page_asks_for_one(admin):
    page = admin.post(PAGE, {"how": "check"})

    assert (page.status, "Choose a file." in page.text) == (422, True)


def test_an_analyst_neither_sees_nor_does_it(app, here, tenant):
    analyst = Browser(app)
    analyst.sign_in(new_user(here, tenant.slug, role="analyst").email)

    assert analyst.get(PAGE).status == 403
    assert upload(analyst, BALANCES, "store").status == 403
    assert PAGE not in analyst.get("/dashboard/participants").text
