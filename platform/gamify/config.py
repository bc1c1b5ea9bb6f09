"""Settings: every environment variable is read once, here, and all mistakes are reported together."""

import json
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from environs import EnvValidationError, FileAwareEnv

DEVELOPMENT, PRODUCTION = "development", "production"
SHORTEST_SECRET = 32


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

    @property
    def is_production(self) -> bool:
        """Whether missing secrets and unsafe logins are errors."""
        return self.environment == PRODUCTION

    @property
    def owner_url(self) -> str | None:
        """The URL of the login that owns the tables and migrates them."""
        return self.database_owner_url or self.database_url

    def with_urls(self, *, database_url: str, redis_url: str) -> "Settings":
        """The same settings, with addresses for whatever was embedded."""
        return replace(self, database_url=database_url, redis_url=redis_url)


def load() -> Settings:
    """Read the environment.

    Raises `ConfigError` naming every unusable variable at once.
    """
    env = FileAwareEnv(eager=False, expand_vars=False)
    environment = env.str("GAMIFY_ENV", DEVELOPMENT)
    data_dir = env.path("GAMIFY_DATA_DIR", Path(".data"))
    settings = {
        "database_url": env.str("DATABASE_URL", None),
        "database_owner_url": env.str("DATABASE_OWNER_URL", None),
        "redis_url": env.str("REDIS_URL", None),
        "pool_size": env.int("GAMIFY_POOL_SIZE", 16),
        "log_level": env.str("GAMIFY_LOG_LEVEL", "INFO"),
    }
    given = {name: env.str(name, None) for name in ("SECRET_KEY", "API_KEY_PEPPER")}
    problems: list[str] = []
    try:
        env.seal()
    except EnvValidationError as error:
        messages = cast("dict[str, list[str]]", error.error_messages)
        problems += [f"{name}: {' '.join(sentences)}" for name, sentences in messages.items()]
    if environment not in (DEVELOPMENT, PRODUCTION):
        problems.append(f"GAMIFY_ENV: must be {DEVELOPMENT} or {PRODUCTION}")
    if environment == PRODUCTION:
        problems += _production_problems(given, settings)
    if problems:
        raise ConfigError("; ".join(problems))
    kept = given if all(given.values()) else _kept_secrets(data_dir.resolve(), given)
    return Settings(
        environment=environment,
        data_dir=data_dir.resolve(),
        secret_key=(kept["SECRET_KEY"] or "").rstrip("\r\n"),
        api_key_pepper=(kept["API_KEY_PEPPER"] or "").rstrip("\r\n"),
        **{name: _clean(value) for name, value in settings.items()},  # type: ignore[arg-type]  # read with its own type above
    )


def _clean(value: object) -> object:
    """Values read from files end in a line feed; an empty variable is the same as none."""
    return (value.rstrip("\r\n") or None) if isinstance(value, str) else value


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
        draft = path.with_name(f"secrets.{os.getpid()}.json")
        draft.touch(mode=0o600)
        draft.write_text(json.dumps(made))
        with suppress(FileExistsError):  # whoever links first decides; two processes may start at once
            os.link(draft, path)
        draft.unlink()
    kept = json.loads(path.read_text())
    return {name: value or kept[name] for name, value in given.items()}
