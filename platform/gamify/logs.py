"""Logs: one line an event on stderr, JSON in production, and never a key in one."""

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

SECRET = re.compile(r"gk_(live|test)_[0-9A-Za-z]{8}[0-9A-Za-z]*")


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
    """Leave of every API key only what the dashboard shows too."""
    for name, value in event.items():
        if isinstance(value, str) and "gk_" in value:
            event[name] = SECRET.sub(lambda found: found[0][:16] + "…", value)
    return event
