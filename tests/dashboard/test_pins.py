"""Pins, as people of a tenant set, see and end them."""

import csv
import html
import io
import re
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest
from gamify.services import holds, profiles, recalculations, tiers
from gamify.services.audit import SYSTEM

from tests.harness import TenantUnderTest
from tests.people import Browser, Page, actions, new_user

LIST = "/dashboard/participants"
ROW = re.compile(r'<a class="id"\s+href="[^"]*">([^<]*)</a>\s*</th>')
TODAY = datetime.now(UTC).date()
IN_THREE_DAYS = str(TODAY + timedelta(days=3))


@pytest.fixture
def admin(here, tenant):
    return new_user(here, tenant.slug)


@pytest.fixture
def browser(app, admin) -> Browser:
    """A browser in which an admin is signed in."""
    made = Browser(app)
    assert made.sign_in(admin.email).status == 303
    return made


@pytest.fixture
def analyst(app, here, tenant) -> Browser:
    made = Browser(app)
    assert made.sign_in(new_user(here, tenant.slug, role="analyst").email).status == 303
    return made


def address(pid: str) -> str:
    return f"{LIST}/{quote(pid, safe='')}"


def pin(browser: Browser, pid: str = "ana", **values: str) -> Page:
    browser.get(address(pid))
    form = {"pin_tier": "gold", "pin_reason": "A friend", "pin_last_day": ""} | values
    return browser.post(f"/dashboard/pin?participant={quote(pid, safe='')}", form)


def unpin(browser: Browser, pid: str = "ana", **values: str) -> Page:
    browser.get(address(pid))
    return browser.post(f"/dashboard/unpin?participant={quote(pid, safe='')}", values)


