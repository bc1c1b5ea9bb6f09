"""The last requests of each key: in Redis while it is there, forgotten while it is not, and never in anybody's way."""

import json
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from gamify.app import create_app
from gamify.request_log import KEPT, KEPT_FOR, MOST, RequestLog

from tests.harness import BASE, Api, Valkey, free_port, names, new_tenant

AT = 1_770_000_000.0


@pytest.fixture
def log(settings):
    made = RequestLog(settings.redis_url, deliver_every=3600)
    yield made
    made._rhythm._ended.set()
    made.close()


@pytest.fixture
def key(tenant) -> tuple[int, int]:
    return tenant.id, 1


def note(log: RequestLog, key: tuple[int, int], number: int = 0, *, path: str = "/p") -> None:
    log.note(*key, AT + number, "GET", path, 200, 1.25, f"r-{number}")


def ids(log: RequestLog, key: tuple[int, int]) -> list[str]:
    tenant_id, key_id = key
    return [request.request_id for request in log.newest(tenant_id, [key_id])[key_id]]


def test_a_request_is_told_as_it_was(log, key):
    log.note(*key, AT + 0.25, "POST", "/api/v1/gamify/points/award", 422, 12.345, "r-1")
    log.deliver()

    [request] = log.newest(key[0], [key[1]])[key[1]]
    assert request.at == datetime.fromtimestamp(AT + 0.25, UTC)
    assert (request.method, request.path) == ("POST", "/api/v1/gamify/points/award")
    assert (request.status, request.duration_ms, request.request_id) == (422, 12.3, "r-1")


def test_only_the_newest_of_each_key_are_kept(log, key):
    other = (key[0], 2)
    note(log, other)
    for number in range(KEPT + 50):
        note(log, key, number)
        if number % 100 == 99:
            log.deliver()
    log.deliver()

    assert ids(log, key) == [f"r-{number}" for number in reversed(range(50, KEPT + 50))]
    assert ids(log, other) == ["r-0"]


def test_requests_of_several_processes_are_merged_by_time(settings, log, key):
    other = RequestLog(settings.redis_url, deliver_every=3600)
    for number in range(6):
        note(log if number % 2 else other, key, number)
    log.deliver()
    other.close()

    assert ids(log, key) == ["r-5", "r-4", "r-3", "r-2", "r-1", "r-0"]


def test_they_are_gone_after_a_week_without_requests(log, key):
    note(log, key)
    log.deliver()

    left = log._redis.ttl(f"{{{key[0]}}}:requests:{key[1]}")
    assert KEPT_FOR - timedelta(minutes=1) < timedelta(seconds=left) <= KEPT_FOR


def test_a_key_without_requests_has_none(log, tenant):
    assert log.newest(tenant.id, [7, 8]) == {7: [], 8: []}
    assert log.newest(tenant.id, []) == {}


def test_the_process_remembers_no_more_than_a_bound(log, key):
    for number in range(MOST + 10):
        note(log, key, number)

    assert len(log._noted) == MOST
    log.deliver()
    assert ids(log, key)[0] == f"r-{MOST + 9}"


@pytest.mark.parametrize("path", ["/participants/{}/points", "/{}", "/x{}x"])
def test_no_api_key_is_kept_even_if_somebody_puts_it_into_a_path(log, key, tenant, path):
    note(log, key, path=path.format(tenant.key))
    log.deliver()

    [line] = log._redis.zrange(f"{{{key[0]}}}:requests:{key[1]}", 0, -1)
    assert tenant.key.encode() not in line
    assert tenant.key[16:30].encode() not in line
    assert tenant.key[:16] in json.loads(line)[2]


def test_without_redis_requests_are_forgotten_and_nothing_is_told(key):
    log = RequestLog(f"redis://127.0.0.1:{free_port()}/0", deliver_every=3600)
    note(log, key)
    log.deliver()

    assert not log._noted
    assert log.newest(key[0], [key[1]]) is None
    log.close()


def test_redis_may_die_and_come_back(data_dir, key):
    valkey = Valkey(data_dir)
    valkey.start()
    log = RequestLog(valkey.url, deliver_every=3600)
    try:
        note(log, key, 1)
        log.deliver()
        assert ids(log, key) == ["r-1"]
        valkey.kill()
        note(log, key, 2)
        log.deliver()
        assert log.newest(key[0], [key[1]]) is None
        valkey.start()
        note(log, key, 3)
        log.deliver()
        assert ids(log, key) == ["r-3"]
    finally:
        log.close()
        valkey.kill()


