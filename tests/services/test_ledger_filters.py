"""Whatever is filtered, of whatever history and in whatever zone: pages, totals and files agree with plain SQL."""

import csv
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from gamify.deployment import Deployment
from gamify.services import entries, ledger_export, ledger_pages, ledger_rows, ledger_totals, period, rollups, spreadsheet
from gamify.services.entries import Filter
from gamify.services.ledger_steps import Effort
from gamify.services.ledger_totals import Totals
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from tests.harness import TenantUnderTest, new_tenant
from tests.histories import Event, write
from tests.people import new_user

BASE = datetime(2026, 3, 28, 21, 7, tzinfo=UTC)  # clocks go forward in Europe that night
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Africa/Cairo", "Pacific/Chatham")
REASONS = (None, "Purchase", "purchase 50%", "Gift_card", "=1+1", "<script>alert(1)</script>")
METADATA = (None, {"order_id": "ord_1", "n": 1}, {"order_id": "ord_2", "a.b": "x"}, {"order_id": "=cmd"})
PEOPLE = ("ana", "bo/b?", "=1+1")
TINY = Effort(entries=7, seconds=60, step=3)
FAST = [Phase.explicit, Phase.reuse, Phase.generate]  # shrinking would take minutes
SOME = settings(max_examples=8, deadline=None, phases=FAST, suppress_health_check=[HealthCheck.function_scoped_fixture])
MANY = settings(SOME, max_examples=60)

PLAIN = """
    SELECT e.id, e.type, e.points, e.created_at FROM ledger_entries AS e JOIN participants AS p
         ON p.tenant_id = e.tenant_id AND p.id = e.participant_id
    WHERE e.tenant_id = :tenant_id
      AND (CAST(:participant_id AS text) IS NULL OR p.external_id = :participant_id)
      AND (CAST(:type AS text) IS NULL OR e.type = :type)
      AND (CAST(:reason AS text) IS NULL OR e.reason = :reason)
      AND (CAST(:reason_part AS text) IS NULL OR position(lower(:reason_part) IN lower(e.reason)) > 0)
      AND (CAST(:min_amount AS bigint) IS NULL OR abs(e.points) >= :min_amount)
      AND (CAST(:max_amount AS bigint) IS NULL OR abs(e.points) <= :max_amount)
      AND (CAST(:api_key_id AS bigint) IS NULL OR COALESCE(e.api_key_id, 0) = :api_key_id)
      AND (CAST(:user_id AS bigint) IS NULL OR e.user_id = :user_id)
      AND (CAST(:order_id AS text) IS NULL OR e.metadata ->> 'order_id' = :order_id)
      AND (CAST(:tier AS int) IS NULL OR e.tier_before = :tier) -- on the first ladder numbers are levels
      AND (CAST(:without AS text) IS NULL OR :without = 'reason' AND e.reason IS NULL
           OR :without = 'metadata.order_id' AND (e.metadata IS NULL OR e.metadata -> 'order_id' IS NULL))
    ORDER BY e.created_at DESC, e.id DESC
"""


@st.composite
def histories(draw: Any, keys: tuple[int | None, ...], users: tuple[int, ...]) -> list[Event]:
    """Up to 40 entries over some days, some of them reversals, often within the same quarter of an hour."""
    events: list[Event] = []
    at, balance = BASE, dict.fromkeys(PEOPLE, 0)
    for _ in range(draw(st.integers(0, 40))):
        at += draw(st.sampled_from([timedelta(microseconds=1), timedelta(minutes=4), timedelta(hours=5), timedelta(days=9)]))
        event = Event(at, draw(st.sampled_from(PEOPLE)), draw(st.integers(1, 700)))
        open_ = [n for n, e in enumerate(events) if e.undoes is None and all(o.undoes != n for o in events)]
        open_ = [n for n in open_ if balance[events[n].participant] >= events[n].points]
        if open_ and draw(st.integers(0, 3)) == 0:
            event.undoes = draw(st.sampled_from(open_))
            event.participant, event.points = events[event.undoes].participant, -events[event.undoes].points
        elif balance[event.participant] >= event.points and draw(st.booleans()):
            event.points *= -1
        balance[event.participant] += event.points
        event.reason, event.metadata = draw(st.sampled_from(REASONS)), draw(st.sampled_from(METADATA))
        by_person = draw(st.integers(0, 3)) == 0
        event.user_id = draw(st.sampled_from(users)) if by_person else None
        event.api_key_id = None if by_person else draw(st.sampled_from(keys))
        events.append(event)
    return events


