"""Previews: what publishing then does, participant by participant."""

from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from gamify.errors import Invalid
from gamify.services import holds, ladder, previews, rollups
from gamify.services.drafts import Content, Rung
from gamify.services.previews import Flow, Movers, Moves, Part, Preview
from gamify.services.tiers import Policy, Qualification

from tests.harness import TenantUnderTest, new_tenant
from tests.histories import Event, write
from tests.ladders import ANA, KEEP, MOVE_DOWN, award, content, held_by, publish, tiers_of

CODES = ("bronze", "silver", "gold", "ruby", "onyx")
NEXT_AWARD = Policy("next_award", "move_down")


def now() -> datetime:
    return datetime.now(UTC)


def preview(t: TenantUnderTest, wanted: Content, policy: Policy = MOVE_DOWN) -> Preview:
    with t.here.database.snapshot(t.id) as session:
        return previews.preview(session, t.id, wanted, policy, now=now())


def movers(t: TenantUnderTest, wanted: Content, policy: Policy = MOVE_DOWN, **asked: object) -> Movers:
    with t.here.database.snapshot(t.id) as session:
        page = {name: asked.pop(name) for name in ("cursor", "limit") if name in asked}
        return previews.movers(session, t.id, wanted, policy, now=now(), moves=Moves(**asked), **{"limit": 50, **page})


def who(found: Movers) -> list[str]:
    return [mover.participant_id for mover in found.rows]


def pin(t: TenantUnderTest, participant: str, code: str) -> None:
    with t.here.database.transaction(t.id) as session:
        holds.pin(session, t.id, participant, code=code, reason="A friend", until=None, now=now(), actor=ANA)


@pytest.fixture
def shop(tenant: TenantUnderTest) -> TenantUnderTest:
    """Five participants on bronze=0 silver=500 gold=1500."""
    award(tenant, ann=10, bob=490, cat=500, dan=700, eve=2000)
    return tenant


def test_each_tier_is_counted_before_and_after(shop):
    found = preview(shop, content(bronze=0, silver=450, gold=2500))

    assert [(shift.rung and shift.rung.code, shift.before, shift.after) for shift in found.shifts] == [
        (None, 0, 0),
        ("bronze", 2, 1),
        ("silver", 2, 4),
        ("gold", 1, 0),
    ]
    assert (found.total, found.rise, found.fall, found.stay, found.kept, found.pinned) == (5, 1, 1, 3, 0, 0)
    assert found.flows == [
        Flow("bronze", "bronze", 1),
        Flow("bronze", "silver", 1),
        Flow("silver", "silver", 2),
        Flow("gold", "silver", 1),
    ]


def test_those_who_would_fall_are_kept_if_that_is_the_policy(shop):
    wanted = content(bronze=0, silver=450, gold=2500)

    assert (preview(shop, wanted, KEEP).fall, preview(shop, wanted, KEEP).kept) == (0, 1)
    assert who(movers(shop, wanted, KEEP, direction="kept")) == ["eve"]
    until = Policy("now", "keep_until", now() + timedelta(days=1))
    assert preview(shop, wanted, until).kept == 1


def test_who_holds_a_tier_that_goes_falls_to_the_one_below_and_rises_to_the_one_above(shop):
    gone = preview(shop, content(bronze=0, gold=600))

    assert (gone.rise, gone.fall) == (1, 1)
    assert Flow("silver", "bronze", 1) in gone.flows
    assert Flow("silver", "gold", 1) in gone.flows


def test_a_tier_may_be_held_by_nobody_and_nobody_may_hold_one(shop):
    found = preview(shop, content(high=5_000))

    assert (found.fall, found.shifts[0].after, found.shifts[-1].after) == (5, 5, 0)
    assert preview(shop, Content(())).fall == 5


def test_a_pin_holds_whatever_comes(shop):
    pin(shop, "ann", "gold")
    found = preview(shop, content(bronze=0, gold=2500))

    assert (found.pinned, found.fall) == (1, 3)
    assert who(movers(shop, content(bronze=0, gold=2500))) == ["cat", "dan", "eve"]


def test_surprises_are_those_who_miss_a_tier_by_little(shop):
    award(shop, fay=1450, gus=1499)
    found = preview(shop, content(bronze=0, silver=510, gold=1500)).surprises

    assert [(each.participant_id, each.points, each.missing, each.rung.code) for each in found] == [
        ("cat", 500, 10, "silver"),
        ("bob", 490, 20, "silver"),
    ]  # gold begins where it did: who misses it is no news


def test_surprises_of_one_tier_do_not_hide_those_of_another(shop):
    award(shop, **{f"near{n}": 599 for n in range(12)}, far=1900)
    found = preview(shop, content(bronze=0, silver=600, gold=2000)).surprises

    assert len(found) == 10
    assert [each.rung.code for each in found[:3]] == ["silver", "gold", "silver"]


def test_movers_come_page_by_page_and_filtered(shop):
    wanted = content(bronze=0, silver=450, gold=2500)
    first = movers(shop, wanted, limit=1)
    second = movers(shop, wanted, limit=1, cursor=first.cursor)

    assert (who(first), who(second), second.cursor) == (["bob"], ["eve"], None)
    assert who(movers(shop, wanted, direction="fall")) == ["eve"]
    assert who(movers(shop, wanted, before="bronze", after="silver")) == ["bob"]
    assert who(movers(shop, content(high=1_000), before="silver", after=previews.NO_TIER)) == ["cat", "dan"]


