"""Imports: what each line becomes, what is refused, and that nothing happens twice."""

import io
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from gamify.errors import Invalid, LockedByOthers
from gamify.models import AuditEntry, LedgerEntry, Participant, TierChange
from gamify.services import details, holds, ladder, ledger, rollups, tiers
from gamify.services.audit import SYSTEM
from gamify.services.drafts import LIFETIME_EARNED
from gamify.services.imports import histories, run
from gamify.services.imports.run import Report
from gamify.services.imports.sheet import HISTORY
from gamify.services.ledger import AWARD, Movement
from gamify.services.reports import dimensions
from gamify.services.tiers import Policy, Qualification
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from tests import ladders
from tests.harness import TenantUnderTest, new_tenant

NOW = datetime.now(UTC)
HEADER = "participant_id,type,amount,created_at,reason,metadata,idempotency_key\n"


def imported(tenant: TenantUnderTest, content: str | bytes, **options: Any) -> Report:
    """Import a file into the live tenant."""
    asked = {"name": "points.csv", "is_dry": False, "skips_bad": False, "actor": SYSTEM, "now": datetime.now(UTC)} | options
    written = content if isinstance(content, bytes) else content.encode()
    return run.run(tenant.here.database, tenant.id, io.BytesIO(written), **asked)


def history_of(tenant: TenantUnderTest, participant_id: str) -> list[LedgerEntry]:
    with tenant.here.database.transaction(tenant.id) as session:
        whose = select(Participant.id).where(Participant.external_id == participant_id).scalar_subquery()
        mine = select(LedgerEntry).where(LedgerEntry.participant_id == whose)
        return list(session.scalars(mine.order_by(LedgerEntry.seq)))


def tier_of(tenant: TenantUnderTest, participant_id: str) -> str | None:
    with tenant.here.database.transaction(tenant.id) as session:
        number = session.scalars(select(Participant.tier).where(Participant.external_id == participant_id)).one()
        return ladder.known(session, tenant.id)[number].code if number else None


def summed(tenant: TenantUnderTest) -> None:
    """Let everything be summed up to now, so that what is imported comes behind it."""
    rollups.rebuild(tenant.here.database, tenant.id)


# Opening balances


def test_an_opening_balance_becomes_one_award_that_decides_the_tier(tenant, api):
    report = imported(tenant, "participant_id,balance\nana,1700\nbo,20\n")

    assert (report.kind, report.new_count, report.is_stored) == ("opening balances", 2, True)
    [entry] = history_of(tenant, "ana")
    assert (entry.type, entry.points, entry.reason) == ("award", 1700, "Opening balance")
    assert api.balance("bo") == 20
    assert (tier_of(tenant, "ana"), tier_of(tenant, "bo")) == ("gold", "bronze")


def test_points_spent_before_count_for_the_tier_and_are_gone(tenant, api):
    imported(tenant, "participant_id,balance,total_earned\nana,300,1600\n")

    points = api.points("ana").json
    assert (points["balance"], points["total_earned"], points["total_spent"]) == (300, 1600, 1300)
    assert tier_of(tenant, "ana") == "gold"
    assert [(e.type, e.points, e.reason) for e in history_of(tenant, "ana")] == [
        ("award", 1600, "Opening balance"),
        ("deduct", -1300, "Opening balance: spent before"),
    ]


def test_whoever_has_nothing_is_known_all_the_same(tenant, api):
    report = imported(tenant, "participant_id,balance,display_name\nana,0,Ana Lima\nbo,0,\n")

    assert report.new_count == 2
    assert api.points("bo").json["balance"] == 0
    assert api.request("GET", "/api/v1/gamify/participants/ana").json["display_name"] == "Ana Lima"
    assert tier_of(tenant, "ana") == "bronze"


def test_names_go_to_those_who_have_points_too(tenant, api):
    imported(tenant, "participant_id,balance,display_name\nana,5,Ana Lima\n")

    assert api.request("GET", "/api/v1/gamify/participants/ana").json["display_name"] == "Ana Lima"


