"""Whatever happens to tiers, in whatever order: what SQL did follows from the rules as verify has them, to the last row."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

import psycopg
import pytest
from gamify.deployment import Deployment
from gamify.errors import Conflict, InsufficientPoints
from gamify.models import Ladder, Tier
from gamify.services import figures, holds, ladder, ledger, recalculations, reversals, rollups, tiers
from gamify.services.audit import SYSTEM
from gamify.services.ledger import AWARD, DEDUCT, Movement, Receipt
from gamify.services.reversals import Reversal
from gamify.services.tiers import Policy, Qualification
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test
from sqlalchemy import text

from tests.clock import pass_by
from tests.harness import new_tenant

PEOPLE = ("ana", "bo")
AMOUNTS = (1, 50, 299, 300, 450, 1000)
LADDERS: tuple[dict[str, int], ...] = (
    {"bronze": 0, "silver": 500, "gold": 1500},
    {"bronze": 0, "silver": 300, "gold": 900},
    {"bronze": 0, "silver": 700, "gold": 2500},
    {"bronze": 50, "gold": 500},  # one is gone between others
    {"silver": 100, "gold": 350, "black": 700},  # the lowest is gone, and a new one on top
    {"friend": 0, "black": 1000},
    {},
)
WAYS = (None, None, None, Qualification(), Qualification("window", 30), Qualification("year", None, 40))
POLICIES = (
    ("now", "keep"),
    ("now", "keep"),
    ("now", "keep_until"),
    ("now", "move_down"),
    ("next_award", "keep"),
    ("next_award", "move_down"),
)
DAYS = (1, 10, 31, 40, 200)
ACTS = {
    "award": 8, "deduct": 2, "batch": 2, "reverse": 3, "publish": 3, "replace": 1, "requalify": 1, "recalculate": 2,
    "pin": 2, "unpin": 1, "wait": 1, "end_holds": 1, "sum_up": 2, "verify": 2,
}  # fmt: skip
LEVELS = """
    SELECT p.tier, count(*), sum(p.balance)::bigint FROM participants AS p WHERE tenant_id = :t GROUP BY p.tier ORDER BY p.tier
