"""Gathering: what arrives together is written together, and everybody gets their own answer after their own commit."""

import threading

import pytest
from gamify.errors import LockedByOthers, Unavailable
from gamify.gathering import Gatherer
from gamify.services.ledger import Movement


class Writer:
    """Writes nothing, slowly, and remembers what it was given together. Its gate holds the first group back."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.gate, self.entered = threading.Event(), threading.Event()
        self.fault: Exception | None = None

    def __call__(self, tenant_id: int, movements: list[Movement]) -> list[str]:
        self.groups.append([m.participant_id for m in movements])
        self.entered.set()
        assert self.gate.wait(10)
        if self.fault and len(movements) > 1:
            raise self.fault
        return [f"receipt of {m.participant_id}" for m in movements]


def start(gatherer: Gatherer, names: list[str], answers: dict[str, object]) -> list[threading.Thread]:
    def post(name: str) -> None:
        try:
            answers[name] = gatherer.post(1, Movement("award", name, 1))
        except Unavailable as error:
            answers[name] = error

    threads = [threading.Thread(target=post, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    return threads


@pytest.fixture
def gathered():
    """One movement being written, and four that came meanwhile."""
    writer = Writer()
    gatherer = Gatherer(writer)
    answers: dict[str, object] = {}
    threads = start(gatherer, ["first"], answers)
    assert writer.entered.wait(10)
    threads += start(gatherer, ["a", "b", "c", "d"], answers)
    while len(gatherer._lanes[1].waiting) < 4:
        pass

    def finish() -> dict[str, object]:
        writer.gate.set()
        for thread in threads:
            thread.join(10)
        return answers

    return writer, gatherer, finish


def test_what_comes_while_one_is_written_is_written_together_next(gathered):
    writer, gatherer, finish = gathered

    answers = finish()

    assert [sorted(group) for group in writer.groups] == [["first"], ["a", "b", "c", "d"]]
    assert answers == {name: f"receipt of {name}" for name in ("first", "a", "b", "c", "d")}
    assert gatherer._lanes == {}


def test_a_lock_held_by_others_sends_everybody_on_alone(gathered):
    writer, _, finish = gathered
    writer.fault = LockedByOthers()

    answers = finish()

    assert answers["a"] == "receipt of a"
    assert sorted(len(group) for group in writer.groups) == [1, 1, 1, 1, 1, 4]


def test_after_a_held_lock_nobody_waits_for_company(gathered):
    writer, gatherer, finish = gathered
    writer.fault = LockedByOthers()
    finish()

    assert gatherer.post(1, Movement("award", "later", 1)) == "receipt of later"
    assert gatherer._lanes[1].waiting == []


def test_any_other_fault_reaches_everybody_of_the_group(gathered):
    writer, gatherer, finish = gathered
    writer.fault = Unavailable()

    answers = finish()

    assert answers.pop("first") == "receipt of first"
    assert {type(answer) for answer in answers.values()} == {Unavailable}
    assert gatherer._lanes == {}


def test_tenants_are_never_mixed():
    writer = Writer()
    writer.gate.set()
    gatherer = Gatherer(writer)

    for tenant_id in (1, 2):
        gatherer.post(tenant_id, Movement("award", "x", 1))

    assert writer.groups == [["x"], ["x"]]
