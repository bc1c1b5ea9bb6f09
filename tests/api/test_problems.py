"""Problems: one shape for every refusal, a request id on every answer, and bodies that cannot be read."""

import json
import re
import socket
from typing import Any

import pytest

from tests.harness import BASE, Answer, Api, Server, TenantUnderTest

MIB = 1024 * 1024
AWARD, BATCH = f"{BASE}/points/award", f"{BASE}/points/award-batch"
GOOD = b'{"participant_id":"p","amount":1}'
BAD_REQUEST_IDS = ("", " ", "a b", "x" * 129, "a/b", "a\tb", "<script>", "\xff", "a,b", '"a"')


def assert_problem(answer: Answer, status: int, code: str) -> None:
    problem = answer.json
    assert answer.status == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["type"] == f"/docs#problem-{code}"
    assert problem["title"]
    assert problem["detail"].endswith((".", ")")) or code == "insufficient_points"
    assert problem["request_id"] == answer.headers["X-Request-ID"]
    assert ("errors" in problem) == (status == 422)


def padded(size: int, award: bytes = GOOD) -> bytes:
    return award + b" " * (size - len(award))


def test_each_refusal_is_a_problem(api: Api, tenant: TenantUnderTest):
    reader = api.with_key(tenant.issue("points:read"))
    limited = api.with_key(tenant.issue(rate_limit=1))
    limited.points("p")

    assert_problem(api.with_key(None).points("p"), 401, "unauthenticated")
    assert_problem(limited.points("p"), 429, "rate_limited")
    assert_problem(reader.award("p"), 403, "missing_scope")
    assert_problem(api.points("p"), 404, "not_found")
    assert_problem(api.request("GET", f"{BASE}/nothing"), 404, "not_found")
    assert_problem(api.request("GET", "/nothing"), 404, "not_found")
    assert_problem(api.request("GET", AWARD), 405, "method_not_allowed")
    assert_problem(api.request("POST", AWARD, body=b"x" * (MIB + 1)), 413, "body_too_large")
    assert_problem(api.request("POST", AWARD), 415, "unsupported_media_type")
    assert_problem(api.request("POST", AWARD, body=b"x"), 400, "malformed_json")
    assert_problem(api.deduct("p", 1), 400, "insufficient_points")
    assert_problem(api.award("p", 0), 422, "invalid_request")


def test_a_problem_has_one_title_wherever_it_comes_from(api: Api):
    titles = {api.request("GET", path).json["title"] for path in (f"{BASE}/participants/p/points", f"{BASE}/x", "/x")}

    assert titles == {"Not found"}


def test_scope_that_is_missing_is_named(api: Api, tenant: TenantUnderTest):
    assert "points:write" in api.with_key(tenant.issue("points:read")).award("p").json["detail"]
    assert "points:read" in api.with_key(tenant.issue("points:write")).points("p").json["detail"]


@pytest.mark.parametrize(
    "path", ["/healthz", "/readyz", "/docs", "/", "/api/v1/openapi.json", "/nothing", AWARD, "/static/icon.svg"]
)
def test_request_id_is_on_every_answer(api: Api, path: str):
    echoed = api.request("GET", path, headers={"X-Request-ID": "order-1_2.3:4"})
    first, second = api.request("GET", path), api.request("GET", path)

    assert echoed.headers["X-Request-ID"] == "order-1_2.3:4"
    assert first.headers["X-Request-ID"] != second.headers["X-Request-ID"]


@pytest.mark.parametrize("sent", ["a", "x" * 128, "AZaz09_-.:"])
def test_request_id_of_the_caller_is_echoed(api: Api, sent: str):
    answer = api.request("GET", f"{BASE}/participants/p/points", headers={"X-Request-ID": sent})

    assert answer.headers["X-Request-ID"] == answer.json["request_id"] == sent


@pytest.mark.parametrize("sent", BAD_REQUEST_IDS)
def test_unusable_request_id_is_replaced(api: Api, sent: str):
    answer = api.request("GET", f"{BASE}/participants/p/points", headers={"X-Request-ID": sent})

    assert answer.headers["X-Request-ID"] == answer.json["request_id"]
    assert re.fullmatch("[A-Za-z0-9_.:-]{1,128}", answer.headers["X-Request-ID"])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b"participant_id=p&amount=1",
        GOOD + b"x",
        GOOD + GOOD,
        b"\xef\xbb\xbf" + GOOD,
        GOOD.decode().encode("utf-16"),
        GOOD.decode().encode("utf-32-le"),
        b'{"participant_id":"\xe9","amount":1}',
        b'{"participant_id":"\xc0\x80","amount":1}',
        b'{"participant_id":"a\nb","amount":1}',
        b"{'participant_id':'p','amount':1}",
        b'{"participant_id":"p","amount":1,}',
        b'{"participant_id":"p","amount":1/**/}',
        b"[" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b"[" * 500_000 + b"]" * 500_000,
        b'{"participant_id":"p","amount":' + b"9" * 500_000 + b"}",
    ],
)
def test_what_is_not_json_is_a_malformed_body(api: Api, tenant: TenantUnderTest, body: bytes):
    for path in (AWARD, f"{BASE}/points/deduct", BATCH):
        assert_problem(api.request("POST", path, body=body), 400, "malformed_json")
    assert tenant.row_count() == 0