def test_names_are_completed_when_a_run_was_stopped_before_them(tenant, api, owner):
    content = "participant_id,balance,display_name\nana,5,Ana Lima\nbo,5,Bo\n"
    imported(tenant, content)
    owner.execute("DELETE FROM participant_details WHERE tenant_id = %s", [tenant.id])
    imported(tenant, content + "cleo,5,Cleo\n")

    assert api.request("GET", "/api/v1/gamify/participants/ana").json["display_name"] == "Ana Lima"


def test_a_name_given_since_is_not_overwritten_by_the_same_line(tenant):
    content = "participant_id,balance,display_name\nana,5,Ana Lima\n"
    imported(tenant, content)
    with tenant.here.database.transaction(tenant.id) as session:
        details.change(session, tenant.id, "ana", patch={"display_name": "Ana Costa"})
    imported(tenant, content + "bo,5,Bo\n")

    with tenant.here.database.transaction(tenant.id) as session:
        number = session.scalars(select(Participant.id).where(Participant.external_id == "ana")).one()
        assert details.of(session, tenant.id, [number])[number].display_name == "Ana Costa"


def test_the_same_opening_balance_twice_changes_nothing_and_says_so(tenant, api):
    content = "participant_id,balance,total_earned\nana,300,400\nbo,5,\n"
    imported(tenant, content)
    again = imported(tenant, content)

    assert (again.new_count, again.known_count, again.is_stored) == (0, 2, True)
    assert (api.balance("ana"), api.balance("bo")) == (300, 5)


@pytest.mark.parametrize("other", ["ana,301,", "ana,300,400", "ana,0,"])
def test_another_opening_balance_of_somebody_is_refused(tenant, api, other):
    imported(tenant, "participant_id,balance,total_earned\nana,300,\n")
    report = imported(tenant, f"participant_id,balance,total_earned\n{other}\n")

    assert [(r.line, r.field) for r in report.remarks] == [(2, "participant_id")]
    assert not report.is_stored
    assert api.balance("ana") == 300


def test_an_opening_balance_that_was_spent_from_cannot_come_back_with_less(tenant, api):
    imported(tenant, "participant_id,balance,total_earned\nana,300,400\n")
    report = imported(tenant, "participant_id,balance,total_earned\nana,200,400\n")

    assert report.bad_count == 1
    assert api.balance("ana") == 300


def test_an_opening_balance_comes_on_top_of_what_was_awarded_here(tenant, api):
    api.award("ana", 7)
    imported(tenant, "participant_id,balance\nana,300\n")

    assert api.balance("ana") == 307


# Histories


def test_a_history_keeps_its_dates_and_all_it_says(tenant, api):
    summed(tenant)
    imported(
        tenant,
        HEADER
        + 'ana,award,600,2024-02-29T23:30:00+02:00,"Order, first","{""order"": 17, ""price"": 49.90}",order-17\n'
        + "ana,deduct,100,2025-01-01T00:00:00.123456Z,Coffee,,\n",
    )

    first, second = history_of(tenant, "ana")
    assert first.created_at == datetime(2024, 2, 29, 21, 30, tzinfo=UTC)
    assert second.created_at == datetime(2025, 1, 1, microsecond=123456, tzinfo=UTC)
    assert (first.points, first.reason, first.metadata_) == (600, "Order, first", {"order": 17, "price": 49.9})
    assert (second.type, second.points, second.balance_after, second.total_spent_after) == ("deduct", -100, 500, 100)
    assert api.points("ana").json == {"participant_id": "ana", "balance": 500, "total_earned": 600, "total_spent": 100}
    assert (first.tier_before, first.tier_after, tier_of(tenant, "ana")) == (1, 2, "silver")


def test_lines_apply_in_the_order_of_their_times_whatever_their_order_in_the_file(tenant):
    imported(
        tenant,
        "participant_id,type,points,created_at\n"
        "ana,deduct,70,2024-03-01T00:00:00Z\nbo,award,1,2024-01-01T00:00:00Z\nana,award,100,2024-02-01T00:00:00Z\n"
        "ana,award,3,2024-03-01T00:00:00Z\n",
    )

    entries = history_of(tenant, "ana")
    assert [entry.points for entry in entries] == [100, -70, 3]
    assert entries[2].created_at - entries[1].created_at == timedelta(microseconds=1)


def test_awards_go_on_after_a_history(tenant, api):
    imported(tenant, HEADER + "ana,award,499,2024-02-01T00:00:00Z,,,\n")

    answer = api.award("ana", 1).json
    assert (answer["new_balance"], answer["tier_upgrade"]["code"]) == (500, "silver")