@pytest.mark.parametrize(
    ("asked", "field"),
    [({"before": "nope"}, "before"), ({"direction": "sideways"}, "direction"), ({"cursor": "nonsense"}, "cursor")],
)
def test_what_cannot_be_asked_for_is_named(shop, asked, field):
    with pytest.raises(Invalid) as refused:
        movers(shop, content(bronze=0), **asked)

    assert refused.value.errors[0].field == field


def test_only_what_could_be_published_can_be_looked_at(shop):
    with pytest.raises(Invalid, match=r"^tiers\.0\.threshold: "):
        preview(shop, Content((Rung("gold", "Gold", None),)))


def test_a_preview_changes_nothing(shop):
    before = tiers_of(shop)
    preview(shop, content(high=5_000))

    assert tiers_of(shop) == before


def part(t: TenantUnderTest, wanted: Content, so_far: str | None = None) -> Part:
    with t.here.database.snapshot(t.id) as session:
        return previews.part(session, t.id, wanted, MOVE_DOWN, now=now(), so_far=so_far, seconds=0, most=2)


def test_counted_little_by_little_it_is_the_same(shop):
    wanted = content(Qualification("window", 30), bronze=0, silver=510, gold=2500)
    rollups.rebuild(shop.here.database, shop.id)
    first = part(shop, wanted)
    second = part(shop, wanted, first.rest)
    third = part(shop, wanted, second.rest)

    assert [(each.done_count, each.total_count, each.preview.total) for each in (first, second, third)] == [
        (2, 5, 2),
        (4, 5, 4),
        (5, 5, 5),
    ]
    assert (third.rest, third.preview) == (None, preview(shop, wanted))
    with pytest.raises(Invalid, match="begin it again"):
        part(shop, content(Qualification("window", 31), bronze=0), first.rest)


def test_where_every_point_counts_a_preview_is_whole_at_once(shop):
    assert part(shop, content(bronze=0)) == (preview(shop, content(bronze=0)), 5, 5, None)


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "[]",
        "null",
        "[1,2,3,4,5,6]",
        '["m","2026-01-01",[],[],1,1]',
        '["m","2026-01-01T00:00:00Z",[[1,1]],[],1,1]',
        '["m","2026-01-01T00:00:00Z",[],[["a",1,2,[]]],1,1]',
        '["m","2026-01-01T00:00:00Z",[],[],1e9,1]',
        "[" * 99_999,
    ],
)
def test_what_is_no_part_of_a_preview_is_refused(shop, text):
    with pytest.raises(Invalid):
        part(shop, content(Qualification("window", 30), bronze=0), text)


def history(random: Random, people: list[str]) -> list[Event]:
    """Awards in tens, over three years, some of which are spent or taken back."""
    moments = sorted(now() - timedelta(days=random.uniform(0, 1_100)) for _ in range(60))
    return [Event(at, random.choice(people), random.choice((10, 50, 200, 400, 800))) for at in moments]


def any_content(random: Random) -> Content:
    """A ladder of some of the codes in any order, at tens."""
    codes = random.sample(CODES, random.randint(0, 5))
    thresholds = random.sample(range(0, 2_500, 10), len(codes))
    how = [Qualification(), Qualification("window", random.randint(1, 900)), Qualification("year", None, random.choice((0, 366)))]
    return content(random.choice(how), **dict(zip(codes, thresholds, strict=True)))


def any_policy(random: Random) -> Policy:
    falling = random.choice(("keep", "keep_until", "move_down"))
    until = now() + timedelta(days=random.randint(1, 9)) if falling == "keep_until" else None
    return Policy(random.choice(("now", "now", "next_award")), falling, until)


@pytest.mark.parametrize("seed", [pytest.param(n, marks=pytest.mark.long if n >= 12 else ()) for n in range(40)])
def test_publishing_does_to_each_participant_what_the_preview_says(here, seed):
    random, t = Random(seed), new_tenant(here)  # repeatable on purpose
    people = [f"p{n}" for n in range(12)]
    write(here, t.id, history(random, people))
    people = sorted(tiers_of(t))
    for _ in range(3):
        wanted, policy = any_content(random), any_policy(random)
        if random.random() < 0.6 and wanted.rungs:  # so that somebody is pinned, to what may go
            publish(t, any_content(random), any_policy(random))
            with here.database.transaction(t.id) as session:
                codes = [tier.code for tier in ladder.in_force(session, t.id)]
            for one in random.sample(people, 3) if codes else []:
                pin(t, one, random.choice(codes))
        assert_foreseen(t, wanted, policy, people)
    assert t.differences() == []


def assert_foreseen(t: TenantUnderTest, wanted: Content, policy: Policy, people: list[str]) -> None:
    """Claim that publishing leads everybody where the preview has them."""
    before = tiers_of(t)
    with t.here.database.snapshot(t.id) as session:
        found = list(previews.every_mover(session, t.id, wanted, policy, now=now()))
        kept = {
            each.participant_id for each in previews.every_mover(session, t.id, wanted, policy, now=now(), moves=Moves("kept"))
        }
    seen = preview(t, wanted, policy)
    publish(t, wanted, policy)
    if policy.effect == "next_award":
        assert tiers_of(t) == before
        award(t, **dict.fromkeys(people, 1))  # which leads nobody over a threshold: they are at tens
    after = tiers_of(t)

    assert {each.participant_id: (each.before_code, each.after_code) for each in found} == {
        one: (before[one], after[one]) for one in people if before[one] != after[one]
    }
    assert held_by(t, "keep") == kept
    assert sum(flow.count for flow in seen.flows) == seen.total == len(people)
    assert {(flow.before_code, flow.after_code) for flow in seen.flows} == {(before[one], after[one]) for one in people}
    assert seen.rise + seen.fall == len(found)
