"""Publishing while awards go on, and two admins at once."""

from collections.abc import Callable
from functools import partial
from random import Random
from threading import Event
from typing import Any

from gamify.services import drafts, publishing, recalculations
from gamify.services.tiers import Policy

from tests.harness import BASE, Api, TenantUnderTest
from tests.ladders import ANA, MOVE_DOWN, content, save

LADDERS = (
    content(bronze=0, silver=500, gold=1500),
    content(member=100, silver=700, gold=701, legend=3000),
    content(only=250),
    content(bronze=0, gold=2000),
)
POLICIES = (MOVE_DOWN, Policy("now", "keep"), Policy("next_award", "move_down"), Policy("next_award", "keep"))


def publish(t: TenantUnderTest, n: int) -> None:
    revision = save(t, LADDERS[n % len(LADDERS)]).revision
    with t.here.database.transaction(t.id) as session:
        publishing.publish(session, t.id, revision=revision, policy=POLICIES[n % 3], reason=None, actor=ANA)
    while recalculations.advance(t.here.database, t.id, most=5):
        pass


def test_awards_while_ladders_are_published_are_right_before_during_and_after(crowd, at_once, tenant: TenantUnderTest):
    """Every answer and every entry: the fixture verifies all of them when this is over."""
    done = Event()

    def work(client: Api, n: int) -> set[int]:
        random, statuses = Random(n), set()  # repeatable on purpose
        while not done.is_set():
            who = f"p{random.randrange(30)}"
            answer = client.award(who, random.randint(1, 200))
            statuses |= {answer.status, client.deduct(who, 1).status}
            upgrade = answer.json["tier_upgrade"]
            assert upgrade is None or upgrade["level"] > (upgrade["previous_level"] or 0)
        return statuses

    def publish_all() -> set[int]:
        try:
            for n in range(16):
                publish(tenant, n)
        finally:
            done.set()
        return set()

    statuses = at_once([partial(work, client, n) for n, client in enumerate(crowd(6))] + [publish_all])

    assert set.union(*statuses) == {200}


def test_of_two_admins_at_once_one_saves_and_the_other_is_told(crowd, at_once, tenant: TenantUnderTest):
    clients: list[Api] = crowd(8)
    seen = clients[0].request("GET", f"{BASE}/tiers/draft").json["revision"]

    def put(client: Api, n: int) -> Any:
        body = {"revision": seen, "tiers": [{"code": f"tier{n}", "threshold": n}]}
        return client.request("PUT", f"{BASE}/tiers/draft", body=body)

    calls: list[Callable[[], Any]] = [partial(put, client, n) for n, client in enumerate(clients)]
    answers = at_once(calls)

    [saved] = [answer.json for answer in answers if answer.status == 200]
    others = [answer.json for answer in answers if answer.status == 409]
    assert len(others) == len(clients) - 1
    assert all(other["draft"] == saved for other in others)
    with tenant.here.database.transaction(tenant.id) as session:
        assert drafts.of(session, tenant.id).revision == saved["revision"]


def test_one_key_publishes_once_however_often_it_is_sent_at_once(crowd, at_once, tenant: TenantUnderTest):
    revision = save(tenant, LADDERS[2]).revision
    body = {"revision": revision, "idempotency_key": "spring"}
    calls = [partial(client.request, "POST", f"{BASE}/tiers/publish", body=body) for client in crowd(6)]
    answers = at_once(calls)

    assert {answer.status for answer in answers} == {200}
    assert {answer.body for answer in answers} == {answers[0].body}
    assert sum(answer.headers.get("Idempotent-Replayed") is None for answer in answers) == 1
    with tenant.here.database.transaction(tenant.id) as session:
        assert [each.ladder.version for each in publishing.versions(session, tenant.id, limit=5)] == [2, 1]
