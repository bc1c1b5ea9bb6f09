"""The audit logs: for admins their tenant's, for operators the platform's."""

from collections.abc import Generator
from typing import Any
from uuid import UUID

from flask import Blueprint, Response, request, url_for
from gamify.db import Database, hurry
from gamify.deployment import database
from gamify.errors import FieldError, Invalid
from gamify.services import audit, spreadsheet
from gamify.services.audit import Entry, Filter
from gamify.services.period import period

from dashboard import files
from dashboard.guard import allows
from dashboard.htmx import render
from dashboard.tenancy import LONGEST_WAIT, here, zone

PAGE = 50  # entries
FILTERS = ("actor", "action", "from", "to")
KINDS = (
    "api_key",
    "export",
    "invitation",
    "schedule",
    "session",
    "tenant",
    "tiers",
    "user",
)  # of things; what else is typed works as well

bp = Blueprint("audit", __name__, url_prefix="/dashboard")


@bp.get("/audit")
@allows("audit:read")
def index() -> Response:
    """Show who changed what of the tenant."""
    return _page(here().id)


@bp.get("/audit.csv")
@allows("audit:read")
def download() -> Response:
    """Send what is filtered as a file."""
    return _file(here().id)


@bp.get("/platform-audit")
@allows("platform_audit:read")
def platform() -> Response:
    """Show who changed what of tenants and operators."""
    return _page(None)


@bp.get("/platform-audit.csv")
@allows("platform_audit:read")
def platform_download() -> Response:
    """Send what is filtered as a file."""
    return _file(None)


def _page(tenant_id: int | None) -> Response:
    given: dict[str, Any] = {name: request.args[name] for name in FILTERS if request.args.get(name)}
    found: list[Entry] = []
    refused: list[FieldError] = []
    try:
        wanted = _wanted()
        with database().transaction(tenant_id) as session:
            hurry(session, seconds=LONGEST_WAIT)
            before = request.args.get("before", type=UUID)
            found = list(audit.search(session, tenant_id, wanted, before=before, limit=PAGE + 1))
    except Invalid as error:
        refused = error.errors
    return render(
        "audit/index.html",
        partials={"entries": "audit/_entries.html"},
        status=Invalid.status if refused else 200,
        entries=[(entry, audit.changes(entry)) for entry in found[:PAGE]],
        given=given,
        refused=refused,
        kinds=KINDS,
        is_platform=tenant_id is None,
        address=url_for(request.endpoint or ""),
        older=url_for(request.endpoint or "", **given, before=found[PAGE - 1].id) if len(found) > PAGE else None,
        file=url_for(f"{bp.name}.{'platform_' if tenant_id is None else ''}download", **given),
    )


def _file(tenant_id: int | None) -> Response:
    return files.send("audit.csv", _lines(database(), tenant_id, _wanted()), whose=tenant_id)


def _lines(database: Database, tenant_id: int | None, wanted: Filter) -> Generator[str]:
    with database.transaction(tenant_id) as session:
        yield from spreadsheet.lines(audit.COLUMNS, map(audit.cells, audit.every(session, tenant_id, wanted)))


def _wanted() -> Filter:
    """What the query asks for. Raises `Invalid`."""
    texts: dict[str, Any] = {name: request.args.get(name, "").strip() or None for name in ("actor", "action")}
    nul = [FieldError(name, "Must not hold the character U+0000.") for name, value in texts.items() if value and "\0" in value]
    if nul:
        raise Invalid(nul)
    since, until = period(request.args.get("from"), request.args.get("to"), zone())
    return Filter(**texts, since=since, until=until)
