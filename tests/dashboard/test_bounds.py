"""What an address may ask for has bounds, so that nobody's request keeps a server busy or fills its memory."""

import pytest
from flask import Flask, g
from gamify.db import hurry
from gamify.deployment import Deployment
from gamify.errors import Unavailable
from gamify.services import tenants
from sqlalchemy import text

from dashboard import assets, tenancy
from dashboard.ledger_query import MOST_MEMBERS
from tests.harness import TenantUnderTest
from tests.people import PASSWORD, Browser, new_user


@pytest.fixture
def somebody(app: Flask, here: Deployment, tenant: TenantUnderTest) -> Browser:
    browser = Browser(app)
    browser.sign_in(new_user(here, tenant.slug).email)
    return browser


@pytest.mark.parametrize("path", ["./app.js", "vendor/../app.js", "vendor/%2e%2e/app.js", "./" * 50 + "app.js", "a" * 300, "%00"])
def test_a_file_has_one_name_and_is_kept_once(app: Flask, path: str):
    client = app.test_client()
    assert client.get("/static/app.js").status_code == 200
    kept = assets.load.cache_info().currsize

    assert client.get("/static/" + path).status_code == 404
    assert assets.load.cache_info().currsize == kept


@pytest.mark.parametrize("path", ["ledger", "ledger.csv"])
def test_members_of_the_metadata_are_asked_for_by_the_handful(somebody: Browser, path: str):
    members = {f"metadata.m{n}": "x" for n in range(1_000)}
    page = somebody.get(f"/dashboard/{path}", query_string=members)

    assert page.status == 422
    assert f"At most {MOST_MEMBERS} members" in page.text
    assert len(page.text) < 100_000
    few = dict(list(members.items())[:MOST_MEMBERS])
    assert somebody.get(f"/dashboard/{path}", query_string=few).status == 200


def test_a_name_of_the_metadata_has_a_bound_like_its_value(somebody: Browser):
    assert somebody.get("/dashboard/ledger", query_string={"metadata." + "n" * 600: "x"}).status == 422


@pytest.mark.parametrize("action", ["roll", "revoke"])
def test_what_no_key_begins_with_is_not_found(somebody: Browser, action: str):
    assert somebody.get(f"/dashboard/keys/%00/{action}").status == 404
    assert somebody.post(f"/dashboard/keys/%00/{action}", {"overlap": "1h"}).status == 404


def test_htmx_is_led_on_to_any_page_of_ours(somebody: Browser):
    sent = {"password": PASSWORD, "next": "/dashboard/participants/日本"}
    page = somebody.post("/dashboard/confirm", sent, headers={"HX-Request": "true"})

    assert (page.status, page.headers["HX-Redirect"]) == (200, "/dashboard/participants/%E6%97%A5%E6%9C%AC")


def test_a_statement_of_a_page_has_seconds_where_others_have_half_a_minute(app: Flask, tenant: TenantUnderTest):
    with tenant.here.database.transaction(tenant.id) as session:
        own = tenants.get(session, tenant.slug)
        assert session.scalar(text("SHOW statement_timeout")) == "30s"
    with app.test_request_context("/dashboard/ledger"):
        g.tenant = own
        with tenancy.reading() as session:
            assert session.scalar(text("SHOW statement_timeout")) == "5s"


def test_what_takes_longer_than_it_has_is_given_up_as_unavailable(here: Deployment, tenant: TenantUnderTest):
    def sleep() -> None:
        with here.database.snapshot(tenant.id) as session:
            hurry(session, seconds=0.05)
            session.execute(text("SELECT pg_sleep(10)"))

    with pytest.raises(Unavailable):
        sleep()
