"""Whatever happens to tiers, in whatever order: each is what a plain model says, and verify finds nothing wrong."""

from contextlib import suppress
from datetime import timedelta
from uuid import UUID

import pytest
from gamify.errors import Conflict, InsufficientPoints
from gamify.services import details, figures, holds, ledger, recalculations, reversals, rollups, tiers
from gamify.services.audit import SYSTEM
from gamify.services.ledger import AWARD, DEDUCT, Movement, Receipt
from gamify.services.reversals import Reversal
from gamify.services.tiers import Policy, Qualification
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test
from sqlalchemy import text

from tests.clock import Clock
from tests.harness import new_tenant
from tests.tier_model import FOREVER, Model, Person, Rules, end_what_is_due

PEOPLE = st.sampled_from(["ana", "bo", "cy"])
AMOUNTS = st.sampled_from([1, 50, 299, 300, 450, 1000])
LADDERS = st.sampled_from(
    [
        {"bronze": 0, "silver": 500, "gold": 1500},
        {"bronze": 0, "silver": 300, "gold": 900},
        {"bronze": 50, "gold": 500},  # one is gone between others
        {"silver": 100, "gold": 350, "black": 700},  # the lowest is gone, and a new one on top
        {"friend": 0, "black": 1000},
        {"only": 2_000},
        {"bronze": 0, "silver": 700, "gold": 2500},
        {},
    ]
)
QUALIFICATIONS = st.sampled_from([Qualification(), Qualification(), Qualification("window", 30), Qualification("year", None, 40)])
POLICIES = st.sampled_from(
    [(effect, falling) for effect in ("now", "next_award") for falling in ("keep", "keep_until", "move_down")]
)
DAYS = st.sampled_from([1, 10, 31, 40, 200])
AN_HOUR = timedelta(hours=1)  # so that nothing ends in the very moment that something else begins
STAND = """
    SELECT external_id, (SELECT code FROM tiers AS t WHERE t.tenant_id = p.tenant_id AND t.number = p.tier LIMIT 1), is_held
    FROM participants AS p WHERE tenant_id = %s
"""
LEVELS = "SELECT tier, count(*), sum(balance)::bigint FROM participants WHERE tenant_id = :t GROUP BY tier ORDER BY tier"


