"""Registering participants, changing what is known of them, and erasing them."""

from typing import Any

import psycopg
import pytest
from gamify.errors import Conflict, Invalid, NotFound
from gamify.models import Erasure, Participant, ParticipantDetails, TierChange
from gamify.services import (
    details,
    entries,
    erasures,
    figures,
    holds,
    ledger,
    measures,
    participants,
    profiles,
    recalculations,
    rollups,
)
from gamify.services.audit import SYSTEM
from gamify.services.ledger import AWARD, Movement
from gamify.services.listing import Wanted
from sqlalchemy import select, text
from sqlalchemy.exc import ProgrammingError

from tests.people import now


def register(t, pid: str, **said: Any) -> None:
    with t.here.database.transaction(t.id) as session:
        details.register(session, t.id, pid, **said)


def change(t, pid: str, **patch: Any) -> None:
    with t.here.database.transaction(t.id) as session:
        details.change(session, t.id, pid, patch=patch)


def erase(t, pid: str) -> None:
    with t.here.database.transaction(t.id) as session:
        erasures.erase(session, t.id, pid, actor=SYSTEM)


def known(t, pid: str) -> tuple[str | None, dict[str, Any]] | None:
    with t.here.database.transaction(t.id) as session:
        person = profiles.find(session, t.id, pid)
        row = session.get(ParticipantDetails, (t.id, person.id))
        return row and (row.display_name, row.attributes)


def found(t, **wanted: Any) -> list[str]:
    with t.here.database.transaction(t.id) as session:
        page = participants.search(session, t.id, Wanted(**{"sort": "id", **wanted}), limit=50)
        return [row.external_id for row in page.rows]


def test_who_is_registered_has_zeros_and_the_tier_that_no_points_give(tenant):
    register(tenant, "ann", display_name="Ann", attributes={"plan": "pro"})

    with tenant.here.database.transaction(tenant.id) as session:
        person = profiles.find(session, tenant.id, "ann")
        profile = profiles.profile(session, tenant.id, "ann", now=now())
    zeros = (person.balance, person.total_earned, person.total_spent, person.entry_count)
    assert zeros == (0, 0, 0, 0)
    assert person.last_entry_at == measures.BEGINNING
    assert profile.place.held
    assert profile.place.held.code == "bronze"
    assert profile.held_since
    assert known(tenant, "ann") == ("Ann", {"plan": "pro"})
    assert entries.points(tenant.here.database, tenant.id, "ann").balance == 0


def test_who_is_registered_is_counted_and_listed_at_once_and_after_summing(tenant, api):
    register(tenant, "ann")
    for _ in range(2):
        with tenant.here.database.snapshot(tenant.id) as session:
            assert figures.participant_count(session, tenant.id) == len(found(tenant)) == len(found(tenant, sort="-active"))
        api.award("bob", 5)
        rollups.catch_up(tenant.here.database, tenant.id, seconds=5)
    assert found(tenant, sort="-active") == ["bob", "ann"]
    rollups.rebuild(tenant.here.database, tenant.id)
    assert found(tenant, sort="-active") == ["bob", "ann"]


def test_without_tiers_somebody_can_be_registered_too(tenant):
    tenant.put_tiers()
    register(tenant, "ann")

    tenant.put_tiers(gold=10)
    register(tenant, "bob")

    assert found(tenant, tiers=(0,)) == ["ann", "bob"]


def test_the_first_award_finds_who_is_registered(tenant, api):
    register(tenant, "ann", display_name="Ann")

    award = api.award("ann", 700).json

    assert (award["new_balance"], award["tier_upgrade"]["previous_code"]) == (700, "bronze")
    assert known(tenant, "ann") == ("Ann", {})
    assert api.history("ann").json["total"] == 1


def test_registering_again_changes_what_is_said_and_keeps_the_rest(tenant, api):
    api.award("ann", 5)
    assert known(tenant, "ann") is None
    register(tenant, "ann", display_name="Ann")
    register(tenant, "ann", attributes={"a": 1})
    register(tenant, "ann", attributes={"b": True})
    assert known(tenant, "ann") == ("Ann", {"b": True})

    register(tenant, "ann", attributes={"b": 1})
    assert known(tenant, "ann")[1]["b"] is not True


def test_saying_the_same_again_touches_nothing(tenant, owner):
    row = "SELECT xmin::text, updated_at FROM participant_details WHERE tenant_id = %s"
    register(tenant, "ann", display_name="Ann", attributes={"b": True})
    before = owner.execute(row, [tenant.id]).fetchone()

    register(tenant, "ann", display_name="Ann", attributes={"b": True})
    change(tenant, "ann", display_name="Ann", attributes={"gone": None})

    assert owner.execute(row, [tenant.id]).fetchone() == before