def test_an_imported_key_replays_over_the_api(tenant, api):
    imported(tenant, HEADER + 'ana,award,5,2024-02-01T00:00:00Z,Order,"{""a"": 1.0}",order-1\n')
    [entry] = history_of(tenant, "ana")

    answer = api.award("ana", 5, reason="Order", metadata={"a": 1}, idempotency_key="order-1")
    assert answer.headers["Idempotent-Replayed"] == "true"
    assert answer.json["transaction_id"] == str(entry.id)
    assert api.award("ana", 6, idempotency_key="order-1").code == "idempotency_mismatch"


def test_a_history_twice_changes_nothing_and_says_so(tenant, api):
    content = HEADER + "".join(f"p{n % 3},award,{n},2024-02-01T00:00:0{n}Z,,,\n" for n in range(1, 9))
    imported(tenant, content)
    again = imported(tenant, content)

    assert (again.new_count, again.known_count, again.bad_count) == (0, 8, 0)
    assert api.balance("p1") == 1 + 4 + 7


def test_a_line_that_stands_twice_counts_once_and_is_told(tenant, api):
    report = imported(tenant, HEADER + 2 * "ana,award,5,2024-02-01T00:00:00Z,Order,,\n" + "ana,award,5,2024-02-01T00:00:00Z,,,\n")

    assert (report.new_count, report.known_count) == (2, 1)
    assert [(r.line, r.is_bad) for r in report.remarks] == [(3, False)]
    assert "line 2" in report.remarks[0].message
    assert api.balance("ana") == 10


def test_only_who_has_no_entries_gets_a_history(tenant, api):
    api.award("ana", 5)
    report = imported(tenant, HEADER + "ana,award,5,2024-02-01T00:00:00Z,,,\nbo,award,5,2024-02-01T00:00:00Z,,,\n")

    assert [(r.line, r.field) for r in report.remarks] == [(2, "participant_id")]
    assert (report.is_stored, api.balance("ana"), api.points("bo").status) == (False, 5, 404)


def test_who_was_registered_before_has_stood_on_a_tier_since_the_history_began(tenant):
    with tenant.here.database.transaction(tenant.id) as session:
        details.register(session, tenant.id, "ana", display_name="Ana")
        tiers.replace(session, tenant.id, {"basic": 0, "gold": 100}, actor=SYSTEM)
    summed(tenant)
    imported(tenant, HEADER + "ana,award,150,2024-02-01T00:00:00Z,,,\n")

    assert tier_of(tenant, "ana") == "gold"
    with tenant.here.database.transaction(tenant.id) as session:
        told = session.execute(select(TierChange.cause, TierChange.at).order_by(TierChange.id)).all()
    assert [cause for cause, _ in told] == ["registered", "published"]
    assert {at for _, at in told} == {datetime(2024, 2, 1, tzinfo=UTC)}


def test_who_is_pinned_gets_no_history(tenant):
    with tenant.here.database.transaction(tenant.id) as session:
        details.register(session, tenant.id, "ana")
        holds.pin(session, tenant.id, "ana", code="gold", reason="a friend", until=None, now=NOW, actor=SYSTEM)
    report = imported(tenant, HEADER + "ana,award,150,2024-02-01T00:00:00Z,,,\n")

    assert [(r.field, "pinned" in r.message) for r in report.remarks] == [("participant_id", True)]


# What is refused


