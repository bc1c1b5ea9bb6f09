"""Awards and deducts at the same moment, over TCP, on two processes, with real commits."""

from functools import partial
from itertools import pairwise

from tests.harness import Api


def test_100_deducts_of_1_from_50_leave_0_with_50_refusals(crowd, at_once):
    clients = crowd(100)
    clients[0].award("p", 50)

    answers = at_once([partial(client.deduct, "p", 1) for client in clients])

    assert sorted(answer.status for answer in answers) == [200] * 50 + [400] * 50
    assert sorted(answer.json["new_balance"] for answer in answers if answer.status == 200) == list(range(50))
    assert {answer.code for answer in answers if answer.status == 400} == {"insufficient_points"}
    assert clients[0].balance("p") == 0


def test_24_awards_with_one_key_make_one_entry_and_24_identical_answers(crowd, at_once):
    clients = crowd(24)

    for key in ("first", "second", "third"):
        answers = at_once([partial(client.award, "p", 600, idempotency_key=key) for client in clients])

        assert {answer.status for answer in answers} == {200}
        assert len({answer.body for answer in answers}) == 1
        assert sum("Idempotent-Replayed" not in answer.headers for answer in answers) == 1
    assert clients[0].history("p").json["total"] == 3
    assert clients[0].balance("p") == 1800


def test_24_refused_deducts_with_one_key_are_refused_alike(crowd, at_once):
    clients = crowd(24)
    clients[0].award("p", 5)
    calls = [partial(client.deduct, "p", 10, idempotency_key="k") for client in clients]
    calls[12] = partial(clients[12].award, "p", 100)  # somewhere in the middle the points come in

    answers = at_once(calls)

    del answers[12]
    assert len({answer.status for answer in answers}) == 1
    assert len({answer.json.get("detail") or answer.body for answer in answers}) == 1


def test_one_key_for_two_participants_at_once_makes_one_entry(crowd, at_once):
    one, other = crowd(2)

    for n in range(30):
        key = f"k{n}"
        answers = at_once([partial(one.award, "a", 10, idempotency_key=key), partial(other.award, "b", 10, idempotency_key=key)])

        assert sorted(answer.status for answer in answers) == [200, 422]
        [refused] = [answer for answer in answers if answer.status == 422]
        assert refused.code == "idempotency_mismatch"
        assert refused.fields == ["idempotency_key"]
    assert total(one, "a") + total(one, "b") == 30


def test_one_key_for_an_award_and_a_deduct_at_once_moves_points_once(crowd, at_once):
    one, other = crowd(2)
    one.award("a", 1000)

    for n in range(20):
        key = f"k{n}"
        answers = at_once([partial(one.award, "a", 1, idempotency_key=key), partial(other.deduct, "a", 1, idempotency_key=key)])

        assert sorted(answer.status for answer in answers) == [200, 422]
    assert total(one, "a") == 21


def test_first_awards_at_once_create_one_participant(crowd, at_once):
    clients = crowd(24)

    answers = at_once([partial(client.award, "new", 1) for client in clients])

    assert sorted(answer.json["new_balance"] for answer in answers) == list(range(1, 25))


def test_a_tier_is_reached_once_however_many_awards_cross_its_threshold(crowd, at_once):
    clients = crowd(24)

    answers = at_once([partial(client.award, "p", 100) for client in clients])

    upgrades = [answer.json["tier_upgrade"]["code"] for answer in answers if answer.json["tier_upgrade"]]
    assert sorted(upgrades) == ["gold", "silver"]


def test_time_never_runs_backwards_against_the_order_of_entries(crowd, at_once):
    def work(client: Api, n: int) -> list[int]:
        answers = []
        for i in range(8):
            answers.append(client.award("p", 10 + n))
            answers.append(client.deduct("p", 1))
            answers.append(client.batch([{"participant_id": who, "amount": i + 1} for who in ("p", "q", "p")]))
        return [answer.status for answer in answers]

    clients = crowd(16)
    statuses = at_once([partial(work, client, n) for n, client in enumerate(clients)])

    assert {status for each in statuses for status in each} == {200}
    pages = [clients[0].history("p", page=page, page_size=100).json for page in (1, 2, 3, 4, 5, 6)]
    entries = [entry for page in pages for entry in page["transactions"]]
    assert len(entries) == pages[0]["total"] == 16 * 8 * 4
    times = [entry["created_at"] for entry in entries]
    assert times == sorted(times, reverse=True)
    assert entries[-1]["balance_after"] == entries[-1]["amount"]
    for newer, older in pairwise(entries):
        signed = newer["amount"] if newer["type"] == "award" else -newer["amount"]
        assert newer["balance_after"] == older["balance_after"] + signed


def total(api: Api, participant_id: str) -> int:
    answer = api.history(participant_id)
    return answer.json["total"] if answer.status == 200 else 0