"""


class Tiers(RuleBasedStateMachine):
    """Drives one tenant through everything that can move a tier."""

    def __init__(self, here: Deployment, owner: psycopg.Connection) -> None:
        super().__init__()
        self.here, self.owner, self.tenant = here, owner, new_tenant(here)
        self.id, self.database = self.tenant.id, here.database
        self.entries: list[UUID] = []

    @rule(seed=st.integers(0, 2**32))
    def act(self, seed: int) -> None:
        """One rule for all: Hypothesis would leave out most of several in each run, and what must meet would not."""
        self.dice = Random(seed)
        [act] = self.dice.choices(list(ACTS), ACTS.values())
        getattr(self, act)()

    def award(self) -> None:
        who = self.dice.choice(PEOPLE)
        before = self.level(who)
        [receipt] = self.post([Movement(AWARD, who, self.dice.choice(AMOUNTS))])
        assert isinstance(receipt, Receipt)
        upgrade, after = receipt.tier_upgrade, self.level(who)
        if upgrade:
            assert upgrade["level"] == after > (upgrade["previous_level"] or 0)
        elif before is not None:
            newest = self.newest()
            assert after <= before or not newest.is_settled or newest.effect == "now"

    def deduct(self) -> None:
        self.post([Movement(DEDUCT, self.dice.choice(PEOPLE), self.dice.choice(AMOUNTS))])

    def batch(self) -> None:
        self.post([Movement(AWARD, self.dice.choice(PEOPLE), self.dice.choice(AMOUNTS)) for _ in range(4)])

    def reverse(self) -> None:
        if not self.entries:
            return
        asked = Reversal(self.dice.choice(self.entries), allow_partial=self.dice.random() < 0.5)
        with suppress(Conflict, InsufficientPoints):
            done = reversals.reverse(self.database, self.id, asked)
            self.entries.append(done.transaction_id)

    def publish(self) -> None:
        effect, falling = self.dice.choice(POLICIES)
        until = datetime.now(UTC) + timedelta(days=self.dice.choice(DAYS)) if falling == "keep_until" else None
        with self.database.transaction(self.id) as session:
            if recalculations.going_on(session, self.id):
                return
            how = {"policy": Policy(effect, falling, until), "qualification": self.dice.choice(WAYS)}
            tiers.put(session, self.id, self.dice.choice(LADDERS), {}, **how, actor=SYSTEM)
            tiers.shut(session, self.id)
            if effect == "now":
                recalculations.begin(session, self.id)
        for _ in range(self.dice.choice([0, 1, 3, 3])):
            recalculations.advance(self.database, self.id, most=1)

    def replace(self) -> None:
        with self.database.transaction(self.id) as session:
            if recalculations.going_on(session, self.id) is None:
                tiers.replace(session, self.id, self.dice.choice(LADDERS), actor=SYSTEM)

    def requalify(self) -> None:
        self.let_time_pass(31)
        with self.database.transaction(self.id) as session:
            if recalculations.going_on(session, self.id) is None and self.newest().basis != "lifetime":
                recalculations.begin(session, self.id, cause="requalified")
        recalculations.advance(self.database, self.id)

    def recalculate(self) -> None:
        recalculations.advance(self.database, self.id, most=self.dice.randint(1, 3))

    def pin(self) -> None:
        now, who, days = datetime.now(UTC), self.dice.choice(PEOPLE), self.dice.choice([None, *DAYS])
        with self.database.transaction(self.id) as session:
            rungs = ladder.in_force(session, self.id)
            if not rungs or not self.is_known(who):
                return
            asked = {"code": self.dice.choice([rung.code for rung in rungs]), "reason": "a friend"}
            until = now + timedelta(days=days) if days else None
            holds.pin(session, self.id, who, **asked, until=until, now=now, actor=SYSTEM)
        assert self.code(who) == asked["code"]

    def unpin(self) -> None:
        who = self.dice.choice(PEOPLE)
        if self.is_known(who):
            with self.database.transaction(self.id) as session:
                holds.unpin(session, self.id, who, actor=SYSTEM)

    def wait(self) -> None:
        self.let_time_pass(self.dice.choice(DAYS))

    def let_time_pass(self, days: int) -> None:
        ids = pass_by(self.owner, self.tenant, timedelta(days=days))
        self.entries = [UUID(ids[str(entry)]) for entry in self.entries]

    def end_holds(self) -> None:
        with self.database.transaction(self.id) as session:
            holds.end_due(session, self.id, now=datetime.now(UTC))

    def sum_up(self) -> None:
        rollups.advance(self.database, self.id)

    def verify(self) -> None:
        assert self.tenant.differences() == []
        with self.database.transaction(self.id) as session:
            plainly = [tuple(row) for row in session.execute(text(LEVELS), {"t": self.id})]
            assert [tuple(each) for each in figures.tier_counts(session, self.id)] == plainly

    def teardown(self) -> None:
        self.verify()

    def post(self, movements: list[Movement]) -> list[Any]:
        outcomes = ledger.post(self.database, self.id, movements)
        self.entries += [outcome.transaction_id for outcome in outcomes if isinstance(outcome, Receipt)]
        return outcomes

    def newest(self) -> Ladder:
        with self.database.transaction(self.id) as session:
            found = ladder.newest(session, self.id)
        assert found
        return found

    def is_known(self, who: str) -> bool:
        return self.code(who) is not None

    def code(self, who: str) -> str | None:
        """The code of the tier held, empty for none; None for somebody unknown."""
        found = self.owner.execute(
            "SELECT tier FROM participants WHERE tenant_id = %s AND external_id = %s", [self.id, who]
        ).fetchone()
        with self.database.transaction(self.id) as session:
            known: dict[int, Tier] = dict(ladder.known(session, self.id))
        return None if found is None else known[found[0]].code if found[0] else ""

    def level(self, who: str) -> int | None:
        """The level on the ladder in force of the tier held."""
        found = self.owner.execute(
            "SELECT tier FROM participants WHERE tenant_id = %s AND external_id = %s", [self.id, who]
        ).fetchone()
        if found is None:
            return None
        return self.newest().floors[found[0] - 1] if found[0] else 0


def drive(here: Deployment, owner: psycopg.Connection, *, examples: int) -> None:
    run_state_machine_as_test(
        lambda: Tiers(here, owner),
        settings=settings(
            max_examples=examples,
            stateful_step_count=40,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_tiers_follow_from_what_has_happened(here: Deployment, owner: psycopg.Connection):
    drive(here, owner, examples=40)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_tiers_follow_from_what_has_happened_at_length(here: Deployment, owner: psycopg.Connection):
    drive(here, owner, examples=300)