@pytest.mark.parametrize(
    ("cells", "field"),
    [
        (",award,5,2024-02-01T00:00:00Z,,,", "participant_id"),
        ("..,award,5,2024-02-01T00:00:00Z,,,", "participant_id"),
        (f"{'x' * 256},award,5,2024-02-01T00:00:00Z,,,", "participant_id"),
        ("ana,reverse,5,2024-02-01T00:00:00Z,,,", "type"),
        ("ana,award,0,2024-02-01T00:00:00Z,,,", "amount"),
        ("ana,award,-5,2024-02-01T00:00:00Z,,,", "amount"),
        ("ana,award,5.0,2024-02-01T00:00:00Z,,,", "amount"),
        ("ana,award,1000001,2024-02-01T00:00:00Z,,,", "amount"),
        ("ana,award,\u0665,2024-02-01T00:00:00Z,,,", "amount"),
        ("ana,award,5,2024-02-01,,,", "created_at"),
        ("ana,award,5,2024-02-01T00:00:00,,,", "created_at"),
        ("ana,award,5,2024-02-30T00:00:00Z,,,", "created_at"),
        ("ana,award,5,1969-12-31T00:00:00Z,,,", "created_at"),
        ("ana,award,5,2999-01-01T00:00:00Z,,,", "created_at"),
        (f"ana,award,5,2024-02-01T00:00:00Z,{'r' * 501},,", "reason"),
        ("ana,award,5,2024-02-01T00:00:00Z,a\0b,,", "reason"),
        ("ana,award,5,2024-02-01T00:00:00Z,,[1],", "metadata"),
        ("ana,award,5,2024-02-01T00:00:00Z,,{,", "metadata"),
        ('ana,award,5,2024-02-01T00:00:00Z,,"{""a"": NaN}",', "metadata"),
        ('ana,award,5,2024-02-01T00:00:00Z,,"{""a"": 9223372036854775808}",', "metadata"),
        (f'ana,award,5,2024-02-01T00:00:00Z,,"{"[" * 9_000}",', "metadata"),
        ("ana,award,5,2024-02-01T00:00:00Z,,,a key", "idempotency_key"),
        ("ana,award,5", "line"),
        ("ana,deduct,5,2024-02-01T00:00:00Z,,,", "amount"),
    ],
)
def test_a_line_that_cannot_be_is_named_with_its_field(tenant, cells, field):
    report = imported(tenant, f"{HEADER}bo,award,1,2024-02-01T00:00:00Z,,,\n{cells}\n")

    assert {(r.line, r.field) for r in report.remarks} == {(3, field)}
    assert (report.bad_count, report.is_stored, tenant.row_count()) == (1, False, 0)


@pytest.mark.parametrize(
    ("cells", "field"),
    [
        ("ana,,,", "balance"),
        ("ana,1e3,,", "balance"),
        ("ana,5,4,", "total_earned"),
        ("ana,5,x,", "total_earned"),
        ("ana,1000000000001,,", "balance"),
        (f"ana,5,,{'n' * 201}", "display_name"),
    ],
)
def test_an_opening_balance_that_cannot_be_is_named_with_its_field(tenant, cells, field):
    report = imported(tenant, f"participant_id,balance,total_earned,display_name\n{cells}\n")

    assert [(r.line, r.field) for r in report.remarks] == [(2, field)]
    assert not report.is_stored


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("", "begins with nothing"),
        ("participant_id", "must have a column type"),
        ("participant_id,type,amount,created_at,colour", "colour"),
        ("participant_id,balance,reason", "reason"),
        ("participant_id,type,amount,points,created_at", "amount stands twice"),
        ('participant_id,"type', "cannot be read"),
    ],
)
def test_a_file_with_other_columns_is_refused_by_their_names(tenant, header, said):
    with pytest.raises(Invalid) as refused:
        imported(tenant, header + "\nana,5\n")

    assert said in " ".join(error.message for error in refused.value.errors).lower()


def test_a_deduct_beyond_what_there_is_then_is_refused_with_what_there_is(tenant):
    report = imported(
        tenant,
        HEADER
        + "ana,award,100,2024-02-01T00:00:00Z,,,\nana,deduct,101,2024-02-02T00:00:00Z,,,\nana,award,50,2024-02-03T00:00:00Z,,,\n",
    )

    [remark] = [r for r in report.remarks if r.field == "amount"]
    assert (remark.line, "100 points" in remark.message) == (3, True)


def test_skipping_leaves_out_whoever_has_a_bad_line_as_a_whole(tenant, api):
    content = HEADER + (
        "ana,award,100,2024-02-01T00:00:00Z,,,\nana,award,x,2024-02-02T00:00:00Z,,,\nbo,award,5,2024-02-01T00:00:00Z,,,\n"
    )
    report = imported(tenant, content, skips_bad=True)

    assert (report.new_count, report.bad_count, report.left_out_count, report.is_stored) == (1, 1, 1, True)
    assert (api.balance("bo"), api.points("ana").status) == (5, 404)
    mended = imported(tenant, content.replace(",x,", ",1,"))
    assert (mended.new_count, mended.known_count, api.balance("ana")) == (2, 1, 101)


