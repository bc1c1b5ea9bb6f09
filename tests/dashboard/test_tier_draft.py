"""The editor's page as a form: what is typed is kept, told and published, with a script or without."""

import csv
import io
import re

import pytest
from gamify.services import drafts, ladder, previews
from gamify.services.tiers import Qualification

from tests.ladders import ANA, content, save, tiers_of
from tests.people import actions

TIERS, EDIT, PREVIEW, PUBLISH = (f"/dashboard/tiers{path}" for path in ("", "/edit", "/preview", "/publish"))
PART = {"HX-Request": "true", "HX-Target": "p#saved"}
STARTERS = (("bronze", "Bronze Tier", "0", ""), ("silver", "Silver Tier", "500", ""), ("gold", "Gold Tier", "1,500", ""))


def fields(
    *tiers: tuple[str, str, str, str], revision: int = 1, gone: tuple[int, ...] = (), **others: object
) -> dict[str, object]:
    """What the form sends."""
    sent = {"row": [str(n) for n in range(len(tiers))], "revision": revision, "basis": "lifetime"} | {
        f"gone-{n}": "1" for n in gone
    }
    for n, values in enumerate(tiers):
        sent |= {f"{name}-{n}": value for name, value in zip(("code", "name", "threshold", "colour"), values, strict=True)}
    return sent | others


def draft_of(here, tenant) -> drafts.Draft:
    with here.database.transaction(tenant.id) as session:
        return drafts.of(session, tenant.id)


def rungs(here, tenant) -> list[tuple[str, str, int | None, str | None]]:
    return [tuple(rung) for rung in draft_of(here, tenant).content.rungs]


def words(page) -> str:
    """What a page says."""
    return re.sub(r"(<[^>]+>|\s)+", " ", page.text)


def test_what_is_typed_becomes_the_draft_and_nothing_else_changes(here, browser, api, tenant):
    api.award("ana", 700)
    page = browser.post(
        EDIT, fields(*STARTERS[:2], ("gold", "Golden Circle", "600", "rose"), ("", "Top of all!", "9 000", ""), do="preview")
    )

    assert page.to == EDIT
    assert rungs(here, tenant)[2:] == [("gold", "Golden Circle", 600, "rose"), ("top-of-all", "Top of all!", 9_000, None)]
    assert tiers_of(tenant) == {"ana": "silver"}
    assert actions(here, tenant.id, "draft") == ["tiers.draft"]
    assert "Rise 1" in words(browser.get(EDIT))


def test_what_is_as_in_force_is_no_draft(here, browser, tenant):
    browser.post(EDIT, fields(*STARTERS), headers=PART)

    assert not draft_of(here, tenant).is_saved


def test_a_script_is_told_that_it_is_saved_and_the_revision_for_the_next_time(here, browser, tenant):
    page = browser.post(EDIT, fields(*STARTERS[:2], ("gold", "Gold Tier", "2000", "")), headers=PART)

    assert page.status == 200
    assert "Saved" in page.text
    assert re.search(rf'name="revision"\s+value="{draft_of(here, tenant).revision}"', page.text)
    assert page.headers["HX-Trigger"] == "draft-saved"


@pytest.mark.parametrize(
    ("row", "place", "sentence"),
    [
        (("Gold!", "", "5", ""), "code", "A code is 1 to 50"),
        (("top", "", "much", ""), "threshold", "A threshold is a whole number"),
        (("top", "", "-1", ""), "threshold", "A threshold is a whole number"),
        (("top", "", "9223372036854775808", ""), "threshold", "A threshold is a whole number"),
        (("top", "", "500", ""), "threshold", "Two tiers cannot both begin at 500 points"),
        (("gold", "", "9", ""), "code", "Two tiers cannot have the code gold"),
        (("top", "x" * 101, "9", ""), "name", "A name is 1 to 100 characters"),
        (("top", "Top", "9", "plaid"), "colour", "A colour is one of"),
        (("top", "T\0p", "9", ""), "name", "U+0000"),
    ],
)
def test_what_is_wrong_is_told_at_its_field_and_is_not_published(browser, row, place, sentence):
    told = browser.post(EDIT, fields(*STARTERS, row), headers=PART)
    revision = re.search(r'name="revision"\s+value="(\d+)"', told.text)
    assert revision
    assert "HX-Trigger" not in told.headers
    assert re.search(rf'id="problem-3"\s+data-wrong="{place}">[^<]*{re.escape(sentence)}', told.text), told.text

    page = browser.post(EDIT, fields(*STARTERS, row, revision=int(revision[1]), do="publish"))
    assert page.status in (200, 422)
    assert sentence in page.text
    assert not page.to
    assert row[2] in page.text  # and what was typed is still there


