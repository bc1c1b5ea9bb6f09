"""Logs tell what happened and never a secret."""

import io
import json
import logging
from collections.abc import Iterator
from dataclasses import replace

import pytest
from gamify import logs
from gamify.services import api_keys
from itsdangerous import URLSafeTimedSerializer

KEY = api_keys.new_secret("live")
SECRET = "hunter2hunter2hunter2"
log = logging.getLogger("tests.logs")
COOKIE = URLSafeTimedSerializer("secret").dumps({"_user_id": "0198f0c2-a1b2-7c3d-9e4f-5a6b7c8d9e0f"})


@pytest.fixture
def errors(settings, monkeypatch) -> Iterator[io.StringIO]:
    """What an app has written to stderr; its way of logging is undone afterwards."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    stderr = io.StringIO()
    with monkeypatch.context() as patched:
        patched.setattr("sys.stderr", stderr)
        logs.configure(settings)
        yield stderr
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.parametrize(
    "name",
    [
        *("password", "new_password", "Passwd", "secret_key", "csrf_token", "token", "cookie", "Set-Cookie", "Authorization"),
        *(
            "api_key",
            "X_API_KEY",
            "apikey",
            "api_key_pepper",
            "password_hash",
            "digest",
            "recovery_codes",
            "totp_secret",
            "database_url",
        ),
    ],
)
@pytest.mark.parametrize("value", [SECRET, SECRET.encode(), [SECRET], {"x": SECRET}])
def test_what_is_named_like_a_secret_is_not_shown(errors, name, value):
    log.warning("it happened", extra={name: value, "outer": {name: value}})

    assert SECRET not in errors.getvalue()
    assert "it happened" in errors.getvalue()


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://gamify:{}@db.internal/gamify is away",
        "smtp://:{}@mail.example",
        "password={}",
        "Password: {}",
        "'password': '{}'",
        '{{"password": "{}"}}',
        "GET /?token={}&x=1",
        "csrf_token={}",
        "Authorization: Bearer {}",
        "Authorization: Basic {}",
        "cookie: {}",
        "X-API-Key: {}",
        "SECRET={}",
    ],
)
def test_a_secret_in_running_text_is_cut(errors, text):
    log.warning("before %s after", text.format(SECRET))

    assert SECRET not in errors.getvalue()
    assert "before " in errors.getvalue()
    assert " after" in errors.getvalue()


@pytest.mark.parametrize("text", ["gamify={}; Path=/", "session {}", "{}"])
def test_a_signed_cookie_is_cut_wherever_it_stands(errors, text):
    log.warning(text.format(COOKIE))
    log.warning("one", extra={"seen": text.format(f".{COOKIE}")})

    assert COOKIE not in errors.getvalue()
    assert COOKIE.split(".")[2] not in errors.getvalue()


def test_of_a_key_its_first_16_characters_are_left(errors):
    log.warning("key %s, %s", KEY, {"held": [KEY]}, extra={"path": f"/participants/{KEY}/points"})

    assert KEY[:16] in errors.getvalue()
    assert KEY[16:24] not in errors.getvalue()


def test_an_error_is_named_without_its_text(errors):
    log.warning("failed", exc_info=ValueError(SECRET))

    assert SECRET not in errors.getvalue()
    assert "ValueError" in errors.getvalue()


def test_what_is_no_secret_is_left_as_it_is(errors):
    link = "http://localhost/dashboard/invitation/0vTq3bnOuJfK6dYh1mJYw2mYqL2cQk8b"
    said = {
        "route": "/api/v1/gamify/points/award",
        "request_id": "0198f0c2a1b27c3d",
        "api_key_id": 7,
        "tokens": 3,
        "to": "a@b.example",
    }
    log.warning("no MAIL_URL; the link is %s", link, extra=said)

    assert link in errors.getvalue()
    for value in ("/api/v1/gamify/points/award", "0198f0c2a1b27c3d", "a@b.example"):
        assert value in errors.getvalue()


def test_production_writes_one_json_object_a_line(settings, monkeypatch, errors):
    monkeypatch.setattr("sys.stderr", errors)
    logs.configure(replace(settings, environment="production"))
    log.warning("first\nsecond", extra={"password": SECRET, "n": 1})

    found = json.loads(errors.getvalue())
    assert (found["event"], found["password"], found["n"], found["level"]) == ("first\nsecond", "…", 1, "warning")