def test_a_key_that_means_something_else_is_refused(tenant, api):
    api.award("zoe", 1, idempotency_key="k1")
    report = imported(
        tenant,
        HEADER
        + "ana,award,5,2024-02-01T00:00:00Z,,,k1\nbo,award,5,2024-02-01T00:00:00Z,,,k2\nbo,award,6,2024-02-01T00:00:00Z,,,k2\n",
    )

    assert [(r.line, r.field) for r in report.remarks if "left out" not in r.message] == [
        (2, "idempotency_key"),
        (4, "idempotency_key"),
    ]


def test_a_dry_run_says_the_same_and_stores_nothing(tenant):
    content = HEADER + "ana,award,100,2024-02-01T00:00:00Z,,,\n" * 2
    dry = imported(tenant, content, is_dry=True)

    assert tenant.row_count() == 0
    assert imported(tenant, content)._replace(is_stored=False) == dry


# Files as they come


@pytest.mark.parametrize(
    "content",
    [
        "participant_id;balance\r\nünal;5\r\n".encode("utf-8-sig"),
        b" Participant_ID ,Balance\n\n\xc3\xbcnal, 5 \n\n",
        '"participant_id","balance"\n"ünal","5"'.encode(),
    ],
)
def test_files_are_read_as_spreadsheets_write_them(tenant, api, content):
    imported(tenant, content)

    assert api.balance("ünal") == 5


def test_a_cell_with_line_feeds_counts_its_lines(tenant):
    report = imported(
        tenant, HEADER + 'ana,award,5,2024-02-01T00:00:00Z,"two\nlines",,\nbo,award,x,2024-02-01T00:00:00Z,,,\n', skips_bad=True
    )

    assert [r.line for r in report.remarks] == [4]
    assert history_of(tenant, "ana")[0].reason == "two\nlines"


def test_text_that_is_not_utf8_is_refused_with_its_line(tenant):
    with pytest.raises(Invalid, match=r"line 3: .*UTF-8"):
        imported(tenant, b"participant_id,balance\nana,5\nb\xf6,5\n")


# Beside others


def test_the_log_tells_who_has_imported_what(tenant):
    imported(tenant, HEADER + "ana,award,100,2024-02-01T00:00:00Z,,,\n", name="old-shop.csv")
    imported(tenant, HEADER + "ana,award,100,2024-02-01T00:00:00Z,,,\n", name="old-shop.csv")

    with tenant.here.database.transaction(tenant.id) as session:
        mine = select(AuditEntry).where(AuditEntry.tenant_id == tenant.id, AuditEntry.action == "points.import")
        [told] = session.scalars(mine).all()
    assert (told.subject, told.after) == ("history: old-shop.csv", {"lines": 1, "participants": 1})


def test_awards_meanwhile_are_right_and_nobody_is_counted_twice(tenant, api, monkeypatch):
    """Awards to those who are being imported come before their history, which is left out then, or after it."""
    monkeypatch.setitem(run.AT_ONCE, HISTORY, 20)
    summed(tenant)
    people = [f"p{n:03}" for n in range(200)]
    lines = "".join(f"{who},award,7,2024-02-{day:02}T00:00:00Z,,,\n" for who in people for day in range(1, 4))
    awarded: list[str] = []
    is_over = threading.Event()

    def award() -> None:
        while not is_over.is_set():
            for who in reversed(people):
                with suppress(LockedByOthers):
                    ledger.post(tenant.here.database, tenant.id, [Movement(AWARD, who, 1)])
                    awarded.append(who)

    def summing() -> None:
        while not is_over.is_set():
            rollups.advance(tenant.here.database, tenant.id)

    others = [threading.Thread(target=work) for work in (award, summing)]
    for thread in others:
        thread.start()
    try:
        report = imported(tenant, HEADER + lines, skips_bad=True)
    finally:
        is_over.set()
        for thread in others:
            thread.join()

    assert report.bad_count + report.new_count == 600
    for who in people:
        mine = [entry.points for entry in history_of(tenant, who)]
        assert sum(mine) == awarded.count(who) + (21 if 7 in mine else 0)
        assert mine.count(7) in {0, 3}
    assert report.new_count == 3 * sum(7 in [entry.points for entry in history_of(tenant, who)] for who in people)


