"""Logs: one line an event on stderr, JSON in production, and never a key in one."""

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
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
        structlog.processors.format_exc_info,
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


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """Leave of every API key only what the dashboard shows too."""
    for name, value in event.items():
        if isinstance(value, str) and "gk_" in value:
            event[name] = SECRET.sub(lambda found: found[0][:16] + "…", value)
    return event
