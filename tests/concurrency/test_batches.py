"""Batches that overlap: no deadlock, no error, no doubled point."""

from collections import Counter
from functools import partial
from random import Random

from tests.harness import Api

PEOPLE = [f"person-{n}" for n in range(100)]


def test_overlapping_batches_of_100_from_8_clients_all_succeed(crowd, at_once):
    def work(client: Api, n: int) -> tuple[list[int], Counter[str]]:
        random = Random(n)  # repeatable on purpose
        statuses, given = [], Counter()
        for i in range(5):
            people = random.sample(PEOPLE, 95) + random.choices(PEOPLE, k=5)
            awards = [{"participant_id": who, "amount": random.randint(1, 300)} for who in people]
            for award in random.sample(awards, 30):
                award["idempotency_key"] = f"client-{n}-{i}-{award['participant_id']}-{award['amount']}"
            answer = client.batch(awards, headers={"Idempotency-Key": f"batch-{n}-{i}"} if i % 2 else {})
            statuses.append(answer.status)
            assert answer.json["failed"] == 0, answer.json
            for award, result in zip(awards, answer.json["results"], strict=True):
                assert result["participant_id"] == award["participant_id"]
                given[award["participant_id"]] += award["amount"]
        return statuses, given

    clients = crowd(8)
    worked = at_once([partial(work, client, n) for n, client in enumerate(clients)])

    assert {status for statuses, _ in worked for status in statuses} == {200}
    given = sum((each for _, each in worked), Counter())
    assert {who: clients[0].balance(who) for who in PEOPLE} == dict(given)


def test_batches_that_share_the_keys_of_their_items_award_each_once(crowd, at_once):
    """Everyone sends the same keyed items, each in an order of their own."""
    awards = [{"participant_id": who, "amount": 7, "idempotency_key": f"key-{who}"} for who in PEOPLE]

    def work(client: Api, n: int) -> list[tuple[int, int, dict[str, str]]]:
        answers = []
        for i in range(3):
            order = Random(100 * n + i).sample(awards, len(awards))  # repeatable on purpose
            answer = client.batch(order, headers={"Idempotency-Key": f"batch-{n}-{i}"} if n % 2 else {})
            ids = {result["participant_id"]: result["transaction_id"] for result in answer.json.get("results", [])}
            answers.append((answer.status, answer.json.get("failed"), ids))
        return answers

    clients = crowd(8)
    answers = [answer for each in at_once([partial(work, c, n) for n, c in enumerate(clients)]) for answer in each]

    assert {(status, failed) for status, failed, _ in answers} == {(200, 0)}
    assert all(ids == answers[0][2] for _, _, ids in answers)
    assert {clients[0].balance(who) for who in PEOPLE} == {7}


def test_batches_between_single_awards_and_deducts_all_succeed(crowd, at_once):
    def batches(client: Api, n: int) -> list[int]:
        random = Random(n)  # repeatable on purpose
        shuffled = [random.sample(PEOPLE, len(PEOPLE)) for _ in range(4)]
        return [client.batch([{"participant_id": who, "amount": 2} for who in people]).status for people in shuffled]

    def singles(client: Api, n: int) -> list[int]:
        people = Random(n).choices(PEOPLE, k=30)  # repeatable on purpose
        return [post(who, 1, idempotency_key=f"{n}-{i}").status for i, who in enumerate(people) for post in (moves(client, i),)]

    def moves(client: Api, i: int):
        return client.award if i % 2 else client.deduct

    clients = crowd(8)
    clients[0].batch([{"participant_id": who, "amount": 100} for who in PEOPLE])
    calls = [partial(batches if n < 4 else singles, client, n) for n, client in enumerate(clients)]

    assert {status for statuses in at_once(calls) for status in statuses} == {200}


def test_a_batch_key_raced_by_8_clients_gives_8_identical_answers(crowd, at_once):
    awards = [{"participant_id": who, "amount": 600} for who in PEOPLE[:20]] + [{"participant_id": "x", "amount": 0}, "nothing"]

    clients = crowd(8)
    for n in range(3):
        answers = at_once([partial(client.batch, awards, headers={"Idempotency-Key": f"b{n}"}) for client in clients])

        assert {answer.status for answer in answers} == {200}
        assert len({answer.body for answer in answers}) == 1
        assert sum("Idempotent-Replayed" not in answer.headers for answer in answers) == 1
        assert (answers[0].json["processed"], answers[0].json["failed"]) == (20, 2)
    assert clients[0].balance(PEOPLE[0]) == 1800


def test_different_batches_under_one_key_at_once_store_one_of_them(crowd, at_once):
    clients = crowd(8)

    answers = at_once(
        [
            partial(client.batch, [{"participant_id": f"p{n}", "amount": 5}] * 10, headers={"Idempotency-Key": "b"})
            for n, client in enumerate(clients)
        ]
    )

    assert sorted(answer.status for answer in answers) == [200] + [422] * 7
    assert {answer.code for answer in answers if answer.status == 422} == {"idempotency_mismatch"}
    assert sum(clients[0].points(f"p{n}").status == 200 for n in range(8)) == 1


def test_a_key_raced_by_an_item_and_a_whole_batch_has_one_answer(crowd, at_once):
    one, other = crowd(2)
    for n in range(10):
        key = f"k{n}"
        item, whole = at_once(
            [
                partial(one.batch, [{"participant_id": f"i{n}", "amount": 5, "idempotency_key": key}]),
                partial(other.batch, [{"participant_id": f"w{n}", "amount": 5}], headers={"Idempotency-Key": key}),
            ]
        )

        stored = [one.points(f"{who}{n}").status == 200 for who in "iw"]
        assert sorted(stored) == [False, True]
        assert (item.json["processed"], whole.status) == ((1, 422) if stored[0] else (0, 200))