def words(page: Page) -> str:
    """What a page says, without its markup."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page.text)).split())


def listed(page: Page) -> list[str]:
    return [html.unescape(name) for name in ROW.findall(page.text)]


def test_a_pin_is_set_on_the_profile_and_shown_wherever_the_tier_is(browser, analyst, admin, api, here, tenant):
    api.award("ana", 600)

    done = pin(browser, pin_last_day=IN_THREE_DAYS)

    assert (done.status, done.to) == (303, address("ana"))
    midnight = f"{TODAY + timedelta(days=4)} 00:00"
    for reader in (browser, analyst):
        profile = words(reader.get(address("ana")))
        assert f"Pinned until {midnight} by {admin.email}: A friend" in profile
        assert "Gold Tier" in profile
        assert f"pinned until {midnight}" in words(reader.get(LIST))
        assert f'title="Pinned until {midnight} by {admin.email}: A friend"' in html.unescape(reader.get(LIST).text)
    assert api.award("ana", 1).json["tier_upgrade"] is None
    assert [action for action in actions(here, tenant.id, _subject(tenant)) if action == "tier.pin"] == ["tier.pin"]


def _subject(tenant: TenantUnderTest) -> str:
    with tenant.here.database.transaction(tenant.id) as session:
        return f"participant {profiles.find(session, tenant.id, 'ana').id}"


def test_unpinned_they_return_to_what_they_have_earned(browser, admin, api):
    api.award("ana", 600)
    pin(browser)
    assert "Unpinned, they stand on Silver Tier" in words(browser.get(address("ana")))

    assert unpin(browser, unpin_reason="It is over").status == 303

    profile = words(browser.get(address("ana")))
    assert f"Unpinned by {admin.email}: It is over" in profile
    assert f"Pinned by {admin.email}: A friend" in profile
    assert "Pin to a tier" in profile
    assert "Nobody was pinned" in words(browser.get(unpin(browser).to))


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"pin_reason": " "}, "Say why"),
        ({"pin_reason": "r" * 501}, "at most 500 characters"),
        ({"pin_tier": "ruby"}, "There is no such tier"),
        ({"pin_last_day": "soon"}, "Must be a day such as"),
        ({"pin_last_day": "9999-12-31"}, "Must be a day such as"),
        ({"pin_last_day": str(TODAY - timedelta(days=2))}, "Must not be over yet"),
    ],
)
def test_a_pin_that_makes_no_sense_is_said_at_its_field_and_what_was_typed_stays(browser, api, values, says):
    api.award("ana", 600)

    page = pin(browser, **{"pin_reason": "What I typed"} | values)

    [field] = values
    assert page.status == 422
    assert says in page.text
    assert f'id="{field}-error"' in page.text
    assert "pin_reason" in values or 'value="What I typed"' in page.text
    assert "Pinned by" not in words(browser.get(address("ana")))


def test_a_reason_too_long_to_unpin_is_said_at_its_field(browser, api):
    api.award("ana", 600)
    pin(browser)

    page = unpin(browser, unpin_reason="r" * 501)

    assert page.status == 422
    assert 'id="unpin_reason-error"' in page.text


def test_the_last_day_of_a_pin_is_a_day_of_the_tenants_zone(browser, api, here, tenant, owner):
    owner.execute("UPDATE tenants SET time_zone = 'Asia/Tokyo' WHERE id = %s", [tenant.id])
    api.award("ana", 600)
    pin(browser, pin_last_day="2099-01-31")

    with here.database.transaction(tenant.id) as session:
        person = profiles.find(session, tenant.id, "ana")
        [hold] = holds.pins(session, tenant.id, [person.id]).values()
    assert hold.until == datetime(2099, 1, 31, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    ("query", "says"),
    [
        (
            "pin_tier=gold",
            "Silver Tier Gold Tier at once, whatever is earned. Until somebody unpins; by points it would be Silver",
        ),
        ("pin_tier=silver", "Silver Tier stays, whatever is earned."),
        ("pin_tier=gold&pin_last_day=2099-01-31", "From 2099-02-01 00:00 on, what is earned by then: today that is Silver Tier"),
        ("pin_tier=gold&pin_last_day=x", "Must be a day such as"),
        ("pin_tier=ruby", "Choose a tier"),
    ],
)
def test_what_a_pin_does_is_told_before(browser, api, query, says):
    api.award("ana", 600)

    assert says in words(browser.get(f"/dashboard/pin/preview?participant=ana&{query}"))


def test_an_adjustment_tells_that_a_pin_stays(browser, api):
    api.award("ana", 600)
    pin(browser, pin_last_day="2099-01-31")
    ask = "/dashboard/adjust/preview?participant=ana&kind={}&amount={}"

    assert "Stays on Gold Tier, pinned until 2099-02-01 00:00" in words(browser.get(ask.format("award", 5000)))
    assert "pinned" not in words(browser.get(ask.format("deduct", 50)))


def test_an_adjustment_tells_what_is_kept_and_when_it_is_passed(browser, api, tenant):
    api.award("ana", 600)
    publish(tenant, {"bronze": 0, "silver": 1000, "gold": 2000})
    ask = "/dashboard/adjust/preview?participant=ana&kind=award&amount={}"

    assert "Kept until as much is earned" in words(browser.get(address("ana")))
    assert "Keeps Silver Tier , 1,350 to Gold Tier" in words(browser.get(ask.format(50))).replace("Tier,", "Tier ,")
    assert words(browser.get(ask.format(1400))).endswith("Gold Tier")


def publish(t: TenantUnderTest, thresholds: dict[str, int]) -> None:
    """Put a ladder in force for everybody; those who would fall keep their tier."""
    with t.here.database.transaction(t.id) as session:
        tiers.put(session, t.id, thresholds, {}, policy=tiers.Policy(), actor=SYSTEM)
        tiers.shut(session, t.id)
        recalculations.begin(session, t.id)
    while recalculations.advance(t.here.database, t.id):
        pass


def test_those_who_are_pinned_are_listed_and_sent_as_a_file(browser, api, tenant):
    for who in ("ana", "bob", "cid"):
        api.award(who, 600)
    publish(tenant, {"bronze": 0, "silver": 1000})
    api.award("cid", 400)
    pin(browser, "ana", pin_tier="bronze")

    assert listed(browser.get(f"{LIST}?held=pinned")) == ["ana"]
    assert listed(browser.get(f"{LIST}?held=pinned&q=bo")) == []
    assert "Nobody like that is pinned" in browser.get(f"{LIST}?held=pinned&tier=silver").text
    assert browser.get(f"{LIST}?held=kept").status == 422
    rows = list(csv.DictReader(io.StringIO(browser.get(f"{LIST}.csv?sort=id").text.lstrip("\ufeff"))))
    assert {row["participant_id"]: row["held"] for row in rows} == {"ana": "pinned", "bob": "kept", "cid": ""}
    rows = list(csv.DictReader(io.StringIO(browser.get(f"{LIST}.csv?held=pinned").text.lstrip("\ufeff"))))
    assert [(row["participant_id"], row["tier"]) for row in rows] == [("ana", "bronze")]


def test_pins_that_end_soon_need_attention_and_others_do_not(browser, analyst, api):
    for n in range(8):
        api.award(f"user-{n}", 1)
        pin(browser, f"user-{n}", pin_last_day=str(TODAY + timedelta(days=n)))
    overview = browser.get("/dashboard/")
    found = re.findall(r'class="notice watch">.*?</div>', overview.text, re.DOTALL)[0]

    assert [name for name in (f"user-{n}" for n in range(8)) if f">{name}<" in found] == [f"user-{n}" for n in range(5)]
    assert "held=pinned" in found
    assert "These pins end soon" not in analyst.get("/dashboard/").text


def test_an_analyst_sees_pins_but_sets_none(browser, analyst, api):
    api.award("ana", 600)
    pin(browser)

    assert "/dashboard/pin" not in analyst.get(address("ana")).text
    assert (pin(analyst).status, unpin(analyst).status) == (403, 403)
    assert analyst.get("/dashboard/pin/preview?participant=ana&pin_tier=gold").status == 403


@pytest.mark.parametrize("pid", ["a/b", "a\nb", "<script>alert(1)</script>", "../x", "über 日本", "a/points"])
def test_anybody_can_be_pinned_whatever_their_id_and_the_reason_is_no_markup(browser, api, pid):
    api.award(pid, 1)

    assert pin(browser, pid, pin_reason="<b>bold</b>").status == 303

    profile = browser.get(address(pid))
    assert "&lt;b&gt;bold&lt;/b&gt;" in profile.text
    assert "<b>bold" not in profile.text + browser.get(LIST).text
    assert unpin(browser, pid).status == 303


def test_in_the_sandbox_pins_are_the_sandboxs_own(browser, api, tenant):
    api.award("ana", 1)
    api.with_key(tenant.test_key).award("ana", 1)
    browser.get(f"{address('ana')}?mode=test")

    form = {"pin_tier": "gold", "pin_reason": "A try", "pin_last_day": ""}
    assert browser.post("/dashboard/pin?participant=ana&mode=test", form).status == 303

    assert "A try" in browser.get(f"{address('ana')}?mode=test").text
    assert "A try" not in browser.get(address("ana")).text
