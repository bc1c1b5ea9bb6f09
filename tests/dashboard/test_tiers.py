"""The tiers page and its plain form."""

import re

import pytest
from gamify.services import closeness, ladder, rollups, tiers
from gamify.services.audit import SYSTEM

from tests.harness import Api
from tests.people import Browser, actions, new_user

EDIT = "/dashboard/tiers/edit"


@pytest.fixture
def api(app, tenant) -> Api:
    return Api(app.test_client(), tenant.key)


@pytest.fixture
def browser(app, here, tenant) -> Browser:
    """An admin's."""
    found = Browser(app)
    found.sign_in(new_user(here, tenant.slug).email)
    return found


def rows(*tiers: tuple[str, str, str, str], version: int = 1, gone: tuple[int, ...] = ()) -> dict[str, object]:
    columns = map(list, zip(*tiers, strict=True))
    return {"version": version, "gone": list(gone)} | dict(zip(("code", "name", "threshold", "colour"), columns, strict=True))


STARTERS = (("bronze", "Bronze Tier", "0", ""), ("silver", "Silver Tier", "500", ""), ("gold", "Gold Tier", "1500", ""))


def in_force(here, tenant) -> list[tuple[str, str, int, str | None]]:
    with here.database.transaction(tenant.id) as session:
        return [(t.code, t.name, t.threshold, t.colour) for t in ladder.in_force(session, tenant.id)]


def test_the_page_tells_who_stands_where(browser, api):
    for who, points in (("ana", 499), ("bo", 500), ("cy", 20), ("di", 5_000)):
        api.award(who, points)
    text = re.sub(r"<[^>]+>|\s+", " ", browser.get("/dashboard/tiers").text)

    assert re.search(r"Gold Tier\s+gold\s+1,500\s+1\s+25.0%", text)
    assert re.search(r"Silver Tier\s+silver\s+500\s+1\s+25.0%", text)
    assert re.search(r"Bronze Tier\s+bronze\s+0\s+2\s+50.0%", text)


@pytest.mark.parametrize("is_summed", [False, True])
def test_closeness_counts_from_a_quarter_and_a_tenth_of_the_way_on(here, api, tenant, is_summed):
    # From silver (500) to gold (1500) a quarter left is from 1250 on, a tenth from 1400 on.
    for n, points in enumerate((499, 500, 1249, 1250, 1399, 1400, 1499, 1500)):
        api.award(f"p{n}", points)
    if is_summed:
        while rollups.advance(here.database, tenant.id):
            pass
        api.award("p3", 1)  # one of them has moved since
    with here.database.snapshot(tenant.id) as session:
        steps = closeness.of(session, tenant.id, ladder.in_force(session, tenant.id))

    assert [(step.next.code, step.near_count, step.nearer_count) for step in steps] == [("silver", 1, 1), ("gold", 4, 2)]


def test_closeness_begins_at_nothing_where_the_lowest_tier_has_to_be_earned(here, api, tenant):
    tenant.put_tiers(member=100)
    api.award("ana", 95)
    with here.database.snapshot(tenant.id) as session:
        [step] = closeness.of(session, tenant.id, ladder.in_force(session, tenant.id))

    assert (step.tier, step.next.code, step.near_count, step.nearer_count) == (None, "member", 1, 1)


def test_tiers_are_set_by_the_form_and_everybody_is_placed_anew(here, browser, api, tenant):
    api.award("ana", 700)
    wanted = (*STARTERS[:2], ("gold", "Golden Circle", "600", "rose"), ("top", "", "9,000", ""))

    page = browser.post(EDIT, rows(*wanted))

    assert page.to == "/dashboard/tiers"
    assert in_force(here, tenant)[2:] == [("gold", "Golden Circle", 600, "rose"), ("top", "Top Tier", 9000, None)]
    assert "Golden Circle" in browser.get("/dashboard/tiers").text
    assert actions(here, tenant.id, "tiers")[-1] == "tiers.replace"
    assert tenant.differences() == []


def test_a_row_that_is_marked_goes(here, browser, tenant):
    browser.post(EDIT, rows(*STARTERS, gone=(1,)))

    assert [code for code, *_ in in_force(here, tenant)] == ["bronze", "gold"]


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        (("Gold!", "", "5", ""), "A code is 1 to 50"),
        (("top", "", "much", ""), "A threshold is a whole number"),
        (("top", "", "-1", ""), "A threshold is a whole number"),
        (("top", "", "9223372036854775808", ""), "A threshold is a whole number"),
        (("top", "", "500", ""), "Two tiers cannot have the same threshold"),
        (("gold", "", "9", ""), "A code stands for one tier only"),
        (("top", "x" * 101, "9", ""), "A name is 1 to 100 characters"),
        (("top", "Top", "9", "plaid"), "A colour is one of"),
    ],
)
def test_what_cannot_be_used_is_told_and_nothing_is_changed(here, browser, tenant, row, sentence):
    page = browser.post(EDIT, rows(*STARTERS, row))

    assert page.status == 422
    assert sentence in page.text
    assert f'value="{row[0]}"' in page.text  # and what was typed is still there
    assert [code for code, *_ in in_force(here, tenant)] == ["bronze", "silver", "gold"]


def test_a_change_of_somebody_else_is_not_overwritten(here, browser, tenant):
    with here.database.transaction(tenant.id) as session:
        tiers.replace(session, tenant.id, {"only": 5}, actor=SYSTEM)

    page = browser.post(EDIT, rows(*STARTERS, version=1))

    assert page.status == 409
    assert "Somebody else has changed the tiers meanwhile" in page.text
    assert [code for code, *_ in in_force(here, tenant)] == ["only"]


def test_the_sandbox_has_tiers_of_its_own(here, browser, tenant):
    browser.get(f"{EDIT}?mode=test")
    browser.post(f"{EDIT}?mode=test", rows(("try", "Try", "1", "sky")))

    assert [code for code, *_ in in_force(here, tenant)] == ["bronze", "silver", "gold"]
    assert "Try" in browser.get("/dashboard/tiers?mode=test").text


def test_analysts_see_tiers_and_cannot_change_them(app, here, tenant):
    browser = Browser(app)
    browser.sign_in(new_user(here, tenant.slug, role="analyst").email)

    assert "Edit the tiers" not in browser.get("/dashboard/tiers").text
    assert browser.get(EDIT).status == 403
    assert browser.post(EDIT, rows(*STARTERS)).status == 403
