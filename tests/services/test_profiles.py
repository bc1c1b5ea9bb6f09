"""Profiles: what is told of somebody follows from their ledger, whatever became of the tiers meanwhile."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from gamify.errors import NotFound
from gamify.models import Tier
from gamify.services import ladder, profiles, tiers
from gamify.services.audit import SYSTEM
from sqlalchemy import text

from tests.people import new_user

RUNGS = [Tier(level=n, code=code, threshold=at) for n, (code, at) in enumerate((("b", 100), ("s", 500), ("g", 1500)), 1)]


@pytest.mark.parametrize(
    ("total", "held", "following", "missing", "share"),
    [
        (0, None, "b", 100, 0.0),
        (50, None, "b", 50, 0.5),
        (100, "b", "s", 400, 0.0),
        (300, "b", "s", 200, 0.5),
        (1499, "s", "g", 1, 0.999),
        (1500, "g", None, None, 1.0),
        (2**62, "g", None, None, 1.0),
    ],
)
def test_points_stand_where_the_ladder_says(total, held, following, missing, share):
    place = ladder.place(total, RUNGS)

    assert (place.held and place.held.code, place.next and place.next.code, place.missing) == (held, following, missing)
    assert place.share == pytest.approx(share)


def test_without_tiers_there_is_nowhere_to_stand():
    assert ladder.place(500, []) == (None, None, None, 1.0)


def profile(here, tenant_id: int, pid: str = "ana") -> Any:
    with here.database.transaction(tenant_id) as session:
        return profiles.profile(session, tenant_id, pid, now=datetime.now(UTC))


def put(here, tenant, **thresholds: int) -> datetime:
    """Put tiers in force; return when ana's tier was last changed by that."""
    with here.database.transaction(tenant.id) as session:
        tiers.replace(session, tenant.id, thresholds, actor=SYSTEM)
    changes = profile(here, tenant.id).changes
    return max((change.at for change in changes if change.cause == "published"), default=datetime.now(UTC))


def written_at(api, n: int) -> datetime:
    """When the n-th entry of ana's was written."""
    entries = api.history("ana", page_size=100).json["transactions"][::-1]
    return datetime.fromisoformat(entries[n]["created_at"])


def test_a_tier_is_held_since_the_award_that_led_to_it(here, tenant, api):
    for amount in (400, 200, 1, 950):
        api.award("ana", amount)
    found = profile(here, tenant.id)

    assert found.held_since == written_at(api, 3)
    assert [(change.before.name, change.after.name, change.is_up) for change in found.changes] == [
        ("Silver Tier", "Gold Tier", True),
        ("Bronze Tier", "Silver Tier", True),
    ]
    api.deduct("ana", 1_000)
    assert profile(here, tenant.id).held_since == written_at(api, 3)


def test_the_tier_of_the_beginning_is_held_since_the_first_award(here, tenant, api):
    api.award("ana", 5)
    api.award("ana", 5)

    assert profile(here, tenant.id).held_since == written_at(api, 0)


def test_a_tier_that_new_tiers_have_led_to_is_held_since_then(here, tenant, api):
    api.award("ana", 600)
    at = put(here, tenant, bronze=0, silver=500, gold=550)
    assert profile(here, tenant.id).held_since == at

    put(here, tenant, bronze=0, silver=400, gold=590)
    assert profile(here, tenant.id).held_since == at
    api.award("ana", 10)
    assert profile(here, tenant.id).held_since == at

    again = put(here, tenant, bronze=0, silver=400, gold=5_000)
    assert profile(here, tenant.id).held_since == again


def test_a_tier_held_all_the_while_is_held_since_its_award_though_tiers_have_changed(here, tenant, api):
    api.award("ana", 10)
    api.award("ana", 600)
    put(here, tenant, bronze=0, silver=300, gold=2_000)

    assert profile(here, tenant.id).held_since == written_at(api, 1)


def test_a_tier_lost_and_won_again_by_new_tiers_is_held_since_the_last_of_them(here, tenant, api):
    api.award("ana", 600)
    put(here, tenant, bronze=0, silver=700)
    again = put(here, tenant, bronze=0, silver=500)

    assert profile(here, tenant.id).held_since == again


def test_who_holds_no_tier_holds_it_since_never(here, tenant, api):
    api.award("ana", 5)
    put(here, tenant, star=1_000)
    found = profile(here, tenant.id)

    assert (found.held_since, found.place.held, found.place.missing) == (None, None, 995)


def test_balances_are_those_of_the_instants(here, tenant, api, owner):
    for amount in (100, 50, 30):
        api.award("ana", amount)
    api.deduct("ana", 60)
    now = datetime.now(UTC) + timedelta(days=3)
    with here.database.transaction(tenant.id) as session:
        person = profiles.find(session, tenant.id, "ana")
        found = profiles.balances(session, tenant.id, person, now=now)
        by_hand = [
            session.scalar(text("SELECT balance FROM points_at(:t, 'ana', :at)"), {"t": tenant.id, "at": at}) for at, _ in found
        ]

    assert len(found) == profiles.POINTS_OF_CHART
    assert [balance for _, balance in found] == by_hand
    assert (found[0][0], found[-1]) == (person.created_at, (now, 120))
    steps = [later - earlier for (earlier, _), (later, _) in pairwise(found)]
    assert max(steps) - min(steps) < timedelta(milliseconds=1)


def test_a_ledger_is_paged_from_the_newest_and_tells_who(here, tenant, api):
    random = Random(3)
    for n in range(23):
        api.award("ana", random.randint(1, 9), reason=f"number {n}")
    user = new_user(here, tenant.slug)
    with here.database.transaction(tenant.id) as session:
        person = profiles.find(session, tenant.id, "ana")
        pages = [profiles.statement(session, tenant.id, person, page=n, page_size=10) for n in (1, 2, 3, 4, 2**40)]

    assert [entry.reason for page in pages for entry in page.entries] == [f"number {n}" for n in range(22, -1, -1)]
    assert {page.total for page in pages} == {23}
    assert {(entry.key_name, entry.person) for page in pages for entry in page.entries} == {("live", None)}
    assert user.email


@pytest.mark.parametrize("pid", ["nobody", "", "a\0", "\0"])
def test_who_is_unknown_is_not_found(here, tenant, pid):
    with pytest.raises(NotFound):
        profile(here, tenant.id, pid)


def test_nobody_is_found_in_another_tenant(here, tenant, api):
    api.award("ana", 5)
    with pytest.raises(NotFound):
        profile(here, tenant.sandbox_id)