@pytest.fixture
def quick(settings):
    """An app that delivers at once."""
    app = create_app(settings)
    app.extensions["gamify"].request_log._rhythm.every = 0.05
    yield app
    app.extensions["gamify"].close()


def key_id_of(owner, secret: str) -> int:
    return owner.execute("SELECT id FROM api_keys WHERE prefix = %s", [secret[:16]]).fetchone()[0]


def arrived(app, tenant_id: int, key_id: int, count: int):
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        found = app.extensions["gamify"].request_log.newest(tenant_id, [key_id])[key_id]
        if len(found) >= count:
            return found
        time.sleep(0.02)
    raise AssertionError("they did not arrive")


def test_every_answer_under_a_valid_key_arrives_by_itself(quick, tenant, owner):
    limited = tenant.issue("points:read", rate_limit=2)
    api = Api(quick.test_client(), limited)
    given = [api.points("p"), api.award("p", 1), api.points("p")]
    assert [each.status for each in given] == [404, 403, 429]

    found = arrived(quick, tenant.id, key_id_of(owner, limited), 3)

    assert [each.status for each in found] == [429, 403, 404]
    assert [each.request_id for each in found] == [each.headers["X-Request-ID"] for each in reversed(given)]
    assert [(each.method, each.path) for each in found][1:] == [
        ("POST", "/api/v1/gamify/points/award"),
        ("GET", "/api/v1/gamify/participants/{participant_id}/points"),
    ]
    assert all(0 < each.duration_ms < 10_000 for each in found)


def test_queries_are_not_kept(quick, tenant, owner):
    Api(quick.test_client(), tenant.key).history("p", page=1, secret="of-somebody")

    [request] = arrived(quick, tenant.id, key_id_of(owner, tenant.key), 1)
    assert "of-somebody" not in str(request)
    assert "?" not in request.path


PEOPLE = f"{BASE}/participants"


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        ("GET ann%40mail", ""),
        ("DELETE ann%40mail", ""),
        ("PUT ann%40mail", ""),
        ("GET ann%40mail/points", "/points"),
        ("DELETE ann%40mail/points", "/points"),
        ("GET ann%40mail%0A/points/transactions", "/points/transactions"),
        ("GET ann%40mail/points/none", ""),
        ("GET %2Fann%40mail", ""),
    ],
)
def test_nobodys_id_is_kept_for_it_could_not_be_erased(quick, tenant, owner, asked, kept):
    method, address = asked.split()
    Api(quick.test_client(), tenant.key).request(method, f"{PEOPLE}/{address}")

    [request] = arrived(quick, tenant.id, key_id_of(owner, tenant.key), 1)
    assert request.path == f"{PEOPLE}/{{participant_id}}{kept}"


def test_live_sandbox_and_other_tenants_are_apart(quick, tenant, owner):
    other = new_tenant(tenant.here)
    for number, secret in enumerate((tenant.key, tenant.test_key, other.key)):
        Api(quick.test_client(), secret).request("GET", f"{BASE}/try/{number}")

    own, test = key_id_of(owner, tenant.key), key_id_of(owner, tenant.test_key)
    assert [each.path[-5:] for each in arrived(quick, tenant.id, own, 1)] == ["try/0"]
    assert [each.path[-5:] for each in arrived(quick, tenant.sandbox_id, test, 1)] == ["try/1"]
    log = quick.extensions["gamify"].request_log
    assert log.newest(tenant.id, [key_id_of(owner, other.key), test]) == {key_id_of(owner, other.key): [], test: []}


def test_the_api_answers_while_the_log_has_no_redis(settings, tenant):
    app = create_app(replace(settings, redis_url=f"redis://127.0.0.1:{free_port()}/0"))
    here = app.extensions["gamify"]
    here.request_log._rhythm.every = 0.01
    try:
        for _ in range(20):
            assert Api(app.test_client(), tenant.key).award(next(names), 1).status == 200
    finally:
        here.counters.is_reachable = lambda: True  # lets the thread that waits for Redis go
        here.close()