def test_no_more_tiers_than_there_can_be(browser):
    many = [(f"t{n}", "", str(n), "") for n in range(21)]
    page = browser.post(EDIT, fields(*many, do="publish"))

    assert "There can be at most 20 tiers" in page.text


def test_a_deleted_tier_stays_in_sight_and_comes_back(here, browser, tenant):
    browser.post(EDIT, fields(*STARTERS, gone=(1,), do="preview"))
    assert [code for code, *_ in rungs(here, tenant)] == ["bronze", "gold"]

    page = browser.get(EDIT)
    assert re.search(r'name="gone-t2"\s+value="1"\s+checked', page.text)
    assert "Silver Tier is deleted" in words(page)


def test_a_row_is_added_without_a_script(browser):
    page = browser.post(EDIT, fields(*STARTERS, do="add"))

    assert 'name="row" value="n3"' in page.text


def test_a_code_that_was_published_is_not_to_be_changed(browser, tenant):
    save(tenant, content(bronze=0, fresh=100))
    text = browser.get(EDIT).text

    assert re.search(r'value="bronze"[^>]*readonly', text)
    assert not re.search(r'value="fresh"[^>]*readonly', text)


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({"basis": "window", "window_days": "90", "grace_days": "1"}, Qualification("window", 90)),
        ({"basis": "year", "window_days": "1", "grace_days": "31"}, Qualification("year", None, 31)),
    ],
)
def test_how_participants_qualify_is_part_of_the_draft(here, browser, tenant, sent, expected):
    browser.post(EDIT, fields(*STARTERS, **sent, do="preview"))

    assert draft_of(here, tenant).content.qualification == expected
    assert "Rise" in words(browser.get(EDIT))


def test_days_that_are_none_are_told(browser):
    page = browser.post(EDIT, fields(*STARTERS, basis="window", window_days="many", do="publish"))

    assert re.search(r'id="problem-window_days">Must be from 1 to 3660 days', page.text)


def test_a_change_of_somebody_else_is_shown_beside_ones_own(here, browser, tenant):
    revision = save(tenant, content(bronze=0, silver=500, gold=1500, first=1)).revision
    save(tenant, content(bronze=0, silver=550, gold=1500, first=1))
    mine = (*STARTERS[:2], ("gold", "Gold Tier", "1,600", ""), ("first", "First Tier", "1", ""))

    page = browser.post(EDIT, fields(*mine, revision=revision), headers=PART)

    assert page.status == 409
    assert "ana@shop.example has changed this draft" in words(page)
    assert re.search(r"Silver Tier Silver Tier, from 500 Silver Tier, from 550", words(page))
    assert re.search(r"Gold Tier Gold Tier, from 1,600 Gold Tier, from 1,500", words(page))
    assert {code: least for code, _, least, _ in rungs(here, tenant)}["silver"] == 550  # nothing is overwritten


def test_of_two_versions_each_tier_is_kept_as_chosen(here, browser, tenant):
    theirs = save(tenant, content(bronze=0, silver=550, gold=1500))
    mine = fields(*STARTERS[:2], ("gold", "Gold Tier", "1,600", ""), do="merge", theirs=theirs.revision)

    page = browser.post(EDIT, mine | {"tier-silver": "theirs", "tier-gold": "mine"})

    assert page.to == EDIT
    assert [(code, least) for code, _, least, _ in rungs(here, tenant)] == [("bronze", 0), ("silver", 550), ("gold", 1600)]


def test_what_was_changed_once_more_is_shown_before_anything_is_chosen(here, browser, tenant):
    seen = save(tenant, content(bronze=0, silver=550, gold=1500)).revision
    save(tenant, content(bronze=0, silver=560, gold=1500))

    page = browser.post(EDIT, fields(*STARTERS, do="merge", theirs=seen) | {"tier-silver": "theirs"})

    assert page.status == 409
    assert "from 560" in words(page)


