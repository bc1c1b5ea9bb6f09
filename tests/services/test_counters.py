"""Requests of the last minute, in Redis while it is there and without it while it is not."""

import itertools
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from gamify.app import create_app
from gamify.counters import Budget, Counters

from tests.harness import Api, Valkey, free_port

numbers = itertools.count(time.time_ns())
SLOWEST = 0.25 + 0.25  # seconds: what is promised, and what a busy machine may add
BACK_WITHIN = 5.0


class Subject:
    """A tenant with one key, both never seen before."""

    def __init__(self, counters: Counters) -> None:
        self.counters, self.tenant, self.key = counters, next(numbers), next(numbers)

    def allow(self, key: int = 0, tenant: int = 0, *, generation: str | None = "0", key_id: int | None = None) -> Budget | None:
        return self.counters.allow(
            tenant_id=self.tenant, key_id=key_id or self.key, key_limit=key, tenant_limit=tenant, generation=generation
        )

    def age(self, seconds: float) -> None:
        """Make everything counted so far that much older."""
        client = self.counters._redis
        for name in client.keys(f"{{{self.tenant}}}:*"):
            if client.type(name) == b"list":
                times = [int(at) - int(seconds * 1e6) for at in client.lrange(name, 0, -1)]
                client.delete(name)
                client.rpush(name, *times)


@pytest.fixture
def make() -> Iterator[Callable[[str], Counters]]:
    made = []

    def counters(url: str) -> Counters:
        made.append(Counters(url))
        return made[-1]

    yield counters
    for each in made:
        each.is_reachable = lambda: True  # lets the thread that waits for Redis go
        each.close()


@pytest.fixture
def subject(settings, make) -> Subject:
    return Subject(make(settings.redis_url))


def test_requests_are_counted_down_and_then_refused(subject):
    budgets = [subject.allow(key=3, tenant=100) for _ in range(5)]

    assert [b.is_allowed for b in budgets] == [True, True, True, False, False]
    assert [b.remaining for b in budgets] == [2, 1, 0, 0, 0]
    assert {(b.subject, b.limit) for b in budgets} == {("API key", 3)}
    assert all(50 <= b.retry_after <= 60 for b in budgets[3:])
    assert all(abs(b.reset_at - time.time() - 60) < 5 for b in budgets)


def test_the_window_moves(subject):
    subject.allow(key=3, tenant=9)
    subject.age(50)
    subject.allow(key=3, tenant=9)
    subject.allow(key=3, tenant=9)

    refused = subject.allow(key=3, tenant=9)
    subject.age(10.5)
    allowed = [subject.allow(key=3, tenant=9).is_allowed for _ in range(2)]

    assert not refused.is_allowed
    assert refused.retry_after <= 10
    assert allowed == [True, False]  # the first has left, the two after it have not


def test_a_refused_request_counts_nowhere(subject):
    for _ in range(5):
        subject.allow(key=2, tenant=10)

    assert subject.allow(key=100, tenant=10, key_id=next(numbers)).remaining == 10 - 3


def test_whichever_has_fewer_left_is_shown(subject):
    assert subject.allow(key=50, tenant=4).subject == "tenant"
    assert subject.allow(key=2, tenant=40).subject == "API key"


def test_a_tenants_limit_spans_its_keys(subject):
    budgets = [subject.allow(key=50, tenant=3, key_id=next(numbers)) for _ in range(4)]

    assert [b.is_allowed for b in budgets] == [True, True, True, False]
    assert budgets[3].subject == "tenant"


def test_an_unlimited_key_is_not_counted_against_its_tenant(subject):
    budgets = [subject.allow(key=0, tenant=2) for _ in range(5)]

    assert all(b.is_allowed and b.limit == 0 for b in budgets)
    assert subject.allow(key=9, tenant=2).remaining == 1


def test_a_lowered_limit_refuses_until_enough_have_left(subject):
    for _ in range(4):
        subject.allow(key=10)
    subject.age(30)
    for _ in range(4):
        subject.allow(key=10)

    refused = subject.allow(key=3)
    assert not refused.is_allowed
    assert refused.remaining == 0
    assert 50 < refused.retry_after <= 60  # the four of just now must leave too, but for two
    subject.age(31)
    assert not subject.allow(key=3).is_allowed
    assert subject.allow(key=5).is_allowed


