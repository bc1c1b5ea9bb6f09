"""Health: whether the process runs, and whether it can do its work."""

from typing import Any

from flask import Blueprint, Response, jsonify
from sqlalchemy.exc import SQLAlchemyError

from gamify import schema
from gamify.deployment import counters, database
from gamify.errors import DomainError

bp = Blueprint("health", __name__)


@bp.get("/healthz")
def healthz() -> Response:
    """The process answers."""
    return jsonify(status="ok")


@bp.get("/readyz")
def readyz() -> tuple[Response, int, dict[str, str]]:
    """Ready when the database can be reached and has every migration; Redis is reported, not required.

    `limiter_fallbacks` is how many requests this process has counted by itself because Redis was away.
    """
    checks: dict[str, Any] = {
        "database": False,
        "migrations": False,
        "redis": counters().is_reachable(),
        "limiter_fallbacks": counters().fallback_count,
    }
    try:
        checks["migrations"] = schema.is_current(database().engine)
        checks["database"] = True
    except (SQLAlchemyError, DomainError):
        pass
    is_ready = checks["database"] and checks["migrations"]
    return (
        jsonify(status="ready" if is_ready else "unavailable", **checks),
        200 if is_ready else 503,
        {} if is_ready else {"Retry-After": "1"},
    )