@st.composite
def filters(draw: Any, keys: tuple[int | None, ...], users: tuple[int, ...]) -> Filter:
    """Any filter; times are days of some zone or instants that may lie within a quarter."""
    zone = ZoneInfo(draw(st.sampled_from(ZONES)))
    day = BASE.date()
    instants = st.none() | st.integers(0, 60 * 24 * 40).map(lambda n: BASE + timedelta(minutes=n))
    since, until = draw(instants), draw(instants)
    if since and until:
        since, until = sorted((since, until))
    if draw(st.booleans()):
        first, last = sorted((draw(st.integers(0, 40)), draw(st.integers(0, 40))))
        since, until = period.days(day + timedelta(days=first), day + timedelta(days=last), zone)
    asked: dict[str, Any] = {
        "participant_id": st.sampled_from([*PEOPLE, "nobody"]),
        "type": st.sampled_from(list(ledger_totals.PART_OF_TYPE)),
        "api_key_id": st.sampled_from([key or 0 for key in keys]),
        "user_id": st.sampled_from(users),
        "reason": st.sampled_from(["Purchase", "=1+1"]),
        "reason_part": st.sampled_from(["PURCHASE", "50%", "t_c", "<script"]),
        "min_amount": st.integers(1, 700),
        "max_amount": st.integers(1, 700),
        "metadata": st.sampled_from([{"order_id": "ord_1"}, {"order_id": "=cmd"}]),
        "tier": st.integers(0, 3),
        "without": st.sampled_from(["reason", "metadata.order_id"]),
    }
    chosen = draw(st.lists(st.sampled_from(sorted(asked)), max_size=3, unique=True))
    return Filter(**{name: draw(asked[name]) for name in chosen}, since=since, until=until)


class World:
    """A tenant with keys and people, and what plain SQL says of its ledger."""

    def __init__(self, here: Deployment) -> None:
        self.here, self.tenant = here, new_tenant(here)
        self.tenant.issue()
        with here.database.transaction(self.tenant.id) as session:
            ids = session.scalars(text("SELECT id FROM api_keys WHERE tenant_id = :t ORDER BY id"), {"t": self.tenant.id})
            self.keys: tuple[int | None, ...] = (None, *ids)
        self.users = tuple(new_user(here, self.tenant.slug).id for _ in range(2))

    def forget(self) -> "World":
        """Begin anew, with another tenant and the same keys' numbers."""
        self.tenant = new_tenant(self.here)
        return self

    def plain(self, wanted: Filter) -> list[Any]:
        """All that match, but for their times."""
        names = ("participant_id", "type", "reason", "reason_part", "min_amount", "max_amount", "api_key_id", "user_id")
        names += ("tier", "without")
        values = {name: getattr(wanted, name) for name in names} | {"order_id": wanted.metadata.get("order_id")}
        with self.here.database.transaction(self.tenant.id) as session:
            return list(session.execute(text(PLAIN), values | {"tenant_id": self.tenant.id}))

    def rows(self, wanted: Filter) -> list[Any]:
        return [row for row in self.plain(wanted) if is_within(row, wanted)]

    def totals(self, wanted: Filter) -> Totals:
        found = Totals(sum(row.points for row in self.plain(wanted) if wanted.since and row.created_at < wanted.since))
        values = found._asdict()
        for row in self.rows(wanted):
            values[ledger_totals.PART_OF_TYPE[row.type]] += abs(row.points)
            values["entry_count"] += 1
        return Totals(**values)

    def paged(self, wanted: Filter, limit: int, effort: Effort | None) -> list[Any]:
        """Everything that pages show, one after the other."""
        shown: list[Any] = []
        before, is_first = None, True
        while is_first or before:
            is_first = False
            with self.here.database.snapshot(self.tenant.id) as session:
                page = ledger_pages.page(session, self.tenant.id, wanted, before=before, limit=limit, effort=effort)
            assert len(page.entries) <= limit
            assert page.next_id != before or before is None
            shown, before = shown + list(page.entries), page.next_id
        return shown

    def added_up(self, wanted: Filter, effort: Effort | None) -> Totals:
        with self.here.database.snapshot(self.tenant.id) as session:
            done = ledger_totals.begin(session, self.tenant.id, wanted)
        shares = [done.share]
        while done.next_id:
            with self.here.database.snapshot(self.tenant.id) as session:
                done = ledger_totals.advance(session, self.tenant.id, wanted, done, effort=effort)
            shares.append(done.share)
        assert shares == sorted(shares)
        assert done.share == 1
        assert done.totals.opening + done.totals.net == done.totals.closing
        return done.totals

    def file(self, wanted: Filter) -> list[dict[str, str]]:
        zone = ZoneInfo("Europe/Berlin")
        with self.here.database.snapshot(self.tenant.id) as session:
            found = ledger_export.every(session, self.tenant.id, wanted)
            lines = spreadsheet.lines(ledger_export.COLUMNS, (ledger_export.cells(entry, zone) for entry in found))
            return list(csv.DictReader(list(lines)))


def is_within(row: Any, wanted: Filter) -> bool:
    after = wanted.since is None or row.created_at >= wanted.since
    return after and (wanted.until is None or row.created_at < wanted.until)


@pytest.fixture
def world(here: Deployment) -> World:
    return World(here)


@SOME
@given(data=st.data())
def test_pages_totals_and_files_agree_with_plain_sql(world: World, data):
    agree(world, data)


@pytest.mark.long
@MANY
@given(data=st.data())
def test_pages_totals_and_files_agree_with_plain_sql_at_length(world: World, data):
    agree(world, data)


