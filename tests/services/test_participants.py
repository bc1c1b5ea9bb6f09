"""Lists of participants: page after page, they are what sorting everybody would give, however much is summed yet."""

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import psycopg
import pytest
from gamify.deployment import Deployment
from gamify.errors import Invalid
from gamify.services import cursor, ledger, participants, rollups, tiers
from gamify.services.audit import SYSTEM
from gamify.services.cursor import Cursor
from gamify.services.ledger import AWARD, DEDUCT, Movement
from gamify.services.listing import COLUMNS, Wanted
from sqlalchemy import select, text

NAMES = ("user_1", "user_10", "USER_2", "vip-1@mail.example", "100%", "a\\b", "über", "日本", "x" * 255, "<b>", "a\nb", "user%1")
FRAGMENTS = (None, "u", "us", "U", "user", "user_1", "SER_", "%", "00%", "\\", "a\\b", "日本", "mail.ex", "nobody", "a\nb", "...")
NOW = datetime.now(UTC)


def live(here: Deployment, tenant_id: int) -> list[Any]:
    with here.database.transaction(tenant_id) as session:
        return list(session.execute(select(*COLUMNS)))


def plainly(rows: list[Any], wanted: Wanted) -> list[str]:
    """What `wanted` asks for, without any index."""
    key = {"id": "external_id", "balance": "balance", "earned": "total_earned", "active": "last_entry_at"}[wanted.order]
    rows = [row for row in rows if not wanted.tiers or row.tier in wanted.tiers]
    rows = [row for row in rows if not wanted.active_since or row.last_entry_at >= wanted.active_since]
    rows = [row for row in rows if not wanted.quiet_since or row.last_entry_at < wanted.quiet_since]
    if wanted.fragment and len(wanted.fragment) < 3:
        rows = [row for row in rows if row.external_id.startswith(wanted.fragment)]
    elif wanted.fragment:
        rows = [row for row in rows if wanted.fragment.lower() in row.external_id.lower()]
    by_bytes = lambda row: getattr(row, key).encode() if key == "external_id" else getattr(row, key)  # noqa: E731  # as collation "C" does
    rows.sort(key=lambda row: (by_bytes(row), row.id), reverse=wanted.sort.startswith("-"))
    return [row.external_id for row in rows]


def pages(here: Deployment, tenant_id: int, wanted: Wanted, limit: int) -> list[str]:
    found: list[str] = []
    after = None
    while True:
        with here.database.transaction(tenant_id) as session:
            page = participants.search(session, tenant_id, wanted, after=after, limit=limit)
        assert len(page.rows) == limit or page.cursor is None
        found += [row.external_id for row in page.rows]
        after = page.cursor
        if after is None:
            return found


def move(here: Deployment, tenant_id: int, random: Random, count: int) -> None:
    names = [*NAMES, *(f"user_{n}" for n in range(20, 40))]
    asked = [
        Movement(random.choice([AWARD, AWARD, DEDUCT]), random.choice(names), random.choice([1, 1, 300, 900]))
        for _ in range(count)
    ]
    ledger.post(here.database, tenant_id, asked)


