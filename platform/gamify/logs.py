"""Logs: one line an event on stderr, JSON in production, and never a key, password, token or cookie in one."""

import logging
import os
import re
import sys
import traceback
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any

import structlog

from gamify.config import Settings

# A member with such a name is not shown, whatever it holds.
SECRET_NAME = re.compile(r"passw|secret|token|cookie|authorization|api_?key$|pepper|digest|recovery|totp|_url$", re.IGNORECASE)
KEY = re.compile(r"gk_(live|test)_[0-9A-Za-z]{8}[0-9A-Za-z]*")
# What may stand in running text: the password of an address, `name=value` and `name: value`, and what itsdangerous signs.
IN_TEXT = (
    (re.compile(r"(://[^/\s:@]*:)[^/\s@]+(?=@)"), r"\1…"),
    (
        re.compile(
            r"""((?:passw(?:or)?d|secret|token|cookie|authorization|api[-_]?key)["']?\s*[:=]\s*["']?(?:(?:bearer|basic)\s+)?)[^\s"',;&]+""",
            re.IGNORECASE,
        ),
        r"\1…",
    ),
    (re.compile(r"\.?[\w-]{8,}\.[\w-]{6}\.[\w-]{27}(?![\w-])"), "…"),
)


def configure(settings: Settings) -> None:
    """Send the standard library's logging through structlog."""
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        name_exception,
        redact,
    ]
    renderer: Any = structlog.processors.JSONRenderer() if settings.is_production else structlog.dev.ConsoleRenderer(colors=False)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer]
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())
    logging.getLogger("alembic").setLevel(logging.WARNING)


def name_exception(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """Tell of an exception its kind and where it came from, not its text or trace: those hold SQL and people's data."""
    given = event.pop("exc_info", None)
    error = given[1] if isinstance(given, tuple) else given
    if isinstance(error, BaseException):
        kinds: list[str] = []
        frames: list[traceback.FrameSummary] = []
        while error is not None:
            kinds.append(type(error).__name__)
            frames += traceback.extract_tb(error.__traceback__)
            error = error.__cause__
        ours = [frame for frame in frames if f"{os.sep}gamify{os.sep}" in frame.filename] or frames
        event["error"] = " from ".join(kinds)
        if ours:
            event["at"] = f"{Path(ours[-1].filename).name}:{ours[-1].lineno} in {ours[-1].name}"
    return event


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """Leave of every API key only what the dashboard shows too, and of other secrets nothing."""
    for name, value in event.items():
        if not name.startswith("_"):  # structlog's own
            event[name] = _redacted(name, value)
    return event


def without_keys(text: str) -> str:
    """Return the text with the beginnings of API keys in the place of keys."""
    return KEY.sub(lambda found: found[0][:16] + "…", text)


def _redacted(name: str, value: Any) -> Any:
    if isinstance(value, (int, float, type(None))):
        return value
    if SECRET_NAME.search(name):
        return "…"
    if isinstance(value, Mapping):
        return {inner: _redacted(str(inner), held) for inner, held in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_redacted(name, held) for held in value]
    text = value if isinstance(value, str) else str(value)
    text = without_keys(text)
    for pattern, left in IN_TEXT:
        text = pattern.sub(left, text)
    return text
