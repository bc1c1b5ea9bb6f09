"""Whatever the order of awards, deducts, batches, replays and mismatches: the API agrees with a model of 30 lines."""

from collections import Counter
from typing import Any

from flask import Flask
from gamify.deployment import Deployment
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from tests.harness import Answer, Api, new_tenant

PEOPLE = st.sampled_from(["ana", "bo", "ünal d/e"])
AMOUNTS = st.one_of(st.integers(1, 60), st.sampled_from([499, 500, 1500]))
KEYS = st.none() | st.sampled_from(["k1", "k2", "k3", "k4"])
ITEMS = st.lists(st.tuples(PEOPLE, AMOUNTS, KEYS), min_size=1, max_size=6)
MISMATCH = "mismatch"


class Model:
    """What the API promises, one request after the other."""

    def __init__(self) -> None:
        self.earned: Counter[str] = Counter()
        self.spent: Counter[str] = Counter()
        self.entries: Counter[str] = Counter()
        self.decided: dict[str, tuple[Any, Any]] = {}

    def move(self, kind: str, who: str, amount: int, key: str | None) -> Any:
        return self._once(key, (kind, who, amount), lambda: self._apply(kind, who, amount))

    def batch(self, items: list[tuple[str, int, str | None]], key: str | None) -> Any:
        return self._once(key, items, lambda: [MISMATCH if k and k == key else self.move("award", w, a, k) for w, a, k in items])

    def _once(self, key: str | None, request: Any, decide: Any) -> Any:
        if key in self.decided:
            asked, outcome = self.decided[key]
            return outcome if asked == request else MISMATCH
        outcome = decide()
        if key:
            self.decided[key] = request, outcome
        return outcome

    def _apply(self, kind: str, who: str, amount: int) -> Any:
        balance, before = self.earned[who] - self.spent[who], self._level(who)
        if kind == "deduct" and amount > balance:
            return f"Insufficient points. Available: {balance}, requested: {amount}"
        self.entries[who] += 1
        (self.earned if kind == "award" else self.spent)[who] += amount
        after = self._level(who)
        return self.earned[who] - self.spent[who], (before, after) if after > before else None

    def _level(self, who: str) -> int:
        return sum(threshold <= self.earned[who] for threshold in (0, 500, 1500))


class Ledger(RuleBasedStateMachine):
    """Drives both and compares."""

    def __init__(self, app: Flask, here: Deployment) -> None:
        super().__init__()
        self.tenant = new_tenant(here)
        self.api, self.model = Api(app.test_client(), self.tenant.key), Model()
        self.answers: dict[str, Answer] = {}

    @rule(who=PEOPLE, amount=AMOUNTS, key=KEYS)
    def award(self, who: str, amount: int, key: str | None) -> None:
        was_decided = key in self.model.decided
        expected = self.model.move("award", who, amount, key)
        self.compare(self.api.award(who, amount, idempotency_key=key), expected, key, was_decided=was_decided)

    @rule(who=PEOPLE, amount=AMOUNTS, key=KEYS)
    def deduct(self, who: str, amount: int, key: str | None) -> None:
        was_decided = key in self.model.decided
        expected = self.model.move("deduct", who, amount, key)
        self.compare(
            self.api.deduct(who, amount, headers={"Idempotency-Key": key} if key else {}), expected, key, was_decided=was_decided
        )

    @rule(items=ITEMS, key=KEYS)
    def batch(self, items: list[tuple[str, int, str | None]], key: str | None) -> None:
        was_decided = key in self.model.decided
        expected = self.model.batch(items, key)
        awards = [{"participant_id": who, "amount": amount, "idempotency_key": k} for who, amount, k in items]
        answer = self.api.batch(awards, headers={"Idempotency-Key": key} if key else {})
        self.compare(answer, expected, key, was_decided=was_decided)
        if expected != MISMATCH:
            assert answer.json["failed"] == expected.count(MISMATCH) + sum(isinstance(e, str) and e != MISMATCH for e in expected)

    @rule(who=PEOPLE)
    def read(self, who: str) -> None:
        total = self.model.entries[who]
        history = self.api.history(who, page_size=100)
        assert history.status == (200 if total else 404)
        if total:
            assert history.json["total"] == total
            signed = [t["amount"] if t["type"] == "award" else -t["amount"] for t in history.json["transactions"]]
            assert sum(signed) == self.model.earned[who] - self.model.spent[who] or total > 100

    @invariant()
    def balances_agree(self) -> None:
        for who in self.model.entries:
            found = self.api.points(who)
            earned, spent = self.model.earned[who], self.model.spent[who]
            if self.model.entries[who]:
                assert (found.json["balance"], found.json["total_earned"]) == (earned - spent, earned)
            else:
                assert found.status == 404

    def compare(self, answer: Answer, expected: Any, key: str | None, *, was_decided: bool) -> None:
        if expected == MISMATCH:
            assert (answer.status, answer.code) == (422, "idempotency_mismatch")
            return
        if isinstance(expected, str):
            assert (answer.status, answer.json["detail"]) == (400, expected)
            return
        assert answer.status == 200
        if isinstance(expected, list):
            for result, each in zip(answer.json["results"], expected, strict=True):
                self.compare_one(result, each)
        else:
            self.compare_one(answer.json, expected)
        if key:  # the first answer stands for ever
            assert answer.json == self.answers.setdefault(key, answer).json
            assert ("Idempotent-Replayed" in answer.headers) == was_decided  # perhaps as an item of a batch

    def compare_one(self, result: dict[str, Any], expected: Any) -> None:
        if isinstance(expected, str):
            assert result["transaction_id"] is None
            assert result["error"]
            return
        balance, upgrade = expected
        assert result["new_balance"] == balance
        told = result.get("tier_upgrade")
        assert (told and (told["previous_level"], told["level"])) == upgrade

    def teardown(self) -> None:
        assert self.tenant.differences() == []


def test_the_api_agrees_with_the_model(app: Flask, here: Deployment):
    run_state_machine_as_test(
        lambda: Ledger(app, here),
        settings=settings(
            max_examples=30,
            stateful_step_count=30,
            deadline=None,
            database=None,
            phases=[Phase.generate],  # a failing run is short enough to read; shrinking it would take minutes
            suppress_health_check=list(HealthCheck),
        ),
    )