def test_a_patch_merges_and_null_takes_away(tenant):
    register(tenant, "ann", display_name="Ann", attributes={"a": {"b": 1, "c": 2}, "d": [1]})

    change(tenant, "ann", attributes={"a": {"b": None, "e": 3}, "d": 4})
    assert known(tenant, "ann") == ("Ann", {"a": {"c": 2, "e": 3}, "d": 4})

    change(tenant, "ann", display_name=None, attributes=None)
    assert known(tenant, "ann") == (None, {})


def test_what_a_patch_leads_to_has_the_bounds_of_what_is_registered(tenant):
    register(tenant, "ann", attributes={"a": "x" * 10_000})

    with pytest.raises(Invalid, match="attributes: Must have at most 16384 bytes"):
        change(tenant, "ann", attributes={"b": "x" * 10_000})

    assert known(tenant, "ann") == (None, {"a": "x" * 10_000})


@pytest.mark.parametrize(
    ("pid", "said", "field"),
    [
        ("..", {}, "participant_id"),
        ("a\0", {}, "participant_id"),
        ("ann", {"display_name": ""}, "display_name"),
        ("ann", {"display_name": " \n"}, "display_name"),
        ("ann", {"display_name": "x" * 201}, "display_name"),
        ("ann", {"display_name": "\ud800"}, "display_name"),
        ("ann", {"attributes": {"a\0": 1}}, "attributes"),
        ("ann", {"attributes": {"a": 2**63}}, "attributes"),
    ],
)
def test_what_cannot_be_kept_is_refused_by_name_and_nobody_is_made(tenant, pid, said, field):
    with pytest.raises(Invalid) as refused:
        register(tenant, pid, **said)

    assert [error.field for error in refused.value.errors] == [field]
    assert found(tenant) == []


def test_part_of_a_name_finds_as_part_of_an_id_does(tenant, api):
    for n in range(300):  # more than are looked through in order
        api.award(f"user_{n:03}", 1)
    register(tenant, "user_299", display_name="Zoë Ångström")
    register(tenant, "strange", display_name="Bob")

    for sort in ("id", "-id", "balance", "-active"):
        assert set(found(tenant, fragment="STR", sort=sort)) == {"user_299", "strange"}
        assert found(tenant, fragment="ngström", sort=sort) == ["user_299"]
        assert found(tenant, fragment="100%", sort=sort) == []


def test_erasing_takes_the_person_and_leaves_the_sums(tenant, api, owner):
    entry = api.award("ann@mail", 700, reason="for Ann", metadata={"name": "Ann"}, idempotency_key="k").json
    api.deduct("ann@mail", 100, reason="Ann again")
    register(tenant, "ann@mail", display_name="Ann Lee", attributes={"city": "Bonn"})
    with tenant.here.database.transaction(tenant.id) as session:
        asked = {"code": "gold", "reason": "Ann's birthday", "until": None, "now": now()}
        holds.pin(session, tenant.id, "ann@mail", **asked, actor=SYSTEM)

    erase(tenant, "ann@mail")
    assert erasures.catch_up(tenant.here.database, tenant.id, seconds=5)

    assert where_it_says(owner, tenant, ["Ann", "ann@mail", "Bonn"]) == []
    [pid] = found(tenant)
    assert pid.startswith("erased-")
    kept = [(e["amount"], e["balance_after"], e["reason"], e["metadata"]) for e in api.history(pid).json["transactions"]]
    assert kept == [(100, 600, None, None), (700, 700, None, None)]
    with tenant.here.database.snapshot(tenant.id) as session:
        assert [(each.participant_count, each.points) for each in figures.tier_counts(session, tenant.id)] == [(1, 600)]
    assert api.points("ann@mail").status == 404
    again = api.award("ann@mail", 700, reason="for Ann", metadata={"name": "Ann"}, idempotency_key="k")
    assert again.json == entry
    assert found(tenant) == [pid]


def where_it_says(owner: psycopg.Connection, tenant: Any, words: list[str]) -> list[str]:
    """The tables that have one of the words anywhere in a row of the tenant's."""
    tables = owner.execute("SELECT relname FROM pg_class WHERE relforcerowsecurity").fetchall()
    said = "SELECT EXISTS (SELECT FROM {} AS t WHERE tenant_id = %s AND t::text LIKE ANY(%s))"
    patterns = [f"%{word}%" for word in words]
    return [table for (table,) in tables if owner.execute(said.format(table), [tenant.id, patterns]).fetchone()[0]]


