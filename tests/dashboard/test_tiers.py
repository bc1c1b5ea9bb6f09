"""The tiers page: the ladder, its people, and what is under way."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from gamify.services import closeness, drafts, ladder, publishing, recalculations, rollups
from gamify.services.tiers import Policy

from tests.ladders import ANA, MOVE_DOWN, content, publish, save
from tests.people import Browser, new_user

TIERS, VERSIONS = "/dashboard/tiers", "/dashboard/tiers/versions"


@pytest.fixture
def analyst(app, here, tenant) -> Browser:
    found = Browser(app)
    found.sign_in(new_user(here, tenant.slug, role="analyst").email)
    return found


def words(page) -> str:
    """What a page says."""
    return re.sub(r"(<[^>]+>|\s)+", " ", page.text)


def test_the_page_tells_who_stands_where(browser, api):
    for who, points in (("ana", 499), ("bo", 500), ("cy", 20), ("di", 5_000)):
        api.award(who, points)
    text = words(browser.get(TIERS))

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


def test_a_recalculation_tells_how_far_it_is_and_the_page_comes_anew_when_it_is_done(here, browser, api, tenant):
    for n in range(3):
        api.award(f"p{n}", 450)
    while rollups.advance(here.database, tenant.id):
        pass
    publish(tenant, content(bronze=0, silver=400), is_finished=False)
    recalculations.advance(here.database, tenant.id, most=2)
    part = {"HX-Request": "true", "HX-Target": "div#state"}

    page = browser.get(TIERS, headers=part)
    assert "2 of 3 participants, 2 moved" in words(page)
    assert re.search(r'<progress value="2"\s+max="3"', page.text)
    assert "HX-Refresh" not in page.headers
    recalculations.advance(here.database, tenant.id)
    assert browser.get(TIERS, headers=part).headers["HX-Refresh"] == "true"
    assert "Everybody stands where version 2 puts them: 3 moved" in words(browser.get(TIERS))


def test_those_who_wait_for_their_next_award_are_counted(browser, api, tenant):
    for who in ("ana", "bo"):
        api.award(who, 450)
    publish(tenant, content(bronze=0, silver=400), Policy("next_award", "keep"))

    assert "2 participants wait for version 2" in words(browser.get(TIERS))
    api.award("ana", 1)
    assert "1 participants wait for version 2" in words(browser.get(TIERS))


def test_tiers_that_are_gone_are_listed_while_somebody_holds_them(browser, api, tenant):
    api.award("ana", 700)
    publish(tenant, content(bronze=0, gold=1500), Policy("next_award", "keep"))

    assert re.search(r"Silver Tier silver gone 1 100.0%", words(browser.get(TIERS)))


def test_a_draft_is_told_to_everybody_and_goes_on_for_admins(browser, analyst, tenant):
    assert "There is a draft" not in words(browser.get(TIERS))
    save(tenant, content(bronze=0, silver=400))

    told = "There is a draft that is not published. ana@shop.example"
    assert told in words(browser.get(TIERS))
    assert told in words(analyst.get(TIERS))
    assert "Go on" in words(browser.get(TIERS))
    assert "Go on" not in words(analyst.get(TIERS))


def test_a_scheduled_publication_is_told_and_cancelled(here, browser, tenant):
    revision = save(tenant, content(bronze=0, silver=400)).revision
    with here.database.transaction(tenant.id) as session:
        at = datetime.now(UTC) + timedelta(days=2)
        publishing.publish(session, tenant.id, revision=revision, policy=MOVE_DOWN, reason="Spring", actor=ANA, at=at)
    assert "The draft is published in" in words(browser.get(TIERS))

    assert browser.post("/dashboard/tiers/cancel").to == TIERS
    with here.database.transaction(tenant.id) as session:
        assert drafts.of(session, tenant.id).publish_at is None
    assert "The publication is cancelled" in words(browser.get(TIERS))


def test_versions_tell_who_when_why_and_what_has_changed(here, browser, tenant):
    revision = save(tenant, content(bronze=0, silver=600, top=9_000)).revision
    with here.database.transaction(tenant.id) as session:
        publishing.publish(session, tenant.id, revision=revision, policy=MOVE_DOWN, reason="Spring is here", actor=ANA)
    text = words(browser.get(VERSIONS))

    assert "by ana@shop.example" in text
    assert "“Spring is here”" in text
    assert re.search(r"Changed Silver Tier : threshold 500 to 600", text)
    assert re.search(r"Added Top Tier from 9,000 points", text)
    assert re.search(r"Removed Gold Tier , from 1,500 points", text)


def test_versions_are_listed_page_by_page(browser, tenant):
    for n in range(23):
        tenant.put_tiers(bronze=0, silver=500 + n)
    first = browser.get(VERSIONS)
    older = re.search(r'href="([^"]+before=[^"]+)"', first.text)

    assert older
    found = [*re.findall(r"Version (\d+)</h2>", first.text), *re.findall(r"Version (\d+)</h2>", browser.get(older[1]).text)]
    assert [int(version) for version in found] == list(range(24, 0, -1))


def test_restoring_a_version_makes_it_the_draft(here, browser, tenant):
    tenant.put_tiers(only=5)
    assert "Restore version 1?" in words(browser.get(f"{VERSIONS}/1/restore"))

    assert browser.post(f"{VERSIONS}/1/restore").to == "/dashboard/tiers/edit"
    with here.database.transaction(tenant.id) as session:
        assert [rung.code for rung in drafts.of(session, tenant.id).content.rungs] == ["bronze", "silver", "gold"]
        assert [tier.code for tier in ladder.in_force(session, tenant.id)] == ["only"]
    assert browser.post(f"{VERSIONS}/3/restore").status == 404
    assert browser.post(f"{VERSIONS}/{10**12}/restore").status == 404


def test_analysts_see_tiers_versions_and_previews_and_change_nothing(analyst, tenant):
    save(tenant, content(bronze=0, silver=400))

    assert [analyst.get(path).status for path in (TIERS, VERSIONS, f"{TIERS}/preview")] == [200, 200, 200]
    assert "Edit tiers" not in analyst.get(TIERS).text
    assert "Restore" not in analyst.get(VERSIONS).text
    for path in ("edit", "publish", "discard", "cancel", "versions/1/restore"):
        assert analyst.post(f"{TIERS}/{path}").status == 403
