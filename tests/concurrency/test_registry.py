"""Registering, changing and erasing in the very moment of awards, over TCP, on two processes, with real commits."""

from collections.abc import Callable
from functools import partial
from typing import Any

from gamify.services import erasures, rollups

from tests.harness import BASE, Answer, Api, item, quote

PEOPLE = f"{BASE}/participants"


def insist(call: Callable[[], Answer]) -> Answer:
    """Try again as long as somebody else holds what is needed, as clients are told to."""
    while (answer := call()).status == 503:
        pass
    return answer


def register(api: Api, pid: str, **said: Any) -> Answer:
    return insist(lambda: api.request("POST", PEOPLE, body={"participant_id": pid, **said}))


def change(api: Api, pid: str, **patch: Any) -> Answer:
    return insist(lambda: api.request("PATCH", f"{PEOPLE}/{quote(pid)}", body=patch))


def erase(api: Api, pid: str) -> Answer:
    return insist(lambda: api.request("DELETE", f"{PEOPLE}/{quote(pid)}"))


def award(api: Api, pid: str, key: str) -> Answer:
    return insist(lambda: api.award(pid, 100, reason="of a person", idempotency_key=key))


def everybody(api: Api) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.request("GET", f"{PEOPLE}?limit=100").json["participants"]
    return found


def test_registering_and_first_awards_at_once_lose_and_double_nothing(crowd, at_once, tenant):
    clients = crowd(12)
    for n in range(8):
        pid = f"p{n}"
        calls = [partial(register, client, pid, display_name="Ann") for client in clients[:6]]
        calls += [partial(award, client, pid, f"{pid}-{k}") for k, client in enumerate(clients[6:])]

        answers = at_once(calls)

        assert {answer.status for answer in answers} == {200}
        upgrades = [answer.json["tier_upgrade"] for answer in answers[6:] if answer.json["tier_upgrade"]]
        assert [(each["previous_code"], each["code"]) for each in upgrades] == [("bronze", "silver")]
        rollups.catch_up(tenant.here.database, tenant.id, seconds=5)
    assert [(one["balance"], one["display_name"]) for one in everybody(clients[0])] == [(600, "Ann")] * 8
    assert {clients[0].history(f"p{n}").json["total"] for n in range(8)} == {6}


def test_batches_and_registrations_of_the_same_people_in_other_orders_go_through(crowd, at_once):
    clients = crowd(8)
    for n in range(5):
        ids = [f"{n}-{k}" for k in range(6)]
        batch = [item(pid, 5) for pid in ids]
        calls = [partial(insist, partial(client.batch, batch)) for client in clients[:3]]
        calls += [partial(register, client, pid) for client, pid in zip(clients[3:], reversed(ids), strict=False)]

        answers = at_once(calls)

        assert {answer.status for answer in answers} == {200}
        assert {answer.json["processed"] for answer in answers[:3]} == {6}
    assert {one["balance"] for one in everybody(clients[0])} == {15}


def test_erasing_at_once_with_awards_leaves_every_point_and_no_word(crowd, at_once, tenant, owner):
    clients = crowd(9)
    for n in range(8):
        pid = f"p{n}"
        clients[0].award(pid, 100, reason="of a person")
        calls = [partial(award, client, pid, f"{pid}-{k}") for k, client in enumerate(clients[1:])]
        calls.insert(4, partial(erase, clients[0], pid))

        answers = at_once(calls)

        assert {answer.status for answer in answers} == {200}
    assert erasures.catch_up(tenant.here.database, tenant.id, seconds=10)
    people = everybody(clients[0])
    assert sum(one["balance"] for one in people) == 8 * 900
    assert len([one for one in people if one["erased_at"]]) == 8
    left = (
        "SELECT count(*) FROM ledger_entries AS e JOIN participants AS p ON p.tenant_id = e.tenant_id AND p.id = e.participant_id"
        " WHERE e.tenant_id = %s AND p.erased_at IS NOT NULL AND e.reason IS NOT NULL"
    )
    assert owner.execute(left, [tenant.id]).fetchone() == (0,)


def test_what_is_said_of_somebody_in_the_moment_of_their_erasure_goes_or_is_of_somebody_new(crowd, at_once):
    clients = crowd(6)
    for n in range(8):
        pid = f"p{n}"
        register(clients[0], pid, display_name="before")
        calls = [partial(register, client, pid, display_name="after") for client in clients[1:4]]
        calls += [partial(change, clients[4], pid, attributes={"a": 1}), partial(erase, clients[0], pid)]

        answers = at_once(calls)

        assert {answer.status for answer in answers[:3]} == {200}
        assert answers[3].status in (200, 404)
        assert answers[4].status == 200
    for one in everybody(clients[0]):
        if one["erased_at"]:
            assert (one["display_name"], one["attributes"], one["updated_at"]) == (None, {}, None)
        else:
            assert one["display_name"] == "after"


def test_two_who_erase_the_same_person_erase_once(crowd, at_once):
    clients = crowd(6)
    clients[0].award("ann", 5)

    answers = at_once([partial(erase, client, "ann") for client in clients])

    assert sorted(answer.status for answer in answers) == [200] + [404] * 5


def test_patches_at_once_are_all_merged(crowd, at_once):
    clients = crowd(8)
    clients[0].award("ann", 5)

    answers = at_once([partial(change, client, "ann", attributes={f"m{n}": n}) for n, client in enumerate(clients)])

    assert {answer.status for answer in answers} == {200}
    assert everybody(clients[0])[0]["attributes"] == {f"m{n}": n for n in range(8)}


def test_who_is_registered_while_tiers_are_replaced_stands_where_they_say(crowd, at_once, tenant):
    clients = crowd(6)
    for n in range(5):
        names = [f"t{n}-{k}" for k in range(2)]
        calls: list[Callable[[], Any]] = [partial(register, client, f"p{n}-{k}") for k, client in enumerate(clients)]
        calls.insert(3, partial(tenant.put_tiers, **{names[0]: 0, names[1]: 10}))

        at_once(calls)

        assert {one["tier"]["code"] for one in everybody(clients[0])} == {names[0]}
        assert tenant.differences() == []