def test_a_ladder_published_meanwhile_is_told_and_taken_note_of(here, browser, tenant):
    revision = save(tenant, content(bronze=0, silver=400)).revision
    tenant.put_tiers(bronze=0, gold=900)
    assert "Version 2 has come into force" in words(browser.get(EDIT))

    browser.post(EDIT, fields(*STARTERS[:2], revision=revision, in_force=2, do="rebase"))
    assert draft_of(here, tenant).based_on == 2
    assert "has come into force" not in words(browser.get(EDIT))


def test_the_preview_counts_and_names_those_who_move(browser, api, tenant):
    for who, points in (("ana", 450), ("bo", 520), ("cy", 1_600), ("di", 3)):
        api.award(who, points)
    save(tenant, content(bronze=0, silver=400, gold=2_000))

    kept = words(browser.get(PREVIEW))
    assert re.search(r"Rise 1 Fall 0 Keep 1 would fall Stay 2", kept)
    assert re.search(r"Gold Tier 2,000 1 1 ·", kept)
    fallen = words(browser.get(PREVIEW, query_string={"falling": "move_down", "direction": "fall"}))
    assert re.search(r"Rise 1 Fall 1 Keep 0 Stay 2", fallen)
    assert re.search(r"Who moves .* cy 1,600 Gold Tier Falls to Silver Tier", fallen)
    assert "ana 450" not in fallen


def test_those_who_move_go_on_page_by_page_and_as_a_file(browser, api, tenant):
    for n in range(30):
        api.award(f"p{n:02}", 450)
    save(tenant, content(bronze=0, silver=400))
    first = browser.get(PREVIEW, query_string={"before": "bronze", "after": "silver"})
    more = re.search(r'href="([^"]+cursor=[^"]+)"', first.text)

    assert more
    text = first.text + browser.get(more[1].replace("&amp;", "&")).text
    assert sorted(set(re.findall(r">(p\d\d)</a>", text))) == [f"p{n:02}" for n in range(30)]
    rows = list(csv.DictReader(io.StringIO(browser.get(f"{PREVIEW}.csv").text)))
    assert [row["participant_id"] for row in rows] == [f"p{n:02}" for n in range(30)]
    assert {(row["tier_before"], row["tier_after"], row["direction"]) for row in rows} == {("bronze", "silver", "rise")}


@pytest.mark.parametrize("query", [{"falling": "x"}, {"direction": "up"}, {"before": "nothing"}, {"cursor": "x"}])
def test_what_no_preview_can_be_is_refused(browser, tenant, query):
    save(tenant, content(bronze=0, silver=400))

    assert browser.get(PREVIEW, query_string=query).status == 422


def test_a_preview_of_every_ledger_goes_on_where_it_was(monkeypatch, browser, api, tenant):
    for n in range(5):
        api.award(f"p{n}", 450)
    save(tenant, content(Qualification("window", 30), bronze=0, silver=400))
    begin = previews.part
    with monkeypatch.context() as patient:
        patient.setattr(previews, "part", lambda *given, **options: begin(*given, **options, seconds=0, most=2))
        begun = browser.get(PREVIEW)
    assert re.search(r"\d+% of the participants are looked at .* Rise 2", words(begun))
    going_on = re.search(r'hx-get="([^"]+so_far=[^"]+)"', begun.text)

    assert going_on
    api.award("p0", 5)  # was counted already
    assert "Rise 5" in words(browser.get(going_on[1].replace("&amp;", "&")))
    save(tenant, content(bronze=0, silver=451))
    assert "Rise 1" in words(browser.get(going_on[1].replace("&amp;", "&")))  # of another draft: begun anew


def test_publishing_says_what_it_does_with_just_these_choices(browser, api, tenant):
    for who, points in (("ana", 450), ("cy", 1_600)):
        api.award(who, points)
    save(tenant, content(bronze=0, silver=400, gold=2_000))

    assert "Publish: 1 rise, 1 keep their tier" in words(browser.get(PUBLISH))
    down = browser.get(
        PUBLISH, query_string={"effect": "now", "falling": "move_down"}, headers=PART | {"HX-Target": "div#summary"}
    )
    assert "Publish: 1 rise, 1 fall" in words(down)
    assert re.search(r"threshold 1,500 to 2,000", words(down))