@pytest.mark.parametrize("body", [b"[]", b"null", b"1", b'"text"', b"true", b"[" + GOOD + b"]"])
def test_json_that_is_no_object_is_invalid(api: Api, body: bytes):
    for path in (AWARD, BATCH):
        answer = api.request("POST", path, body=body)
        assert_problem(answer, 422, "invalid_request")
        assert answer.fields == ["body"]


@pytest.mark.parametrize(
    ("content_type", "is_json"),
    [
        ("application/json", True),
        ("application/json; charset=utf-8", True),
        ("APPLICATION/JSON;charset=UTF-8", True),
        ("application/json; charset=utf-16", False),
        ("application/json; charset=latin-1", False),
        ("text/json", False),
        ("text/plain", False),
        ("application/x-www-form-urlencoded", False),
        ("multipart/form-data; boundary=x", False),
        ("application/vnd.api+json", False),
        ("", False),
    ],
)
def test_media_type_must_be_json(api: Api, content_type: str, *, is_json: bool):
    answer = api.request("POST", AWARD, body=GOOD, headers={"Content-Type": content_type})

    assert answer.status == (200 if is_json else 415)


@pytest.mark.parametrize("path", [AWARD, f"{BASE}/points/deduct"])
def test_body_may_have_a_mebibyte(tcp: Api, path: str):
    tcp.award("p", 1)

    assert tcp.request("POST", path, body=padded(MIB)).status == 200
    assert_problem(tcp.request("POST", path, body=padded(MIB + 1)), 413, "body_too_large")


def test_batch_may_have_four_mebibytes(tcp: Api):
    batch = b'{"awards":[' + GOOD + b"]}"

    assert tcp.request("POST", BATCH, body=padded(4 * MIB, batch)).status == 200
    assert_problem(tcp.request("POST", BATCH, body=padded(4 * MIB + 1, batch)), 413, "body_too_large")


@pytest.mark.parametrize("size", [2 * MIB, 8 * MIB])
@pytest.mark.parametrize("is_chunked", [False, True])
def test_answer_to_a_body_that_nobody_reads_arrives(tcp: Api, size: int, *, is_chunked: bool):
    body: Any = (b"x" * 65_536 for _ in range(size // 65_536)) if is_chunked else b"x" * size

    def send(key: str | None) -> int:
        headers = {"Content-Type": "application/json"} | ({"X-API-Key": key} if key else {})
        return tcp.client.request("POST", AWARD, headers=headers, content=body).status_code  # type: ignore[union-attr]

    assert send(tcp.key) == 413
    body = b"x" * size
    assert send(None) == 401


def test_chunked_body_is_read(tcp: Api):
    headers = {"Content-Type": "application/json", "X-API-Key": str(tcp.key)}
    answer = tcp.client.request("POST", AWARD, headers=headers, content=iter([GOOD[:9], GOOD[9:]]))  # type: ignore[union-attr]

    assert answer.json()["new_balance"] == 1


def test_head_is_get_without_a_body(tcp: Api):
    tcp.award("p")
    path = f"{BASE}/participants/p/points"

    get, head = tcp.request("GET", path), tcp.request("HEAD", path)

    assert (head.status, head.body) == (200, b"")
    assert head.headers["Content-Length"] == get.headers["Content-Length"]
    assert tcp.request("HEAD", f"{BASE}/participants/q/points").status == 404


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("OPTIONS", AWARD, "POST"),
        ("GET", AWARD, "POST"),
        ("PROPFIND", BATCH, "POST"),
        ("OPTIONS", f"{BASE}/participants/p/points", "GET, HEAD"),
        ("DELETE", f"{BASE}/participants/p/points/transactions", "GET, HEAD"),
    ],
)
def test_wrong_method_tells_the_right_ones(api: Api, method: str, path: str, allowed: str):
    answer = api.request(method, path)

    assert_problem(answer, 405, "method_not_allowed")
    assert answer.headers["Allow"] == allowed


def test_no_problem_shows_what_is_inside(api: Api):
    for answer in (api.award("p' OR 1=1 --", 0), api.points("'; DROP TABLE participants"), api.request("POST", AWARD, body=b"{")):
        shown = json.dumps(answer.json)
        assert not re.search(r"Traceback|SELECT|psycopg|sqlalchemy|\.py|gk_live_", shown)


@pytest.mark.parametrize("levels", [*range(300, 1020, 20), 100_000])
def test_deep_nesting_is_never_a_fault(api: Api, tenant: TenantUnderTest, levels: int):
    deep = b'{"participant_id":"p","amount":1,"metadata":{"a":' + b"[" * levels + b"]" * levels + b"}}"
    batch = b'{"awards":[' + deep + b"]}"

    assert api.request("POST", AWARD, body=deep).status in {400, 422}
    assert api.request("POST", BATCH, body=batch).status in {200, 400}
    assert api.request("POST", BATCH, body=batch, headers={"Idempotency-Key": "k"}).status in {200, 400}
    assert tenant.row_count() <= 1  # the batch's own key


def test_deep_nesting_is_never_a_fault_of_the_server(tcp: Api):
    assert [tcp.request("POST", AWARD, body=b"[" * levels).status for levels in (900, 1000, 100_000, MIB)] == [400] * 4


def test_body_that_breaks_off_is_not_acted_on(server: Server, tenant: TenantUnderTest):
    host, port = server.url.removeprefix("http://").split(":")
    head = f"POST {AWARD} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {tenant.key}\r\nContent-Type: application/json\r\n"
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(f"{head}Content-Length: {len(GOOD) + 1}\r\n\r\n".encode() + GOOD)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1)

    assert tenant.row_count() == 0
