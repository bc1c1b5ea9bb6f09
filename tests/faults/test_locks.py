"""When the database cannot serve in time: a 503 that says when to try again, soon, and nothing stored."""

import threading
import time

import psycopg
import pytest
from gamify.services import rollups

from tests.harness import Answer, Api, TenantUnderTest


@pytest.fixture
def locked(owner: psycopg.Connection, tcp: Api, tenant: TenantUnderTest):
    """Somebody else holds ann's row for as long as the test takes."""
    tcp.award("ann", 100)
    tcp.award("bob", 100)
    with owner.transaction():
        owner.execute("SELECT FROM participants WHERE tenant_id = %s AND external_id = 'ann' FOR UPDATE", [tenant.id])
        yield


@pytest.mark.usefixtures("locked")
@pytest.mark.parametrize("kind", ["award", "deduct"])
def test_a_locked_row_ends_in_503_within_two_seconds(tcp: Api, kind: str):
    began = time.monotonic()

    answer = getattr(tcp, kind)("ann", 10)

    assert time.monotonic() - began < 2
    assert answer.status == 503
    assert int(answer.headers["Retry-After"]) >= 1


@pytest.mark.usefixtures("locked")
def test_others_are_served_while_one_row_is_locked(tcp: Api):
    answers: list[tuple[str, Answer, float]] = []

    def send(participant: str) -> None:
        began = time.monotonic()
        answers.append((participant, tcp.award(participant, 1), time.monotonic() - began))

    threads = [threading.Thread(target=send, args=(name,)) for name in ["ann", "bob"] * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {(name, answer.status) for name, answer, _ in answers} == {("ann", 503), ("bob", 200)}
    assert max(took for *_, took in answers) < 2


def test_nothing_of_a_refused_attempt_is_stored_and_its_key_is_free(tcp: Api, owner: psycopg.Connection, tenant: TenantUnderTest):
    tcp.award("ann", 100)
    with owner.transaction():
        owner.execute("SELECT FROM participants WHERE tenant_id = %s AND external_id = 'ann' FOR UPDATE", [tenant.id])
        assert tcp.award("ann", 10, idempotency_key="k").status == 503

    again = tcp.award("ann", 10, idempotency_key="k")

    assert (again.status, again.json["new_balance"]) == (200, 110)
    assert "Idempotent-Replayed" not in again.headers


def test_a_total_beyond_64_bits_is_422_and_fails_alone(api: Api, owner: psycopg.Connection, tenant: TenantUnderTest):
    api.award("ann", 1)
    brink = 2**63 - 1
    held = "tenant_id = %s AND external_id = 'ann'"
    owner.execute(f"UPDATE participants SET balance = %s, total_earned = %s WHERE {held}", [brink, brink, tenant.id])

    alone = api.award("ann", 1)
    batch = api.batch([{"participant_id": "ann", "amount": 1}, {"participant_id": "bob", "amount": 1}])
    keyed = api.batch(
        [{"participant_id": "ann", "amount": 1}, {"participant_id": "cid", "amount": 1}], headers={"Idempotency-Key": "b"}
    )

    assert (alone.status, alone.code, alone.fields) == (422, "points_overflow", ["amount"])
    for answer in (batch, keyed):
        assert answer.status == 200
        assert [result["error"] is None for result in answer.json["results"]] == [False, True]
    owner.execute(f"UPDATE participants SET balance = 1, total_earned = 1, tier = 1 WHERE {held}", [tenant.id])
    rollups.rebuild(tenant.here.database, tenant.id)  # which may have been summed meanwhile