def agree(world: World, data) -> None:
    world.forget()
    events = data.draw(histories(world.keys, world.users))
    write(world.here, world.tenant.id, events)
    summed_until = data.draw(st.none() | st.integers(0, 40).map(lambda n: BASE + timedelta(days=n, microseconds=n)))
    if summed_until:
        with world.here.database.transaction(world.tenant.id) as session:
            rollups.derive(session, world.tenant.id, until=summed_until)
    for _ in range(4):
        wanted = data.draw(filters(world.keys, world.users))
        expected = world.rows(wanted)

        assert [row.id for row in world.paged(wanted, 4, TINY)] == [row.id for row in expected]
        assert [row.id for row in world.paged(wanted, 50, None)] == [row.id for row in expected]
        assert world.added_up(wanted, TINY) == world.added_up(wanted, None) == world.totals(wanted)
        assert [row["transaction_id"] for row in world.file(wanted)] == [str(row.id) for row in expected]


def test_a_filter_that_begins_within_a_quarter_comes_to_its_end(here: Deployment, world: World):
    write(here, world.tenant.id, [Event(BASE, "ana", 50)])
    with here.database.transaction(world.tenant.id) as session:
        rollups.derive(session, world.tenant.id, until=BASE + timedelta(days=1))
    wanted = Filter(type="award", since=BASE + timedelta(minutes=3), until=BASE + timedelta(days=1))

    assert world.paged(wanted, 4, TINY) == []


@given(at=st.datetimes(datetime(1970, 1, 1), datetime(9000, 1, 1)))  # noqa: DTZ001  # made aware below
def test_ids_hold_the_time_to_the_microsecond(at):
    assert entries.instant_of(entries.first_id(at.replace(tzinfo=UTC))) == at.replace(tzinfo=UTC)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.datetimes(datetime(1970, 1, 1), datetime(9000, 1, 1)))  # noqa: DTZ001  # made aware below
def test_the_first_id_of_an_instant_is_the_databases(here: Deployment, at):
    with here.database.transaction() as session:
        found = session.scalar(text("SELECT first_entry_id(:at)"), {"at": at.replace(tzinfo=UTC)})
    assert entries.first_id(at.replace(tzinfo=UTC)) == found


@given(id_=st.uuids())
def test_any_id_stands_for_some_instant(id_):
    assert entries.instant_of(id_).tzinfo is UTC


def test_nobodys_entries_are_found_in_another_tenant(here: Deployment, world: World):
    write(here, world.tenant.id, [Event(BASE, "ana", 50)])
    other = new_tenant(here)

    with here.database.snapshot(other.id) as session:
        assert ledger_pages.page(session, other.id, Filter(), limit=5).entries == []
        assert ledger_totals.begin(session, other.id, Filter(participant_id="ana")).totals == Totals()
        assert list(ledger_export.every(session, other.id, Filter())) == []


def test_an_entry_tells_who_or_which_key_and_both_tiers(here: Deployment, world: World):
    key = world.keys[1]
    first, second = write(
        here,
        world.tenant.id,
        [Event(BASE, "ana", 600, api_key_id=key), Event(BASE + timedelta(days=1), "ana", -5, user_id=world.users[0])],
    )

    with here.database.snapshot(world.tenant.id) as session:
        up = ledger_rows.find(session, world.tenant.id, first.id)
        by_hand = ledger_rows.find(session, world.tenant.id, second.id)

    assert (up.key_name, up.email, up.before.code, up.after.code) == ("live", None, "bronze", "silver")
    assert (by_hand.key_name, by_hand.email.partition("@")[2]) == (None, "mail.example")


def test_people_move_points_in_the_sandbox_too(here: Deployment, world: World):
    [event] = write(here, world.tenant.sandbox_id, [Event(BASE, "ana", 6, user_id=world.users[0])])

    with here.database.snapshot(world.tenant.sandbox_id) as session:
        assert ledger_rows.find(session, world.tenant.sandbox_id, event.id).email is not None


def test_a_file_is_of_one_moment(here: Deployment, tenant: TenantUnderTest, api):
    for n in range(5):
        api.award(f"p{n}", 10)
    with here.database.snapshot(tenant.id) as session:
        found = ledger_export.every(session, tenant.id, Filter())
        first = next(found)
        api.award("late", 10)
        rest = list(found)

    assert [row.external_id for row in (first, *rest)] == ["p4", "p3", "p2", "p1", "p0"]


def test_a_file_is_named_after_tenant_mode_and_days():
    zone, now = ZoneInfo("Asia/Tokyo"), datetime(2026, 5, 1, 20, tzinfo=UTC)
    since, until = period.days(now.date().replace(day=2, month=3), now.date().replace(day=4, month=3), zone)

    assert (
        ledger_export.file_name("shop", "test", since, until, zone=zone, now=now)
        == "ledger-shop-test-2026-03-02-to-2026-03-04.csv"
    )
    assert (
        ledger_export.file_name("shop", "live", None, None, zone=zone, now=now) == "ledger-shop-live-beginning-to-2026-05-02.csv"
    )
