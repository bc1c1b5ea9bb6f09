"""Settings: every environment variable is read once, here, and all mistakes are reported together."""

import json
import os
import re
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from environs import EnvValidationError, FileAwareEnv

from gamify import mail_server
from gamify.mail_server import MailServer

DEVELOPMENT, PRODUCTION = "development", "production"
SHORTEST_SECRET = 32
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
POSTGRESQL = ("postgresql", "postgres")
ANY_HOST = "*"
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
HOST_NAME = re.compile(r"[a-z0-9_.-]+|\[[0-9a-f:.]+\]|\*")
MOST_PROXIES = 10
SCHEMES = {"database_url": POSTGRESQL, "database_owner_url": POSTGRESQL, "redis_url": ("redis", "rediss", "unix")}


class ConfigError(Exception):
    """The environment cannot be used; the message is one sentence with every problem in it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How this process runs. URLs that are None mean servers embedded under `data_dir`."""

    environment: str
    data_dir: Path
    secret_key: str
    api_key_pepper: str
    database_url: str | None
    database_owner_url: str | None
    redis_url: str | None
    pool_size: int
    log_level: str
    is_gathering: bool  # whether concurrent movements are written together
    allowed_hosts: tuple[str, ...]  # names this deployment answers to; `ANY_HOST` is all
    trusted_proxies: int  # how many in front of us are believed about who calls, and how
    is_summing: bool = True  # whether this process advances the rollups of what it writes
    mail_url: str | None = None  # None: links are shown to whoever may hand them on
    mail_from: str | None = None
    exports_dir: Path | None = None  # what all machines of the deployment share; None: under `data_dir`

    @property
    def exports_folder(self) -> Path:
        """Where files lie that are made in the background."""
        return self.exports_dir or self.data_dir / "exports"

    @property
    def is_production(self) -> bool:
        """Whether missing secrets and unsafe logins are errors."""
        return self.environment == PRODUCTION

    @property
    def owner_url(self) -> str | None:
        """The URL of the login that owns the tables and migrates them."""
        return self.database_owner_url or self.database_url

    @property
    def mail_server(self) -> MailServer | None:
        """Where mail goes, if anywhere."""
        return mail_server.parse(self.mail_url, self.mail_from) if self.mail_url else None


def load() -> Settings:
    """Read the environment.

    Raises `ConfigError` naming every unusable variable at once.
    """
    env = FileAwareEnv(eager=False, expand_vars=False)
    problems: list[str] = []

    def read(parse: Callable[[str, Any], Any], name: str, default: Any) -> Any:
        try:
            return parse(name, default)
        except ValueError as error:  # NAME_FILE names a file that cannot be read
            problems.append(f"{name}: {error}")
            return default

    environment = read(env.str, "GAMIFY_ENV", DEVELOPMENT).rstrip("\r\n")
    data_dir = Path(read(env.str, "GAMIFY_DATA_DIR", "").rstrip("\r\n") or ".data")
    exports_dir = read(env.str, "EXPORTS_DIR", "").rstrip("\r\n")
    settings = {
        "database_url": read(env.str, "DATABASE_URL", None),
        "database_owner_url": read(env.str, "DATABASE_OWNER_URL", None),
        "redis_url": read(env.str, "REDIS_URL", None),
        "pool_size": read(env.int, "GAMIFY_POOL_SIZE", 16),
        "log_level": read(env.str, "GAMIFY_LOG_LEVEL", "INFO"),
        "mail_url": read(env.str, "MAIL_URL", None),
        "mail_from": read(env.str, "MAIL_FROM", None),
        "is_gathering": read(env.bool, "GAMIFY_GATHERING", default=True),  # the library's form
        "is_summing": read(env.bool, "GAMIFY_ROLLUPS", default=True),
        "allowed_hosts": _names(read(env.str, "ALLOWED_HOSTS", "")),
        "trusted_proxies": read(env.int, "TRUSTED_PROXIES", 0),
    }
    given = {name: read(env.str, name, None) for name in ("SECRET_KEY", "API_KEY_PEPPER")}
    try:
        env.seal()
    except EnvValidationError as error:
        messages = cast("dict[str, list[str]]", error.error_messages)
        problems += [f"{name}: {' '.join(sentences)}" for name, sentences in messages.items()]
    if environment not in (DEVELOPMENT, PRODUCTION):
        problems.append(f"GAMIFY_ENV: must be {DEVELOPMENT} or {PRODUCTION}")
    problems += _unusable(settings)
    if environment == PRODUCTION:
        problems += _production_problems(given, settings)
    if problems:
        raise ConfigError("; ".join(problems))
    kept = given if all(given.values()) else _kept_secrets(data_dir.resolve(), given)
    return Settings(
        environment=environment,
        data_dir=data_dir.resolve(),
        exports_dir=Path(exports_dir).resolve() if exports_dir else None,
        secret_key=(kept["SECRET_KEY"] or "").rstrip("\r\n"),
        api_key_pepper=(kept["API_KEY_PEPPER"] or "").rstrip("\r\n"),
        **{name: _clean(value) for name, value in settings.items()},  # type: ignore[arg-type]  # read with its own type above
    )


