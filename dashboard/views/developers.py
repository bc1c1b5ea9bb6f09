"""For those who write programs against the API: samples to run, the last requests, and what errors mean."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from flask import Blueprint, Response, request, url_for
from gamify.deployment import database, deployment
from gamify.models import ApiKey
from gamify.request_log import KEPT, Request
from gamify.services import api_keys, tenants

from dashboard import samples
from dashboard.guard import actor, allows, now, who
from dashboard.htmx import render
from dashboard.problems import PROBLEMS
from dashboard.tenancy import here

bp = Blueprint("developers", __name__, url_prefix="/dashboard/developers")

API = "api/v1/gamify"
SCOPES = ("points:read", "points:write", "participants:read", "tiers:read", "reports:read")
LIFETIME = timedelta(days=7)
CLASSES = {"": "All", "2": "Success", "4": "Refused", "5": "Fault"}  # by the first digit of the status
PARTIALS = {
    "samples": "developers/_samples.html",
    "request-log": "developers/_request_log.html",
    "requests": "developers/_requests.html",
}


@bp.get("")
@allows("developers:read")
def index() -> Response:
    """Show samples, the last requests and errors."""
    return _show()


@bp.post("/key")
@allows("keys:write", fresh=True)
def issue_key() -> Response:
    """Make a key for the sandbox and fill it into every sample, this once."""
    own = who()
    with database().transaction() as db:
        sandbox = tenants.get(db, here().slug, mode="test")
        key, secret = api_keys.issue(
            db,
            sandbox,
            name=f"Developers page ({own.user.email})"[: api_keys.LONGEST_NAME],
            scopes=SCOPES,
            expires_at=now() + LIFETIME,
            pepper=deployment().settings.api_key_pepper,
            actor=actor(),
            now=now(),
        )
    page = _show(issued=key, secret=secret)
    page.headers["Cache-Control"] = "no-store"
    return page


def _show(*, issued: ApiKey | None = None, secret: str | None = None) -> Response:
    base = request.host_url + API
    with database().transaction() as db:
        keys = api_keys.of_tenant(db, here())
    return render(
        "developers/index.html",
        partials=PARTIALS,
        base=base,
        issued=issued,
        secret=secret,
        samples=samples.written(base, secret),
        languages={language: label for language, (label, _) in samples.LANGUAGES.items()},
        problems=PROBLEMS,
        **_log(keys),
    )


def _log(keys: Sequence[ApiKey]) -> dict[str, Any]:
    """The last requests of all keys or of the one asked for, with a status of the class asked for."""
    prefix, status = request.args.get("key", ""), request.args.get("status", "")
    chosen = [key for key in keys if key.prefix == prefix]
    found = deployment().request_log.newest(here().id, [key.id for key in chosen or keys])
    status = status if status in CLASSES else ""
    names = {key.id: key for key in keys}
    every = [(names[key_id], each) for key_id, of_key in (found or {}).items() for each in of_key]
    rows = sorted((row for row in every if str(row[1].status).startswith(status)), key=_answered_at, reverse=True)[:KEPT]
    query: dict[str, Any] = {"key": chosen[0].prefix if chosen else None, "status": status or None}
    return {
        "keys": keys,
        "chosen": chosen[0] if chosen else None,
        "wanted": status,
        "classes": {each: (label, url_for(".index", **query | {"status": each or None})) for each, label in CLASSES.items()},
        "requests": rows,
        "is_away": found is None,
        "has_requests": bool(every),
        "refresh": url_for(".index", **query),
    }


def _answered_at(row: tuple[ApiKey, Request]) -> float:
    return row[1].at.timestamp()
