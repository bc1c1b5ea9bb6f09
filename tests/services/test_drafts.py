"""Drafts: kept as they are typed, never over what somebody else has typed, and clean before they are published."""

import re
from typing import Any

import pytest
from gamify.errors import Conflict, DraftChanged, Invalid, NotFound
from gamify.services import drafts, publishing, tiers
from gamify.services.audit import SYSTEM
from gamify.services.drafts import Content, Draft, Rung
from gamify.services.tiers import Policy, Qualification

from tests.harness import TenantUnderTest
from tests.ladders import ANA, BEN, content, publish, save

GOLD = Rung("gold", "Gold Tier", 1500)


def of(t: TenantUnderTest) -> Draft:
    with t.here.database.transaction(t.id) as session:
        return drafts.of(session, t.id)


def save_on(t: TenantUnderTest, wanted: Content, revision: int, **said: Any) -> Draft:
    with t.here.database.transaction(t.id) as session:
        return drafts.save(session, t.id, wanted, revision=revision, actor=BEN, **said)


def fields(wanted: Content) -> list[str]:
    return [problem.field for problem in drafts.problems(wanted)]


def test_where_no_draft_is_saved_there_is_the_ladder_in_force(tenant):
    draft = of(tenant)

    assert not draft.is_saved
    assert (draft.based_on, draft.content) == (1, content(bronze=0, silver=500, gold=1500))


def test_a_draft_is_kept_as_it_was_typed_even_where_no_ladder_could_be_so(tenant):
    typed = Content(
        (Rung("gold", "", 1500), Rung("", "New", None), Rung("gold", "Gold", 1500, "mauve")), Qualification("window", None)
    )
    made = save(tenant, typed)

    assert of(tenant) == made
    assert (made.content, made.changed_by, made.based_on) == (typed, ANA.name, 1)
    assert fields(typed) == [
        "tiers.0.code",
        "tiers.0.name",
        "tiers.0.threshold",
        "tiers.1.code",
        "tiers.1.threshold",
        "tiers.2.code",
        "tiers.2.threshold",
        "tiers.2.colour",
        "qualification.window_days",
    ]


@pytest.mark.parametrize(
    ("rung", "field"),
    [
        (Rung("nul\0", "N", 1), "tiers.0.code"),
        (Rung("a", "\ud800", 1), "tiers.0.name"),
        (Rung("a", "x" * 201, 1), "tiers.0.name"),
        (Rung("a", "A", -1), "tiers.0.threshold"),
        (Rung("a", "A", 2**63), "tiers.0.threshold"),
        (Rung("a", "A", 1, "\0"), "tiers.0.colour"),
    ],
)
def test_what_could_not_be_stored_is_refused_by_field(tenant, rung, field):
    with pytest.raises(Invalid) as refused:
        save(tenant, Content((rung,)))

    assert refused.value.errors[0].field == field
    assert not of(tenant).is_saved


def test_there_are_at_most_twenty_tiers_and_no_two_begin_together():
    twenty = content(**{f"t{n}": n for n in range(20)})

    assert drafts.problems(twenty) == []
    assert fields(Content((*twenty.rungs, Rung("t20", "T", 20)))) == ["tiers"]
    assert fields(content(one=0, other=0)) == ["tiers.0.threshold", "tiers.1.threshold"]


@pytest.mark.parametrize(
    ("qualification", "field"),
    [
        (Qualification("window", 0), "qualification.window_days"),
        (Qualification("window", 3661), "qualification.window_days"),
        (Qualification("window", 30, 5), "qualification.grace_days"),
        (Qualification("year", None, 367), "qualification.grace_days"),
        (Qualification("year"), "qualification.grace_days"),
        (Qualification("lifetime", 30), "qualification.window_days"),
        (Qualification("monthly"), "qualification.basis"),
    ],
)
def test_how_to_qualify_has_its_bounds(qualification, field):
    assert fields(content(qualification, only=5)) == [field]


