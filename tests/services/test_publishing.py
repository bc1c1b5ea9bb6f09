"""Publishing: now, at each one's next award, or at a set time; and the versions that there have been."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from gamify.db import Database
from gamify.errors import Conflict, DraftChanged, Invalid
from gamify.models import Ladder
from gamify.services import audit, drafts, publishing, recalculations
from gamify.services.audit import Filter
from gamify.services.drafts import LIFETIME_EARNED, Draft, Rung
from gamify.services.publishing import Version
from gamify.services.tiers import Policy, Qualification

from tests.harness import TenantUnderTest
from tests.ladders import ANA, BEN, KEEP, MOVE_DOWN, award, content, held_by, publish, save, tiers_of

LATER = datetime.now(UTC) + timedelta(hours=1)
HIGHER = content(bronze=0, silver=1000, gold=3000)


def ask(t: TenantUnderTest, revision: int | None = None, policy: Policy = KEEP, reason: str | None = None, **said: Any) -> Any:
    with t.here.database.transaction(t.id) as session:
        seen = drafts.of(session, t.id).revision if revision is None else revision
        return publishing.publish(session, t.id, revision=seen, policy=policy, reason=reason, actor=ANA, **said)


def due(t: TenantUnderTest, *, after: timedelta = timedelta(0)) -> Ladder | None:
    return publishing.publish_due(t.here.database, t.id, now=LATER + after)


def of(t: TenantUnderTest) -> Draft:
    with t.here.database.transaction(t.id) as session:
        return drafts.of(session, t.id)


def versions(t: TenantUnderTest, **asked: Any) -> list[Version]:
    with t.here.database.transaction(t.id) as session:
        return publishing.versions(session, t.id, **{"limit": 50, **asked})


def logged(t: TenantUnderTest) -> list[audit.Entry]:
    with t.here.database.transaction(t.id) as session:
        return list(audit.search(session, t.id, Filter(action="tiers"), limit=50))


@pytest.fixture
def shop(tenant: TenantUnderTest) -> TenantUnderTest:
    award(tenant, ann=10, cat=700, eve=2000)
    return tenant


def test_a_publication_keeps_those_who_would_fall_unless_told_otherwise(shop):
    made = publish(shop, HIGHER)

    assert (made.version, made.falling, made.published_by) == (2, "keep", ANA.name)
    assert tiers_of(shop) == {"ann": "bronze", "cat": "silver", "eve": "gold"}
    assert held_by(shop, "keep") == {"cat", "eve"}
    assert not of(shop).is_saved


def test_or_moves_them_down(shop):
    publish(shop, HIGHER, MOVE_DOWN)

    assert tiers_of(shop) == {"ann": "bronze", "cat": "bronze", "eve": "silver"}


def test_or_keeps_them_until_a_date(shop):
    publish(shop, HIGHER, Policy("now", "keep_until", LATER))

    assert held_by(shop, "keep") == {"cat", "eve"}
    assert tiers_of(shop)["eve"] == "gold"


def test_at_the_next_award_each_is_moved_by_their_own(shop):
    publish(shop, HIGHER, Policy("next_award", "move_down"))
    award(shop, cat=1)

    assert tiers_of(shop) == {"ann": "bronze", "cat": "bronze", "eve": "gold"}


def test_only_the_draft_that_was_seen_is_published(shop):
    seen = save(shop, HIGHER).revision
    save(shop, content(other=1), actor=BEN)

    with pytest.raises(DraftChanged, match=r"ben@shop\.example"):
        ask(shop, seen)
    assert versions(shop)[0].ladder.version == 1


def test_without_a_draft_there_is_nothing_to_publish(shop):
    with pytest.raises(Conflict, match="no draft"):
        ask(shop)


def test_only_a_clean_draft_is_published(shop):
    save(shop, drafts.Content((Rung("gold", "Gold", None),)))

    with pytest.raises(Invalid, match=r"^tiers\.0\.threshold"):
        ask(shop)


def test_while_everybody_is_looked_at_nothing_else_is_published(shop):
    publish(shop, HIGHER, is_finished=False)
    save(shop, content(other=1))

    with pytest.raises(Conflict, match=r"0 of \d participants"):
        ask(shop)
    while recalculations.advance(shop.here.database, shop.id):
        pass
    assert ask(shop).version == 3


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"policy": Policy("soon")}, "effect"),
        ({"policy": Policy("now", "drop")}, "falling"),
        ({"policy": Policy("now", "keep_until")}, "kept_until"),
        ({"policy": Policy("now", "keep_until", datetime(2020, 1, 1, tzinfo=UTC))}, "kept_until"),
        ({"policy": Policy("now", "keep_until", LATER), "at": LATER}, "kept_until"),
        ({"policy": Policy("now", "keep", LATER)}, "kept_until"),
        ({"at": datetime(2020, 1, 1, tzinfo=UTC)}, "at"),
        ({"reason": "x" * 501}, "reason"),
        ({"reason": "\0"}, "reason"),
    ],
)
def test_how_to_publish_has_its_bounds(shop, said, field):
    save(shop, HIGHER)

    with pytest.raises(Invalid) as refused:
        ask(shop, **said)
    assert refused.value.errors[0].field == field


def test_what_has_been_published_stays_so_though_the_database_goes_away_before_anybody_moves(shop):
    away = Database(lambda: "postgresql+psycopg://nobody@127.0.0.1:1/nothing", owner_url=lambda: "", pool_size=1)

    assert not publishing.finish_soon(away, shop.id)
    away.close()


def test_a_draft_publishes_itself_at_a_set_time(shop):
    save(shop, HIGHER)

    assert ask(shop, policy=MOVE_DOWN, reason="Spring", at=LATER) is None
    assert due(shop, after=-timedelta(seconds=1)) is None
    made = due(shop)
    assert made
    assert (made.version, made.falling, made.reason, made.published_by) == (2, "move_down", "Spring", ANA.name)
    publishing.finish_soon(shop.here.database, shop.id)
    assert tiers_of(shop)["eve"] == "silver"
    assert due(shop) is None


def test_until_then_it_is_changed_only_after_that_is_cancelled(shop):
    save(shop, HIGHER)
    ask(shop, at=LATER)

    for refused in (lambda: save(shop, content(other=1)), lambda: ask(shop)):
        with pytest.raises(Conflict, match="cancel that to change it"):
            refused()
    with shop.here.database.transaction(shop.id) as session:
        publishing.cancel(session, shop.id, actor=BEN)
    save(shop, content(other=1))
    assert due(shop) is None


def test_what_cannot_be_published_any_more_is_given_up_and_says_why(shop):
    save(shop, HIGHER)
    ask(shop, at=LATER)
    shop.put_tiers(other=5)

    assert due(shop) is None
    assert (of(shop).publish_at, of(shop).content) == (None, HIGHER)
    assert "version 2 is in force" in (logged(shop)[0].after or {})["why"]


def test_it_waits_while_everybody_is_looked_at(shop):
    publish(shop, HIGHER, is_finished=False)
    save(shop, content(other=1))
    ask(shop, at=LATER)

    assert due(shop) is None
    publishing.finish_soon(shop.here.database, shop.id)
    assert due(shop)


def test_the_log_tells_all_that_a_publication_changes(shop):
    gold = Rung("gold", "Gold!", 3000, "rose")
    wanted = drafts.Content((Rung("bronze", "Bronze Tier", 0), gold), Qualification("window", 30))
    save(shop, wanted)
    ask(shop, reason="Spring")

    [entry] = [each for each in logged(shop) if each.action == "tiers.publish"]
    assert {name: (before, after) for name, before, after in audit.changes(entry)} == {
        "silver": (500, None),
        "gold": (1500, 3000),
        "gold.name": ("Gold Tier", "Gold!"),
        "gold.colour": (None, "rose"),
        "ladder.version": (1, 2),
        "ladder.qualification": ("lifetime", "window 30"),
        "ladder.reason": (None, "Spring"),
        "ladder.effect": (None, "now"),
        "ladder.falling": (None, "keep"),
    }


def test_versions_tell_what_each_has_changed(shop):
    publish(shop, content(bronze=0, silver=600, ruby=9000))
    publish(shop, content(LIFETIME_EARNED, bronze=0, silver=600, ruby=9000))
    third, second = versions(shop, limit=2)

    assert (third.ladder.version, third.changes) == (3, [])
    assert [(each.code, each.kind, each.fields) for each in second.changes] == [
        ("silver", "changed", ("threshold",)),
        ("ruby", "added", ()),
        ("gold", "removed", ()),
    ]
    [first] = versions(shop, before=2)
    assert (first.before, [each.kind for each in first.changes]) == (None, ["added"] * 3)


def test_undone_everybody_stands_where_they_did(shop):
    before = tiers_of(shop)
    publish(shop, HIGHER, MOVE_DOWN)
    with shop.here.database.transaction(shop.id) as session:
        revision = drafts.restore(session, shop.id, 1, actor=ANA).revision
    ask(shop, revision)
    publishing.finish_soon(shop.here.database, shop.id)

    assert tiers_of(shop) == before
    assert versions(shop)[0].tiers[1].threshold == 500