def age(owner: psycopg.Connection, tenant_id: int, random: Random) -> None:
    """Let some have been quiet for long: their rows say so, and their standings will when they are summed."""
    rows = owner.execute("SELECT id FROM participants WHERE tenant_id = %s", [tenant_id]).fetchall()
    for (number,) in random.sample(rows, len(rows) // 2):
        at = NOW - timedelta(days=random.choice([10, 40, 200]), seconds=number)
        owner.execute("UPDATE participants SET last_entry_at = %s WHERE tenant_id = %s AND id = %s", [at, tenant_id, number])
        owner.execute(
            "UPDATE participant_standings SET last_entry_at = %s WHERE tenant_id = %s AND participant_id = %s",
            [at, tenant_id, number],
        )


def any_wish(random: Random) -> Wanted:
    activity = random.choice(["", *participants.ACTIVITIES])
    levels = random.choice([(), (), (1,), (2, 3), (0,), (9,)])
    fragment, sort = random.choice(FRAGMENTS), random.choice(participants.SORTS)
    return participants.wanted(fragment=fragment or "", tiers=levels, activity=activity, sort=sort, now=NOW)


@pytest.fixture(
    params=[(200, 5_000, 10_000), (1, 5_000, 0), (1, 3, 0), (1, 3, 2)], ids=["as it is", "many", "many and late", "some"]
)
def bounds(request, monkeypatch) -> None:
    """What counts as few and as far: as it is, or so that a small tenant takes every way there is."""
    for name, value in zip(("NEAR", "FAR", "FEW"), request.param, strict=True):
        monkeypatch.setattr(participants, name, value)


@pytest.mark.usefixtures("bounds")
@pytest.mark.parametrize("seed", range(2))
def test_pages_put_together_are_everybody_who_matches_in_order(here, tenant, owner, seed):
    random = Random(seed)
    move(here, tenant.id, random, 60)
    for stage in range(3):  # nothing is summed, all of it, and all but a tail
        if stage == 1:
            rollups.advance(here.database, tenant.id)
            with here.database.transaction(tenant.id) as session:
                tiers.replace(session, tenant.id, {"one": 0, "two": 300, "three": 1200}, actor=SYSTEM)
            age(owner, tenant.id, random)
        if stage == 2:
            move(here, tenant.id, random, 15)
        rows = live(here, tenant.id)
        for _ in range(15):
            wanted = any_wish(random)
            assert pages(here, tenant.id, wanted, random.choice([3, 50])) == plainly(rows, wanted), wanted
    restore(owner, tenant.id)


def restore(owner: psycopg.Connection, tenant_id: int) -> None:
    """Let rows say again what the ledger says."""
    last = "(SELECT max(created_at) FROM ledger_entries AS e WHERE e.tenant_id = p.tenant_id AND e.participant_id = {})"
    owner.execute(f"UPDATE participants AS p SET last_entry_at = {last.format('p.id')} WHERE tenant_id = %s", [tenant_id])
    owner.execute(
        f"UPDATE participant_standings AS p SET last_entry_at = {last.format('p.participant_id')} WHERE tenant_id = %s",
        [tenant_id],
    )


def test_the_file_holds_the_same_as_the_pages(here, tenant):
    move(here, tenant.id, Random(1), 50)
    rows = live(here, tenant.id)
    for seed in range(20):
        wanted = any_wish(Random(seed))
        with here.database.transaction(tenant.id) as session:
            assert [row.external_id for row in participants.every(session, tenant.id, wanted)] == plainly(rows, wanted)


@pytest.mark.parametrize("fragment", ["%", "_", "__", "%%", "\\", "\\%"])
def test_signs_that_mean_something_in_sql_mean_themselves(here, tenant, api, fragment):
    api.award("user_1")
    api.award("100%")
    found = pages(here, tenant.id, Wanted(fragment=fragment), 10)

    assert found == []


def test_a_list_is_of_one_tenant_and_not_of_its_sandbox(here, tenant, api):
    api.award("mine", 5)
    api.with_key(tenant.test_key).award("theirs", 5)
    for wanted in (Wanted(), Wanted(fragment="mine"), Wanted(fragment="m"), Wanted(sort="id"), Wanted(sort="id", tiers=(1,))):
        assert pages(here, tenant.id, wanted, 10) == ["mine"]
        assert "mine" not in pages(here, tenant.sandbox_id, wanted, 10)


def test_fragments_are_looked_for_only_where_the_tenant_says_it_is(here, tenant, api):
    """The function sees past row-level security, so it keeps to what that says by itself."""
    api.award("mine")
    query = text("SELECT count(*) FROM participants_like(:t, '%', 10)")
    for acting_as, expected in ((tenant.id, 1), (tenant.sandbox_id, 0), (None, 0)):
        with here.database.transaction(acting_as) as session:
            assert session.scalar(query, {"t": tenant.id}) == expected


def test_only_the_owner_of_the_tables_has_a_policy_of_their_own(owner):
    found = owner.execute(
        "SELECT tablename, roles = ARRAY[tableowner] FROM pg_policies JOIN pg_tables USING (schemaname, tablename)"
        " WHERE policyname <> 'own_tenant'"
    ).fetchall()

    assert sorted(found) == [("participant_details", True), ("participants", True)]


@pytest.mark.parametrize(
    "cursor_text",
    [
        "x",
        "W10",
        "bnVsbA",
        "é",
        "A" * 10_000,
        Cursor("text", 1).write(),
        Cursor(bool(1), 1).write(),
        Cursor(2**63, 1).write(),
        Cursor(1, 2**70).write(),
        Cursor(1.5, 1).write(),
        Cursor(None, None).write(),
        Cursor([[]], 1).write(),
    ],
)
def test_a_cursor_that_is_none_is_refused_in_a_sentence(here, tenant, cursor_text):
    with here.database.transaction(tenant.id) as session, pytest.raises(Invalid, match="start at the first page"):
        participants.search(session, tenant.id, Wanted(sort="balance"), after=cursor_text, limit=5)


@pytest.mark.parametrize("value", ["2026-02-14", "yesterday", "2026-02-14T10:00:00", 5, "9999999-01-01T00:00:00Z"])
def test_a_cursor_of_time_holds_a_time(value):
    with pytest.raises(Invalid):
        cursor.read(Cursor(value, 1).write(), datetime)


@pytest.mark.parametrize("value", ["\0", "\ud800", 5])
def test_a_cursor_of_ids_holds_text_that_could_be_one(value):
    with pytest.raises(Invalid):
        cursor.read(Cursor(value, 1).write(), str)


@pytest.mark.parametrize(("value", "kind"), [(NOW, datetime), ("日本\n", str), (-5, int)])
def test_what_a_cursor_says_is_read_as_it_was_written(value, kind):
    assert cursor.read(Cursor(value, 7).write(), kind) == (value, 7)


@pytest.mark.parametrize(("field", "value"), [("q", "a\0"), ("activity", "lazy"), ("sort", "name"), ("sort", "--id")])
def test_what_cannot_be_asked_for_is_refused_by_name(field, value):
    asked = {"fragment": "", "tiers": (), "activity": "", "sort": "", "now": NOW}
    with pytest.raises(Invalid) as refused:
        participants.wanted(**asked | {"fragment" if field == "q" else field: value})

    assert [error.field for error in refused.value.errors] == [field]