def test_a_changed_tenant_is_told_and_nothing_counted(subject):
    assert subject.counters.generation(subject.tenant) == "0"
    subject.counters.advance(subject.tenant)

    assert subject.allow(key=5, generation="0") is None
    now = subject.counters.generation(subject.tenant)
    assert now != "0"
    assert subject.allow(key=5, generation=now).remaining == 4


def test_exactly_the_limit_is_allowed_at_once(subject):
    with ThreadPoolExecutor(16) as pool:
        budgets = list(pool.map(lambda _: subject.allow(key=20, tenant=100), range(60)))

    assert sum(b.is_allowed for b in budgets) == 20


def took(call: Callable[[], object]) -> float:
    started = time.monotonic()
    call()
    return time.monotonic() - started


@pytest.fixture
def black_hole() -> Iterator[str]:
    """A Redis that takes connections and never says a word."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        yield f"redis://127.0.0.1:{listening.getsockname()[1]}/0"


@pytest.fixture
def closed_port() -> str:
    return f"redis://127.0.0.1:{free_port()}/0"


@pytest.mark.parametrize("absent", ["black_hole", "closed_port"])
def test_without_redis_each_process_counts_and_waits_once_at_most(make, absent, request):
    subject = Subject(make(request.getfixturevalue(absent)))

    first = took(lambda: subject.allow(key=3, tenant=9))
    rest = took(lambda: [subject.allow(key=3, tenant=9) for _ in range(2)])

    assert first < SLOWEST
    assert rest < 0.1
    assert not subject.allow(key=3, tenant=9).is_allowed
    assert subject.counters.fallback_count == 4
    assert subject.counters.generation(subject.tenant) is None


@pytest.mark.parametrize("absent", ["black_hole", "closed_port"])
def test_without_redis_requests_go_on_under_their_limit(settings, tenant, absent, request):
    app = create_app(replace(settings, redis_url=request.getfixturevalue(absent)))
    here = app.extensions["gamify"]
    try:
        api = Api(app.test_client(), tenant.issue(rate_limit=3))
        answers = [api.award("p", 1) for _ in range(4)]
    finally:
        here.counters.is_reachable = lambda: True
        here.close()

    assert [answer.status for answer in answers] == [200, 200, 200, 429]
    assert [answer.headers["X-RateLimit-Remaining"] for answer in answers] == ["2", "1", "0", "0"]


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Valkey]:
    made = Valkey(tmp_path)
    made.start()
    yield made
    made.kill()


def test_a_killed_redis_is_missed_once_and_comes_back_by_itself(make, valkey):
    subject = Subject(make(valkey.url))
    assert subject.allow(key=5, tenant=9).remaining == 4
    valkey.kill()

    assert took(lambda: subject.allow(key=5, tenant=9)) < SLOWEST
    assert subject.counters.fallback_count == 1
    valkey.start()
    deadline = time.monotonic() + BACK_WITHIN
    while subject.counters.generation(subject.tenant) is None and time.monotonic() < deadline:
        time.sleep(0.05)

    assert subject.counters.generation(subject.tenant) == "0"
    assert subject.allow(key=5, tenant=9).remaining == 4  # it has forgotten, which costs precision and nothing else
    assert subject.counters.fallback_count == 1


def test_a_flushed_redis_makes_no_old_generation_current(subject):
    counters = subject.counters
    counters.advance(subject.tenant)
    old = counters.generation(subject.tenant)
    counters._redis.delete(f"{{{subject.tenant}}}:generation")
    counters.advance(subject.tenant)

    assert counters.generation(subject.tenant) not in (old, "0", None)


def test_nobody_in_a_crowd_waits_longer_for_a_dead_redis_than_one_alone(make):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(64)  # takes connections, and never answers
        subject = Subject(make(f"redis://127.0.0.1:{silent.getsockname()[1]}"))

        def timed(_: int) -> float:
            began = time.monotonic()
            assert subject.allow(key=1000, tenant=1000).is_allowed
            return time.monotonic() - began

        with ThreadPoolExecutor(16) as pool:
            waits = sorted(pool.map(timed, range(200)))

    assert waits[-3] < SLOWEST  # a busy machine may leave a thread or two aside; one after the other they would wait seconds
    assert sum(wait > 0.1 for wait in waits) <= 32  # the first round, and those who were waiting behind it