def test_the_id_of_who_is_erased_is_free_for_somebody_new(tenant, api):
    api.award("ann", 700)
    erase(tenant, "ann")

    assert api.award("ann", 5).json["new_balance"] == 5
    register(tenant, "ann", display_name="Another Ann")

    with tenant.here.database.transaction(tenant.id) as session:
        people = session.scalars(select(Participant).where(Participant.tenant_id == tenant.id).order_by(Participant.id)).all()
    assert [(person.balance, person.erased_at is None) for person in people] == [(700, False), (5, True)]


def test_who_is_erased_can_be_neither_erased_again_nor_changed_nor_registered(tenant):
    register(tenant, "ann")
    erase(tenant, "ann")
    [pid] = found(tenant)

    for act in (erase, change):
        for one in ("ann", pid):
            with pytest.raises(NotFound):
                act(tenant, one)
    with pytest.raises(Conflict, match="erased"):
        register(tenant, pid, display_name="Ann")


def test_blanking_takes_small_shares_and_goes_on_after_being_interrupted(tenant, api, owner, monkeypatch):
    monkeypatch.setattr(erasures, "AT_ONCE", 3)
    for n in range(7):
        api.award("ann", 1, reason=f"for Ann {n}")
    erase(tenant, "ann")
    left = "SELECT count(*) FROM ledger_entries WHERE tenant_id = %s AND reason IS NOT NULL"
    counts = []
    while erasures.advance(tenant.here.database, tenant.id):
        counts.append(owner.execute(left, [tenant.id]).fetchone()[0])

    assert counts == [4, 1, 0]
    assert owner.execute("SELECT count(*) FROM erasures WHERE tenant_id = %s", [tenant.id]).fetchone() == (0,)


@pytest.mark.parametrize(
    "change", ["reason = 'x'", "metadata = '{}'", "reason = NULL, points = 2", "reason = NULL, request_id = 'x'", "seq = 9"]
)
def test_entries_of_who_is_erased_lose_their_words_and_nothing_else_changes(tenant, api, owner, change):
    api.award("ann", 1, reason="Ann", metadata={"a": 1})
    erase(tenant, "ann")

    with pytest.raises(psycopg.errors.RestrictViolation, match="permanent"):
        owner.execute(f"UPDATE ledger_entries SET {change} WHERE tenant_id = %s", [tenant.id])


def test_nobody_elses_entries_can_be_blanked(tenant, api, owner):
    api.award("ann", 1, reason="Ann")
    blank = text("SELECT participant_blank(:tenant_id, id, 0, 10) FROM participants WHERE tenant_id = :tenant_id")

    with pytest.raises(psycopg.errors.RestrictViolation, match="permanent"):
        owner.execute("UPDATE ledger_entries SET reason = NULL WHERE tenant_id = %s", [tenant.id])
    with tenant.here.database.transaction(tenant.id) as session:
        session.execute(blank, {"tenant_id": tenant.id})
    erase(tenant, "ann")
    with tenant.here.database.transaction(tenant.sandbox_id) as session:
        number = owner.execute("SELECT id FROM participants WHERE tenant_id = %s", [tenant.id]).fetchone()[0]
        values = {"tenant_id": tenant.id, "number": number}
        session.execute(text("SELECT participant_blank(:tenant_id, :number, 0, 10)"), values)

    [pid] = found(tenant)
    assert api.history(pid).json["transactions"][0]["reason"] == "Ann"
    with pytest.raises(ProgrammingError, match="permission denied"), tenant.here.database.transaction(tenant.id) as session:
        session.execute(text("UPDATE ledger_entries SET reason = NULL"))


def test_who_is_registered_settles_on_new_ladders_and_what_is_told_of_it_adds_up(tenant):
    """`verify` replays everybody's tiers when somebody is held; the fixture looks at what it finds."""
    register(tenant, "ann")
    tenant.put_tiers(first=0, second=10)
    register(tenant, "bob")
    with tenant.here.database.transaction(tenant.id) as session:
        for pid in ("ann", "bob"):
            asked = {"code": "second", "reason": "a friend", "until": None, "now": now()}
            holds.pin(session, tenant.id, pid, **asked, actor=SYSTEM)
            holds.unpin(session, tenant.id, pid, actor=SYSTEM)
    ledger.post(tenant.here.database, tenant.id, [Movement(AWARD, "bob", 10)])
    with tenant.here.database.transaction(tenant.id) as session:
        told = session.scalars(select(TierChange.cause).where(TierChange.tenant_id == tenant.id).order_by(TierChange.id)).all()
        assert session.scalar(select(Erasure)) is None
        recalculations.begin(session, tenant.id)
    recalculations.advance(tenant.here.database, tenant.id)

    assert told[0] == "registered"
    assert tenant.differences() == []