def _names(listed: str | None) -> tuple[str, ...]:
    return tuple(name.strip().lower() for name in (listed or "").split(",") if name.strip()) or LOOPBACK


def _clean(value: object) -> object:
    """Values read from files end in a line feed; an empty variable is the same as none."""
    return (value.rstrip("\r\n") or None) if isinstance(value, str) else value


def _unusable(settings: Mapping[str, object]) -> list[str]:
    """What cannot be used anywhere. Addresses are not repeated: there may be passwords in them."""
    addresses = {name: str(_clean(settings[name]) or "") for name in SCHEMES}
    problems = [
        f"{name.upper()}: must begin with {' or '.join(f'{scheme}://' for scheme in SCHEMES[name])}"
        for name, url in addresses.items()
        if url and ("://" not in url or url.partition("://")[0].split("+")[0] not in SCHEMES[name])
    ]
    if str(_clean(settings["log_level"]) or "").upper() not in LOG_LEVELS:
        problems.append(f"GAMIFY_LOG_LEVEL: must be one of {', '.join(LOG_LEVELS)}")
    if isinstance(settings["pool_size"], int) and settings["pool_size"] < 1:
        problems.append("GAMIFY_POOL_SIZE: must be 1 or more")
    if not all(HOST_NAME.fullmatch(name) for name in cast("tuple[str, ...]", settings["allowed_hosts"])):
        problems.append("ALLOWED_HOSTS: must be names such as localhost, 10.0.0.5, [::1] or *, without ports, between commas")
    if isinstance(settings["trusted_proxies"], int) and not 0 <= settings["trusted_proxies"] <= MOST_PROXIES:
        problems.append(f"TRUSTED_PROXIES: must be from 0 to {MOST_PROXIES}")
    return problems + _unusable_mail(settings)


def _unusable_mail(settings: Mapping[str, object]) -> list[str]:
    url, sender = (_clean(settings[name]) for name in ("mail_url", "mail_from"))
    try:
        if url:
            mail_server.parse(str(url), str(sender or ""))
    except ValueError as error:
        return [f"MAIL_URL: {error}"]
    return []


def _production_problems(given: Mapping[str, str | None], settings: Mapping[str, object]) -> list[str]:
    missing = [f"{name}: is required in production" for name in ("DATABASE_URL", "REDIS_URL") if not settings[name.lower()]]
    weak = [
        f"{name}: must be a secret of at least {SHORTEST_SECRET} characters in production"
        for name, value in given.items()
        if len((value or "").strip()) < SHORTEST_SECRET
    ]
    return missing + weak


def _kept_secrets(data_dir: Path, given: dict[str, str | None]) -> dict[str, str | None]:
    """Outside production, secrets nobody set are made once and kept, readable by the owner only."""
    path = data_dir / "secrets.json"
    data_dir.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        made = {name: secrets.token_urlsafe(48) for name in given}
        draft = path.with_name(f"secrets.{secrets.token_hex(8)}.json")
        draft.touch(mode=0o600)
        draft.write_text(json.dumps(made))
        with suppress(FileExistsError):  # whoever links first decides; two processes may start at once
            os.link(draft, path)
        draft.unlink()
    kept = json.loads(path.read_text())
    return {name: value or kept[name] for name, value in given.items()}