def test_of_two_imports_at_once_each_line_is_written_by_one(tenant, api, monkeypatch):
    monkeypatch.setitem(run.AT_ONCE, HISTORY, 50)
    content = HEADER + "".join(f"p{n % 40},award,{n},2024-02-01T00:00:00Z,,,\n" for n in range(1, 1_001))
    both = [threading.Thread(target=imported, args=(tenant, content)) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()

    with tenant.here.database.transaction(tenant.id) as session:
        assert session.scalars(select(func.count(), func.sum(LedgerEntry.points))).first() == 1_000
    assert api.balance("p1") == sum(range(1, 1_001, 40))


def test_a_run_that_ends_in_the_middle_is_taken_up_again(tenant, monkeypatch):
    monkeypatch.setitem(run.AT_ONCE, HISTORY, 50)
    content = HEADER + "".join(f"p{n % 40},award,{n},2024-02-01T00:00:00Z,,,\n" for n in range(1, 1_001))
    written = []
    write = histories.write

    def interrupted(*arguments: Any) -> int:
        if len(written) == 3:
            raise KeyboardInterrupt
        written.append(write(*arguments))
        return written[-1]

    monkeypatch.setattr(histories, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        imported(tenant, content)
    assert tenant.differences() == []
    monkeypatch.setattr(histories, "write", write)
    report = imported(tenant, content)

    assert (report.known_count, report.new_count) == (sum(written), 1_000 - sum(written))
    assert 0 < sum(written) < 1_000


# Whatever a history is

LADDERS = [LIFETIME_EARNED, Qualification("window", window_days=30), Qualification("year", grace_days=60)]
POLICIES = [Policy(), Policy("now", "move_down"), Policy("next_award", "move_down"), Policy("next_award", "keep")]
INSTANTS = st.datetimes(datetime(2024, 1, 1), datetime(2026, 1, 1)).map(lambda at: at.replace(tzinfo=UTC))  # noqa: DTZ001
EVENTS = st.tuples(st.sampled_from(["ana", "bo", "cleo"]), st.integers(-300, 900).filter(bool), INSTANTS, st.sampled_from("xyz"))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    events=st.lists(EVENTS, max_size=25),
    ladder_=st.sampled_from(LADDERS),
    policy=st.sampled_from(POLICIES),
    registered=st.sets(st.sampled_from(["ana", "bo", "dan"])),
    is_settled=st.booleans(),
    is_summed=st.booleans(),
)
def test_whatever_a_history_is_and_whatever_the_ladder_everything_adds_up(
    here, events, ladder_, policy, registered, is_settled, is_summed
):
    """Verification replays the rules of tiers apart from the statements, and derives every rollup anew."""
    tenant = new_tenant(here)
    ledger.post(here.database, tenant.id, [Movement(AWARD, "zoe", 700, "x")])
    with here.database.transaction(tenant.id) as session:
        for who in sorted(registered):
            details.register(session, tenant.id, who)
        dimensions.declare(session, tenant.id, "shop", actor=SYSTEM)
    dimensions.make_ready(here.database, tenant.id)
    ladders.publish(tenant, ladders.content(ladder_, low=0, high=400, top=1200), policy, is_finished=is_settled)
    if is_summed:
        summed(tenant)
    left = dict.fromkeys(["ana", "bo", "cleo"], 0)
    lines = []
    for who, points, at, word in sorted(events, key=lambda event: event[2]):
        if left[who] + points >= 0:
            left[who] += points
            kind = "award" if points > 0 else "deduct"
            lines.append(f'{who},{kind},{abs(points)},{at.isoformat()},{word},"{{""shop"": ""{word}""}}",k{len(lines)}\n')

    report = imported(tenant, HEADER + "".join(lines))

    assert (report.bad_count, report.new_count) == (0, len(lines))
    for who, points in left.items():
        assert sum(entry.points for entry in history_of(tenant, who)) == points
    assert tenant.differences() == []
    summed(tenant)
    ledger.post(here.database, tenant.id, [Movement(AWARD, who, 5) for who in left])
    rollups.advance(here.database, tenant.id)
    assert tenant.differences() == []
