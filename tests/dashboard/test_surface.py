"""One rule over every page: what it sends, and what it does not take from other sites."""

import re
from collections.abc import Iterator

import pytest
from flask import Flask

from tests.harness import TenantUnderTest
from tests.people import Browser, new_user

DASHBOARD = "/dashboard/"
SAFE = {"GET", "HEAD", "OPTIONS"}
TOKENS = ("", "x", "IjEyMyI.aSSSSg.AAAAAAAAAAAAAAAAAAAAAAAAAAA")


def routes(app: Flask) -> Iterator[tuple[str, str]]:
    """Every method and path of the dashboard, with something in the place of variables."""
    for rule in app.url_map.iter_rules():
        if f"{rule.rule}/".startswith(DASHBOARD):
            path = re.sub(r"<uuid:[^>]+>", "0198f0c2-a1b2-7c3d-9e4f-5a6b7c8d9e0f", rule.rule)
            path = re.sub(r"<int[^>]*>", "1", path)
            for method in rule.methods or set():
                yield method, re.sub(r"<[^>]+>", "x", path)


def unsafe(app: Flask) -> list[tuple[str, str]]:
    found = sorted((method, path) for method, path in routes(app) if method not in SAFE)
    assert ("POST", "/dashboard/sign-in") in found
    return found


@pytest.fixture
def somebody(app: Flask, tenant: TenantUnderTest) -> Browser:
    """An admin who is signed in."""
    browser = Browser(app)
    browser.sign_in(new_user(tenant.here, tenant.slug).email)
    assert browser.get("/dashboard/account").status == 200
    return browser


@pytest.mark.parametrize("token", [None, *TOKENS])
def test_no_unsafe_route_acts_without_the_token_of_a_page_of_ours(app: Flask, somebody: Browser, token: str | None):
    for browser in (somebody, Browser(app)):
        for method, path in unsafe(app):
            data = {} if token is None else {"csrf_token": token}
            answer = browser.client.open(path, method=method, data=data, environ_base={"REMOTE_ADDR": browser.address})
            assert answer.status_code == 400, (method, path)
    assert somebody.get("/dashboard/account").status == 200  # nothing has signed them out


def test_a_token_of_somebody_else_is_no_token(app: Flask, somebody: Browser):
    other = Browser(app)
    other.get("/dashboard/sign-in")
    assert other.token

    for method, path in unsafe(app):
        assert somebody.client.open(path, method=method, data={"csrf_token": other.token}).status_code == 400, (method, path)


def test_no_unsafe_route_takes_a_request_from_another_site_even_with_the_token(app: Flask, somebody: Browser):
    for method, path in unsafe(app):
        sent = {"Sec-Fetch-Site": "cross-site"}
        answer = somebody.client.open(path, method=method, data={"csrf_token": somebody.token}, headers=sent)
        assert answer.status_code == 403, (method, path)
    assert somebody.get("/dashboard/account").status == 200


def test_every_page_runs_under_the_policy_and_is_kept_by_no_cache(app: Flask, somebody: Browser):
    for method, path in routes(app):
        if method == "GET":
            page = somebody.get(path)
            assert page.headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'; "), path
            assert page.headers["X-Frame-Options"] == "DENY", path
            assert page.headers["X-Content-Type-Options"] == "nosniff", path
            assert page.headers["Cache-Control"] == "no-store", path
            assert not re.search(r"<script(?![^>]*src=| type=\"application/json\")|<style|\son\w+=|\sstyle=", page.text), path


def test_no_key_opens_a_page_and_no_cookie_the_api(app: Flask, tenant: TenantUnderTest, somebody: Browser):
    with_key = {"X-API-Key": tenant.key}

    assert Browser(app).get("/dashboard/account", headers=with_key).status == 302
    assert somebody.get("/api/v1/gamify/participants/p/points").status == 401
    assert somebody.client.post("/api/v1/gamify/points/award", json={"participant_id": "p", "amount": 1}).status_code == 401