@pytest.mark.parametrize("qualification", [Qualification("window", 3660), Qualification("year", None, 0), Qualification()])
def test_how_to_qualify_can_be_up_to_its_bounds(qualification):
    assert fields(content(qualification, only=5)) == []


def test_the_second_of_two_admins_is_told_whose_draft_it_is_and_loses_nothing(tenant):
    seen = of(tenant).revision
    hers = save(tenant, content(bronze=0, silver=600))

    with pytest.raises(DraftChanged, match=re.escape("ana@shop.example has changed the draft")) as refused:
        save_on(tenant, content(bronze=10), seen)

    assert refused.value.theirs == hers == of(tenant)
    his = save_on(tenant, content(bronze=10), hers.revision)
    assert (his.content, his.changed_by) == (content(bronze=10), BEN.name)


def test_the_same_draft_sent_again_is_saved_once(tenant):
    seen = of(tenant).revision
    first = save_on(tenant, content(bronze=10), seen)

    assert save_on(tenant, content(bronze=10), seen) == first


def test_a_draft_discarded_and_begun_anew_is_never_taken_for_the_one_before(tenant):
    first = save(tenant, content(bronze=1))
    with tenant.here.database.transaction(tenant.id) as session:
        drafts.discard(session, tenant.id, actor=ANA)
    save(tenant, content(bronze=2))

    with pytest.raises(DraftChanged):
        save_on(tenant, content(bronze=3), first.revision)


def test_a_ladder_seen_before_another_came_into_force_is_not_drafted_on(tenant):
    seen = of(tenant).revision
    publish(tenant, content(bronze=0))

    with pytest.raises(DraftChanged, match="version 2 is in force"):
        save_on(tenant, content(bronze=3), seen)


def test_a_draft_of_older_tiers_is_published_only_after_somebody_has_looked(tenant):
    draft = save(tenant, content(bronze=3))
    tenant.put_tiers(other=5)

    def publish_it() -> None:
        with tenant.here.database.transaction(tenant.id) as session:
            publishing.publish(session, tenant.id, revision=of(tenant).revision, policy=Policy(), reason=None, actor=ANA)

    with pytest.raises(Conflict, match="made from version 1 of the tiers, and version 2 is in force"):
        publish_it()
    with pytest.raises(Conflict, match="Version 2"):
        save_on(tenant, content(bronze=4), draft.revision, based_on=1)
    save_on(tenant, content(bronze=3), draft.revision, based_on=2)
    publish_it()


def test_a_former_version_is_restored_into_the_draft(tenant):
    tenant.put_tiers(other=5)
    with tenant.here.database.transaction(tenant.id) as session:
        made = drafts.restore(session, tenant.id, 1, actor=ANA)

        assert (made.content, made.based_on) == (content(bronze=0, silver=500, gold=1500), 2)
        with pytest.raises(NotFound):
            drafts.restore(session, tenant.id, 9, actor=ANA)


def test_a_code_that_comes_back_stands_for_the_same_tier_as_ever(tenant):
    numbers = []
    for thresholds in ({"bronze": 0, "silver": 500, "gold": 1500}, {"bronze": 0, "new": 50}, {"gold": 7, "bronze": 0}):
        tenant.put_tiers(**thresholds)
        with tenant.here.database.transaction(tenant.id) as session:
            numbers.append({tier.code: tier.number for tier in tiers.ladder.in_force(session, tenant.id)})

    assert numbers == [{"bronze": 1, "silver": 2, "gold": 3}, {"bronze": 1, "new": 4}, {"bronze": 1, "gold": 3}]


def test_a_draft_is_the_tenants_own(tenant):
    save(tenant, content(bronze=3))
    with tenant.here.database.transaction(tenant.sandbox_id) as session:
        assert not drafts.of(session, tenant.sandbox_id).is_saved
        assert not drafts.of(session, tenant.id).is_saved
        drafts.save(session, tenant.sandbox_id, content(test=1), revision=1, actor=SYSTEM)

    assert of(tenant).content == content(bronze=3)
