"""Settings from the environment."""

import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest
from gamify.config import ConfigError, load

SECRET = "a secret that nobody will ever guess"
PRODUCTION = {
    "GAMIFY_ENV": "production",
    "SECRET_KEY": SECRET,
    "API_KEY_PEPPER": SECRET,
    "DATABASE_URL": "postgresql://gamify:pw@db/gamify",
    "REDIS_URL": "redis://cache/0",
}


SETTINGS = ("GAMIFY_", "DATABASE_", "REDIS_", "SECRET_KEY", "API_KEY_PEPPER", "ALLOWED_HOSTS", "TRUSTED_PROXIES", "MAIL_")


@pytest.fixture
def environ(monkeypatch, tmp_path):
    """Sets the environment to just this."""
    for name in list(os.environ):
        if name.startswith(SETTINGS):
            monkeypatch.delenv(name)
    monkeypatch.setenv("GAMIFY_DATA_DIR", str(tmp_path / "data"))

    def set_all(**values):
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    return set_all


def test_nothing_set_is_enough_for_development(environ):
    settings = load()

    assert not settings.is_production
    assert (settings.database_url, settings.redis_url, settings.owner_url) == (None, None, None)
    assert min(len(settings.secret_key), len(settings.api_key_pepper)) >= 32
    assert settings.secret_key != settings.api_key_pepper


def test_secrets_are_made_once_and_readable_by_their_owner_only(environ, tmp_path):
    made = load()
    file = tmp_path / "data" / "secrets.json"

    assert load() == made
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert set(json.loads(file.read_text()).values()) == {made.secret_key, made.api_key_pepper}
    assert list(file.parent.iterdir()) == [file]


def test_secrets_made_at_once_are_the_same(environ):
    with ThreadPoolExecutor(8) as pool:
        loaded = list(pool.map(lambda _: load(), range(8)))

    assert len({each.api_key_pepper for each in loaded}) == 1


def test_a_secret_that_is_set_wins(environ):
    environ(API_KEY_PEPPER=SECRET)

    assert load().api_key_pepper == SECRET
    assert load().secret_key != SECRET


def test_every_problem_is_told_at_once_without_repeating_passwords(environ):
    environ(
        GAMIFY_ENV="production",
        SECRET_KEY="short",
        DATABASE_URL="mysql://me:hunter2@db/x",
        GAMIFY_POOL_SIZE="many",
        GAMIFY_LOG_LEVEL="LOUD",
    )

    with pytest.raises(ConfigError) as refused:
        load()

    for name in ("SECRET_KEY", "API_KEY_PEPPER", "DATABASE_URL", "REDIS_URL", "GAMIFY_POOL_SIZE", "GAMIFY_LOG_LEVEL"):
        assert f"{name}: " in str(refused.value)
    assert "hunter2" not in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"SECRET_KEY": ""}, "SECRET_KEY"),
        ({"API_KEY_PEPPER": "x" * 31}, "API_KEY_PEPPER"),
        ({"API_KEY_PEPPER": " " * 40}, "API_KEY_PEPPER"),
        ({"DATABASE_URL": ""}, "DATABASE_URL"),
        ({"REDIS_URL": ""}, "REDIS_URL"),
    ],
)
def test_production_refuses_missing_and_short_values(environ, tmp_path, change, name):
    environ(**PRODUCTION | change)

    with pytest.raises(ConfigError, match=f"^{name}: "):
        load()
    assert not (tmp_path / "data").exists()


def test_production_with_everything_makes_no_secrets(environ, tmp_path):
    environ(**PRODUCTION)

    assert load().is_production
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"GAMIFY_ENV": "staging"},
        {"GAMIFY_POOL_SIZE": "0"},
        {"GAMIFY_POOL_SIZE": "ten"},
        {"GAMIFY_LOG_LEVEL": "chatty"},
        {"DATABASE_URL": "db.example"},
        {"DATABASE_OWNER_URL": "sqlite:///x"},
        {"REDIS_URL": "localhost:6379"},
        {"ALLOWED_HOSTS": "https://points.example"},
        {"ALLOWED_HOSTS": "points.example,points.example:443"},
        {"ALLOWED_HOSTS": "::1"},
        {"TRUSTED_PROXIES": "-1"},
        {"TRUSTED_PROXIES": "11"},
        {"TRUSTED_PROXIES": "10.0.0.1"},
    ],
)
def test_unusable_values_are_refused_by_name(environ, change):
    environ(**change)

    with pytest.raises(ConfigError, match=f"^{next(iter(change))}: "):
        load()


@pytest.mark.parametrize("name", ["SECRET_KEY", "API_KEY_PEPPER", "DATABASE_URL", "REDIS_URL"])
def test_every_secret_can_come_from_a_file(environ, monkeypatch, tmp_path, name):
    environ(**PRODUCTION)
    monkeypatch.delenv(name)
    (tmp_path / "value").write_text(PRODUCTION[name] + "\n")
    environ(**{f"{name}_FILE": str(tmp_path / "value")})

    assert getattr(load(), name.lower()) == PRODUCTION[name]


def test_a_file_that_is_missing_is_told(environ, monkeypatch, tmp_path):
    environ(**PRODUCTION | {"SECRET_KEY_FILE": str(tmp_path / "nothing")})
    monkeypatch.delenv("SECRET_KEY")

    with pytest.raises(ConfigError, match="SECRET_KEY"):
        load()


def test_an_empty_variable_is_the_same_as_none(environ, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    environ(DATABASE_URL="", DATABASE_OWNER_URL="", REDIS_URL="", SECRET_KEY="", GAMIFY_DATA_DIR="")

    settings = load()

    assert (settings.database_url, settings.redis_url, settings.owner_url) == (None, None, None)
    assert len(settings.secret_key) >= 32
    assert settings.data_dir == tmp_path / ".data"


def test_the_owners_login_is_the_apps_unless_another_is_named(environ):
    environ(**PRODUCTION)
    assert load().owner_url == PRODUCTION["DATABASE_URL"]

    environ(DATABASE_OWNER_URL="postgresql://owner@db/gamify")
    assert load().owner_url == "postgresql://owner@db/gamify"


@pytest.mark.parametrize(
    ("listed", "names"),
    [
        (None, ("localhost", "127.0.0.1", "[::1]")),
        (" , ", ("localhost", "127.0.0.1", "[::1]")),
        ("Points.Example, [2001:DB8::1],\n", ("points.example", "[2001:db8::1]")),
        ("*", ("*",)),
    ],
)
def test_hosts_are_listed_between_commas(environ, listed, names):
    environ(**{"ALLOWED_HOSTS": listed} if listed else {})

    assert load().allowed_hosts == names


def test_no_proxy_is_trusted_unless_that_is_said(environ):
    assert load().trusted_proxies == 0

    environ(TRUSTED_PROXIES="2")
    assert load().trusted_proxies == 2


def test_mail_goes_where_its_address_says(environ):
    environ(MAIL_URL="smtps://me:hunter2@mail.example", MAIL_FROM="gamify@mail.example")

    assert load().mail_server.sender == "gamify@mail.example"


def test_without_an_address_no_mail_is_sent(environ):
    environ(MAIL_URL="")

    assert load().mail_server is None


def test_an_unusable_address_for_mail_is_told_with_the_others(environ):
    environ(MAIL_URL="smtp://me:hunter2@mail.example", GAMIFY_POOL_SIZE="0")

    with pytest.raises(ConfigError, match=r"GAMIFY_POOL_SIZE.*MAIL_URL: needs") as refused:
        load()
    assert "hunter2" not in str(refused.value)
