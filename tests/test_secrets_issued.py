"""The net that catches secrets in the suite's logs has no holes."""

import pytest
from gamify.services import api_keys

from tests import secrets_issued

KEY = api_keys.new_secret("live")


@pytest.fixture(autouse=True)
def apart(monkeypatch, tmp_path):
    """What this file plants is not held against the suite."""
    monkeypatch.setattr(secrets_issued, "secrets", set())
    monkeypatch.setattr(secrets_issued, "lines", [])
    monkeypatch.setattr(secrets_issued, "files", [tmp_path / "server.log"])
    (tmp_path / "server.log").write_text("nothing\n")


def test_a_secret_in_a_line_is_caught_and_not_repeated():
    secrets_issued.note("correct horse battery", None, "short")
    secrets_issued.lines.append("somebody typed correct horse battery, which is short")

    assert secrets_issued.leaks() == ["somebody typed <SECRET>, which is short"]


def test_a_secret_in_a_servers_log_is_caught(tmp_path):
    secrets_issued.note("correct horse battery")
    (tmp_path / "server.log").write_text("fine\ncorrect horse battery\n")

    assert secrets_issued.leaks() == ["<SECRET>"]


def test_requests_are_watched(app):
    with app.test_client().get("/docs", headers={"X-API-Key": KEY}):
        pass

    assert secrets_issued.secrets == {KEY}


def test_what_commands_print_is_noted():
    secrets_issued.note_printed(f'{KEY}\nPassword: abcdefghijklmnop\n{{"password": "ponmlkjihgfedcba"}}')
    secrets_issued.note_cookies(["gamify=abcdefgh.ijklmnop; Path=/", "x=; Path=/"])

    assert secrets_issued.secrets == {KEY, "abcdefghijklmnop", "ponmlkjihgfedcba", "abcdefgh.ijklmnop"}


def test_the_suites_logs_are_kept(app):
    app.logger.warning("something happened")

    assert any("something happened" in line for line in secrets_issued.lines)