def test_publishing_moves_everybody_as_chosen_and_can_be_undone(here, browser, api, tenant):
    for who, points in (("ana", 450), ("cy", 1_600)):
        api.award(who, points)
    revision = save(tenant, content(bronze=0, silver=400, gold=2_000)).revision

    page = browser.post(PUBLISH, {"revision": revision, "effect": "now", "falling": "move_down", "reason": " Fair "})
    assert page.to == f"{TIERS}?published=2"
    assert tiers_of(tenant) == {"ana": "silver", "cy": "silver"}
    with here.database.transaction(tenant.id) as session:
        newest = ladder.newest(session, tenant.id)
    assert newest
    assert (newest.reason, newest.falling) == ("Fair", "move_down")

    assert "Undo" in words(browser.get(page.to))
    undone = browser.post(f"{TIERS}/versions/1/restore", {"falling": "move_down"})
    assert undone.to == f"{EDIT}?falling=move_down"
    assert "Rise 1 Fall 1" in words(browser.get(undone.to))
    browser.post(PUBLISH, {"revision": draft_of(here, tenant).revision, "effect": "now", "falling": "move_down"})
    assert tiers_of(tenant) == {"ana": "bronze", "cy": "gold"}
    assert tenant.differences() == []


@pytest.mark.parametrize(
    ("choices", "sentence"),
    [
        ({"effect": "later"}, "Choose one of these"),
        ({"falling": "up"}, "Choose one of these"),
        ({"effect": "at", "at": "soon"}, "Give a day and a time"),
        ({"effect": "at", "at": "2020-01-01T10:00"}, "Must not lie in the past"),
        ({"falling": "keep_until", "kept_until": ""}, "Give a day"),
        ({"falling": "keep_until", "kept_until": "2020-01-01"}, "Must not lie in the past"),
        ({"reason": "x" * 501}, "Must have at most 500 characters"),
    ],
)
def test_choices_that_cannot_be_are_told_and_nothing_is_published(here, browser, tenant, choices, sentence):
    revision = save(tenant, content(bronze=0, silver=400)).revision
    page = browser.post(PUBLISH, {"revision": revision, "effect": "now", "falling": "keep", "reason": "kept"} | choices)

    assert page.status == 422
    assert sentence in page.text
    assert draft_of(here, tenant).revision == revision


def test_a_time_is_one_of_the_tenants_zone(here, owner, browser, tenant):
    owner.execute("UPDATE tenants SET time_zone = 'Asia/Tokyo' WHERE slug = %s", [tenant.slug])
    revision = save(tenant, content(bronze=0, silver=400)).revision

    page = browser.post(PUBLISH, {"revision": revision, "effect": "at", "at": "2099-01-02T09:00", "falling": "keep"})

    assert page.to == TIERS
    assert f"{draft_of(here, tenant).publish_at:%Y-%m-%d %H:%M}" == "2099-01-02 00:00"
    assert "disabled" in browser.get(EDIT).text  # until it is cancelled


def test_what_somebody_else_has_changed_is_not_published_unseen(here, browser, tenant):
    revision = save(tenant, content(bronze=0, silver=400)).revision
    save(tenant, content(bronze=0, silver=300))

    page = browser.post(PUBLISH, {"revision": revision, "effect": "now", "falling": "keep"})

    assert page.status == 409
    assert f"{ANA.name} has changed the draft" in page.text


def test_the_sandbox_has_a_draft_of_its_own(here, browser, tenant):
    browser.post(f"{EDIT}?mode=test", fields(("try", "Try", "1", "sky"), do="preview"))

    assert not draft_of(here, tenant).is_saved
    assert "Try" in browser.get(f"{EDIT}?mode=test").text


def test_a_draft_is_discarded(here, browser, tenant):
    save(tenant, content(bronze=0, silver=400))
    assert "Discard the draft?" in words(browser.get(f"{TIERS}/discard"))

    assert browser.post(f"{TIERS}/discard").to == TIERS
    assert not draft_of(here, tenant).is_saved