class Tiers(RuleBasedStateMachine):
    """Drives one tenant through everything that can move a tier."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        clock.set()
        self.clock, self.tenant = clock, new_tenant(clock.here)
        self.id, self.database = self.tenant.id, clock.here.database
        self.model = Model({"bronze": 0, "silver": 500, "gold": 1500})
        self.entries: dict[UUID, tuple[str, str]] = {}  # who, and of which kind
        self.asked: list[tuple[Movement, Receipt]] = []  # with a key
        self.cause, self.done = "", 0  # of the recalculation that goes on

    @initialize(amounts=st.lists(AMOUNTS, min_size=1, max_size=3))
    def begin(self, amounts: list[int]) -> None:
        self.award("ana", 700)
        self.award("bo", 1500)
        for amount in amounts:
            self.award("bo", amount)

    @rule(who=PEOPLE, amount=AMOUNTS)
    def award(self, who: str, amount: int) -> None:
        self.post([Movement(AWARD, who, amount, idempotency_key=f"k{len(self.asked)}")])

    @rule(people=st.lists(PEOPLE, min_size=2, max_size=5), amount=AMOUNTS)
    def batch(self, people: list[str], amount: int) -> None:
        self.post([Movement(AWARD, who, amount) for who in people])

    @rule(who=PEOPLE)
    def register(self, who: str) -> None:
        with self.database.transaction(self.id) as session:
            details.register(session, self.id, who)
        nobody = Person(tier=self.model.code(self.model.newest.level(0)), settled_by=len(self.model.ladders))
        self.model.people.setdefault(who, nobody)

    @rule(who=PEOPLE, amount=AMOUNTS)
    def deduct(self, who: str, amount: int) -> None:
        self.post([Movement(DEDUCT, who, amount)])

    def post(self, movements: list[Movement]) -> None:
        outcomes, now = ledger.post(self.database, self.id, movements), self.clock.now()
        done = [(m, o) for m, o in zip(movements, outcomes, strict=True) if isinstance(o, Receipt)]
        for movement, receipt in sorted(done, key=lambda each: each[0].participant_id):
            who = movement.participant_id
            self.entries[receipt.transaction_id] = (who, movement.kind)
            if movement.kind == DEDUCT:
                self.model.spend(who, now)
                continue
            told = receipt.tier_upgrade and (receipt.tier_upgrade["previous_code"], receipt.tier_upgrade["code"])
            assert told == self.model.earn(who, movement.amount, now)
            if movement.idempotency_key:
                self.asked.append((movement, receipt))

    @precondition(lambda self: self.asked)
    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        movement, receipt = data.draw(st.sampled_from(self.asked))
        assert ledger.post(self.database, self.id, [movement]) == [receipt]

    @precondition(lambda self: self.entries)
    @rule(data=st.data(), partly=st.booleans())
    def reverse(self, data: st.DataObject, *, partly: bool) -> None:
        entry = data.draw(st.sampled_from(list(self.entries)))
        who, kind = self.entries[entry]
        with suppress(Conflict, InsufficientPoints):
            done = reversals.reverse(self.database, self.id, Reversal(entry, allow_partial=partly))
            self.entries[done.transaction_id] = (who, "reversal")
            if kind == AWARD:
                self.model.earn(who, -done.amount, self.clock.now())
            else:
                self.model.spend(who, self.clock.now())

    @precondition(lambda self: not self.cause)
    @rule(effect=st.sampled_from(["now", "next_award"]), falling=st.sampled_from(["keep", "keep_until"]), by=QUALIFICATIONS)
    def publish_a_steep_one(self, effect: str, falling: str, by: Qualification) -> None:
        self.publish({"bronze": 0, "silver": 2500, "gold": 9000}, (effect, falling), by, 40, 9)

    @precondition(lambda self: not self.cause)
    @rule(thresholds=LADDERS, how=POLICIES, by=QUALIFICATIONS, days=DAYS, ranges=st.sampled_from([0, 1, 9, 9]))
    def publish(self, thresholds: dict[str, int], how: tuple[str, str], by: Qualification, days: int, ranges: int) -> None:
        effect, falling = how
        until = self.clock.now() + timedelta(days=days) if falling == "keep_until" else None
        with self.database.transaction(self.id) as session:
            policy = Policy(effect, falling, until)
            tiers.put(session, self.id, thresholds, {}, policy=policy, actor=SYSTEM, qualification=by)
            tiers.shut(session, self.id)
            if effect == "now":
                recalculations.begin(session, self.id)
        counted = by.window_days or by.grace_days or 0
        self.model.ladders.append(Rules(thresholds, effect, falling, until or FOREVER, by.basis, counted))
        if effect == "now":
            self.cause, self.done = "published", 0
        for _ in range(ranges):
            self.go_on(1)

    @rule(thresholds=LADDERS)
    def replace(self, thresholds: dict[str, int]) -> None:
        with self.database.transaction(self.id) as session:
            tiers.replace(session, self.id, thresholds, actor=SYSTEM)
        before = self.model.newest
        self.model.ladders.append(Rules(thresholds, basis=before.basis, days=before.days))
        for person in self.model.people.values():
            self.model.settle(person, self.clock.now())
        self.model.newest.is_settled = True

    @precondition(lambda self: not self.cause)
    @rule(ranges=st.sampled_from([0, 1, 9, 9]))
    def requalify(self, ranges: int) -> None:
        with self.database.transaction(self.id) as session:
            recalculations.begin(session, self.id, cause="requalified")
        self.cause, self.done = "requalified", 0
        for _ in range(ranges):
            self.go_on(1)

    @precondition(lambda self: self.cause)
    @rule(most=st.integers(1, 3))
    def go_on(self, most: int) -> None:
        is_more = recalculations.advance(self.database, self.id, most=most)
        if not self.cause:
            assert not is_more
            return
        some = list(self.model.people.values())[self.done : self.done + most]
        self.done += len(some)
        assert is_more == (len(some) == most)
        for person in some:
            if self.cause == "published" and not self.model.is_settled(person):
                self.model.settle(person, self.clock.now())
            elif self.cause == "requalified" and self.model.is_settled(person):
                self.model.look_anew(person, self.clock.now())
        if not is_more:
            self.model.newest.is_settled |= self.cause == "published"
            self.cause = ""

    @precondition(lambda self: self.model.newest.thresholds)
    @rule(who=PEOPLE, data=st.data(), days=st.none() | DAYS)
    def pin(self, who: str, data: st.DataObject, days: int | None) -> None:
        code = data.draw(st.sampled_from(self.model.newest.codes))
        if who not in self.model.people:
            return
        now = self.clock.now()
        until = now + timedelta(days=days) if days else None
        with self.database.transaction(self.id) as session:
            holds.pin(session, self.id, who, code=code, reason="a friend", until=until, now=now, actor=SYSTEM)

        def change(person: Person) -> bool:
            is_another = person.pin != (code, until or FOREVER)
            person.pin = (code, until or FOREVER)
            return is_another

        if self.model.people[who].pin != (code, until or FOREVER):
            self.model.change_hold(who, now, change)

    @rule(who=PEOPLE)
    def unpin(self, who: str) -> None:
        if who not in self.model.people:
            return
        with self.database.transaction(self.id) as session:
            was_pinned = holds.unpin(session, self.id, who, actor=SYSTEM)
        assert was_pinned == (self.model.people[who].pin is not None)

        def change(person: Person) -> bool:
            person.pin = None
            return True

        if was_pinned:
            self.model.change_hold(who, self.clock.now(), change)

    @rule(days=DAYS)
    def wait(self, days: int) -> None:
        self.clock.pass_by(timedelta(days=days) + AN_HOUR)

    @rule()
    def end_holds(self) -> None:
        now = self.clock.now()
        with self.database.transaction(self.id) as session:
            holds.end_due(session, self.id, now=now)
        for who, person in self.model.people.items():
            if any(hold and hold[1] <= now for hold in (person.pin, person.keep)):
                self.model.change_hold(who, now, lambda each: end_what_is_due(each, now))

    @rule()
    def sum_up(self) -> None:
        rollups.catch_up(self.database, self.id, seconds=10)

    @invariant()
    def everybody_stands_where_the_model_says(self) -> None:
        stand = {who: rest for who, *rest in self.clock.owner.execute(STAND, [self.id])}
        assert stand == {who: [each.tier, bool(each.pin or each.keep)] for who, each in self.model.people.items()}

    @rule()
    def verify(self) -> None:
        assert self.tenant.differences() == []
        with self.database.transaction(self.id) as session:
            plainly = [tuple(row) for row in session.execute(text(LEVELS), {"t": self.id})]
            assert [tuple(each) for each in figures.tier_counts(session, self.id)] == plainly

    def teardown(self) -> None:
        self.verify()


def drive(clock: Clock, *, examples: int, steps: int = 40) -> None:
    run_state_machine_as_test(
        lambda: Tiers(clock),
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_tiers_follow_from_what_has_happened(clock: Clock):
    drive(clock, examples=12)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_tiers_follow_from_what_has_happened_at_length(clock: Clock):
    drive(clock, examples=100, steps=60)
