"""Files that are made while they are sent: whole in any server, few at a time, and none that stops everybody else."""

import csv
import io
from datetime import UTC, datetime, timedelta
from time import monotonic, sleep

import pytest
from flask import Flask
from gamify.deployment import Deployment
from werkzeug.test import run_wsgi_app

from dashboard import files
from tests.harness import Api, TenantUnderTest, new_tenant
from tests.histories import Event, write
from tests.people import Browser, new_user

PATHS = ("ledger.csv", "participants.csv", "audit.csv")
BASE = datetime(2026, 1, 1, 12, tzinfo=UTC)
MANY = 2 * files.LINES_AT_ONCE + 7  # participants: more than are made before the answer begins


def of(here: Deployment, app: Flask, *, count: int = MANY) -> Browser:
    """The browser of an admin whose tenant has so many participants."""
    made, browser = new_tenant(here), Browser(app)
    write(here, made.id, [Event(BASE + timedelta(seconds=n), f"p{n}", 3) for n in range(count)])
    browser.sign_in(new_user(here, made.slug).email)
    return browser


def begun(app: Flask, browser: Browser, path: str, *, method: str = "GET"):
    """What a server holds while a reader takes its time: the status, and the rest of the answer."""
    cookie = browser.client.get_cookie("session")
    environ = {"HTTP_COOKIE": f"session={cookie.value}", "HTTP_HOST": "localhost"}
    request = app.test_request_context(f"/dashboard/{path}", method=method, environ_overrides=environ).request
    body, status, _ = run_wsgi_app(app.wsgi_app, request.environ)
    return int(status[:3]), body


@pytest.fixture
def somebody(here: Deployment, app: Flask) -> Browser:
    return of(here, app)


@pytest.mark.parametrize("path", PATHS[:2])
def test_a_file_is_whole_where_the_request_is_over_before_its_lines_are_made(app, somebody, path):
    status, body = begun(app, somebody, path)
    text = b"".join(body).decode()
    body.close()

    assert status == 200
    assert len(list(csv.reader(io.StringIO(text)))) == 1 + MANY
    assert "INCOMPLETE" not in text


def test_files_of_one_tenant_leave_room_for_others_and_all_of_them_for_everything_else(app, here, somebody, api: Api):
    another, third = of(here, app), of(here, app, count=1)
    held = [begun(app, each, "ledger.csv")[1] for each in (somebody, somebody, another, another)]
    try:
        for refused in (somebody, third):
            page = refused.get("/dashboard/ledger.csv")
            assert (page.status, page.headers["Retry-After"]) == (503, "1")
            assert "Other files are on their way" in page.text
        assert somebody.get("/dashboard/ledger").status == 200
        assert api.award("p").status == 200
    finally:
        for body in held:
            body.close()
    assert third.get("/dashboard/ledger.csv").status == 200


def test_one_tenant_does_not_take_the_last_place(app, here, somebody):
    held = [begun(app, somebody, "ledger.csv")[1] for _ in range(files.MOST_OF_ONE)]
    try:
        assert begun(app, somebody, "participants.csv")[0] == 503
        assert of(here, app, count=1).get("/dashboard/ledger.csv").status == 200
    finally:
        for body in held:
            body.close()


@pytest.mark.parametrize("path", PATHS)
def test_whoever_asks_for_the_header_alone_or_goes_away_holds_nothing(app, here, somebody, path):
    pool = here.database.engine.pool
    for method in ("HEAD", "GET") * 3:
        status, body = begun(app, somebody, path, method=method)
        body.close()
        assert status == 200  # the sixth as well
    until = monotonic() + 5  # others use the pool, too, but not for long
    while pool.checkedout() and monotonic() < until:
        sleep(0.01)
    assert pool.checkedout() == 0


def test_a_file_that_cannot_begin_holds_nothing(somebody):
    for _ in range(3):
        assert somebody.get("/dashboard/participants.csv?sort=x").status == 422

    assert somebody.get("/dashboard/participants.csv").status == 200


def test_a_transaction_whose_reader_sleeps_does_not_last(here: Deployment, tenant: TenantUnderTest):
    """It keeps the past of every table from being tidied away."""
    with here.database.snapshot(tenant.id) as session:
        limit = session.connection().exec_driver_sql("SHOW idle_in_transaction_session_timeout").scalar()

    assert limit == "2min"
