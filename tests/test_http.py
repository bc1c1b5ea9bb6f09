"""What every request and every answer keeps to, whichever door it takes."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask, request, session
from flask.testing import FlaskClient
from gamify.app import create_app
from gamify.config import Settings

from tests.harness import BASE, Api, TenantUnderTest

POINTS = f"{BASE}/participants/p/points"
PAGES = ("/docs", "/", "/nothing", "/static/docs.js", "/dashboard/nothing")
HTTPS = "https://localhost"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self';"
    " form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
STRANGE_HOSTS = (
    *("evil.example", "localhost.evil.example", "evil.example:80", "localhost@evil.example", "127.0.0.1,evil.example"),
    *("10.0.0.1", "localhost:80:80", "localhost/", "", " ", "*", "[::2]", "::1", "localhost:port", "localhöst"),
)
Make = Callable[..., FlaskClient]


@pytest.fixture
def client_of(settings: Settings) -> Iterator[Make]:
    """Makes clients of apps with settings of their own, and with pages that only tests have."""
    made: list[Flask] = []

    def make(**changes: Any) -> FlaskClient:
        app = create_app(dataclasses.replace(settings, **changes))
        made.append(app)
        for path in ("/remember", f"{BASE}/remember"):
            app.add_url_rule(path, path, remember, methods=["GET", "POST"])
        app.add_url_rule("/whence", "whence", lambda: {"from": request.remote_addr, "by": request.scheme, "to": request.host})
        return app.test_client()

    yield make
    for app in made:
        app.extensions["gamify"].close()


def remember() -> dict[str, Any]:
    """Answer with what the session held, and put something in."""
    before = dict(session)
    if not request.path.startswith("/api/"):
        session["seen"] = True
    return before


def header(client: FlaskClient, path: str, name: str, **kwargs: Any) -> str | None:
    with client.get(path, **kwargs) as answer:
        return answer.headers.get(name)


@pytest.mark.parametrize("path", PAGES)
def test_whatever_is_outside_the_api_runs_under_the_strict_policy(app: Flask, path: str):
    with app.test_client().get(path) as answer:
        headers = answer.headers

    assert headers.getlist("Content-Security-Policy") == [POLICY]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cross-Origin-Opener-Policy"] == headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["X-Frame-Options"] == "DENY"
    assert {"camera=()", "geolocation=()", "microphone=()", "payment=()"} <= set(headers["Permissions-Policy"].split(", "))


@pytest.mark.parametrize("path", ["/docs", "/dashboard/nothing", POINTS, f"{BASE}/nothing", "/api/v1/openapi.json", "/healthz"])
def test_no_cache_keeps_an_answer(api: Api, path: str):
    answer = api.request("GET", path)

    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_static_files_may_be_kept_and_asked_for_again(app: Flask):
    assert header(app.test_client(), "/static/docs.js", "Cache-Control") == "no-cache"


@pytest.mark.parametrize("path", ["/docs", POINTS])
def test_browsers_are_bound_to_https_where_there_is_https(app: Flask, path: str):
    client = app.test_client()

    assert header(client, path, "Strict-Transport-Security") is None
    assert header(client, path, "Strict-Transport-Security", base_url=HTTPS) == "max-age=31536000"


@pytest.mark.parametrize(
    "host", ["localhost", "LocalHost:8000", "localhost.", "127.0.0.1", "127.0.0.1:9", "[::1]", "[::1]:8000", "localhost:"]
)
def test_loopback_names_are_served_on_any_port(app: Flask, host: str):
    for _ in range(2):
        assert app.test_client().get("/docs", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", STRANGE_HOSTS)
@pytest.mark.parametrize("path", ["/docs", f"{BASE}/points/award", "/api/v1/openapi.json", "/static/docs.js"])
def test_another_host_is_not_served_whoever_asks(api: Api, path: str, host: str):
    answer = api.request("GET", path, headers={"Host": host})

    assert (answer.status, answer.code) == (400, "host_not_served")
    assert "is not served here" in answer.json["detail"]
    assert "ALLOWED_HOSTS" in answer.json["detail"]


def test_a_refusal_names_the_host(api: Api):
    assert "'shop.example:81'" in api.request("GET", "/docs", headers={"Host": "shop.example:81"}).json["detail"]


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_is_told_under_any_name(api: Api, path: str):
    assert api.request("GET", path, headers={"Host": "10.1.2.3:8000"}).status == 200


def test_hosts_are_refused_by_the_server_too(tcp: Api):
    assert tcp.points("p").status == 404
    assert tcp.request("GET", POINTS, headers={"Host": "evil.example"}).code == "host_not_served"


def test_names_that_are_allowed_replace_the_loopback_names(client_of: Make):
    client = client_of(allowed_hosts=("points.example", "[2001:db8::1]"))

    for host, status in {"points.example": 200, "Points.Example:443": 200, "[2001:DB8::1]:80": 200, "localhost": 400}.items():
        assert client.get("/docs", headers={"Host": host}).status_code == status, host


def test_every_host_is_served_where_that_is_asked_for(client_of: Make):
    assert client_of(allowed_hosts=("*",)).get("/docs", headers={"Host": "whatever.example"}).status_code == 200


def test_many_names_are_not_remembered_for_ever(client_of: Make):
    client = client_of()

    assert {client.get("/healthz", headers={"Host": f"localhost:{port}"}).status_code for port in range(1, 1_100)} == {200}


FORWARDED = {"X-Forwarded-For": "203.0.113.7, 198.51.100.9", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "localhost:444"}


def test_nothing_forwarded_is_believed_unless_a_proxy_is_trusted(client_of: Make):
    answer = client_of().get("/whence", headers=FORWARDED)

    assert answer.json == {"from": "127.0.0.1", "by": "http", "to": "localhost"}
    assert "Strict-Transport-Security" not in answer.headers


@pytest.mark.parametrize(("hops", "address"), [(1, "198.51.100.9"), (2, "203.0.113.7")])
def test_as_many_hops_are_believed_as_are_trusted(client_of: Make, hops: int, address: str):
    more = FORWARDED | ({"X-Forwarded-Proto": "https, http", "X-Forwarded-Host": "localhost:444, inner"} if hops > 1 else {})

    answer = client_of(trusted_proxies=hops).get("/whence", headers=more)

    assert answer.json == {"from": address, "by": "https", "to": "localhost:444"}
    assert "Strict-Transport-Security" in answer.headers


def test_a_forwarded_host_is_checked_too(client_of: Make):
    answer = client_of(trusted_proxies=1).get("/whence", headers={"X-Forwarded-Host": "evil.example"})

    assert (answer.status_code, answer.json["code"]) == (400, "host_not_served")


def cookie(client: FlaskClient, **kwargs: Any) -> tuple[str, set[str]]:
    """The name and the attributes of the cookie that a page sets."""
    [sent] = client.get("/remember", **kwargs).headers.getlist("Set-Cookie")
    pair, *attributes = sent.split("; ")
    return pair.partition("=")[0], set(attributes)


def test_the_cookie_is_for_this_host_and_not_for_scripts(client_of: Make):
    assert cookie(client_of()) == ("session", {"HttpOnly", "SameSite=Lax", "Path=/"})


def test_under_https_and_in_production_the_cookie_is_secure_and_bound_to_the_host(client_of: Make):
    bound = ("__Host-session", {"Secure", "HttpOnly", "SameSite=Lax", "Path=/"})

    assert cookie(client_of(), base_url=HTTPS) == bound
    assert cookie(client_of(environment="production")) == bound


def test_a_page_finds_its_session_again_and_nobody_elses(client_of: Make):
    client = client_of()

    assert client.get("/remember").json == {}
    assert client.get("/remember").json == {"seen": True}
    client.set_cookie("session", "eyJzZWVuIjp0cnVlfQ.aSSSSg.AAAAAAAAAAAAAAAAAAAAAAAAAAA")
    assert client.get("/remember").json == {}


def test_the_api_neither_reads_nor_sets_a_cookie(client_of: Make, tenant: TenantUnderTest):
    client = client_of()
    client.get("/remember")
    sent = {"X-API-Key": tenant.key}

    with_cookie = client.get(POINTS)
    assert with_cookie.status_code == 401
    for answer in (with_cookie, client.get(POINTS, headers=sent), client.get("/api/v1/openapi.json")):
        assert "Set-Cookie" not in answer.headers
        assert "Cookie" not in answer.headers.get("Vary", "")
    assert client.get(f"{BASE}/remember", headers=sent).status_code == 403  # a view without a scope


ORIGIN = {"Origin": "https://evil.example"}


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_no_other_origin_is_let_in_by_the_api(api: Api, method: str):
    preflight = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-api-key"}
    for path in (POINTS, f"{BASE}/points/award", "/api/v1/openapi.json"):
        answer = api.request(method, path, headers=ORIGIN | preflight)

        assert not [name for name in answer.headers if str(name).lower().startswith("access-control-")]
        assert method != "OPTIONS" or answer.status == 405


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_change_that_another_site_sends_is_refused(app: Flask, method: str):
    answer = app.test_client().open("/nothing", method=method, headers={"Sec-Fetch-Site": "cross-site"})

    assert (answer.status_code, answer.json["code"]) == (403, "cross_site")


@pytest.mark.parametrize("site", ["same-origin", "none", None])
def test_what_comes_from_our_own_pages_is_not_refused_for_it(app: Flask, site: str | None):
    answer = app.test_client().post("/docs", headers={"Sec-Fetch-Site": site} if site else {})

    assert answer.status_code == 405


def test_a_link_from_another_site_works(app: Flask):
    assert app.test_client().get("/docs", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200


def test_programs_on_other_sites_may_use_the_api_with_a_key(api: Api):
    assert api.award("p", headers={"Sec-Fetch-Site": "cross-site"}).status == 200
