"""The ledger: filtered, added up, page by page, an entry in a drawer, and as a file."""

from collections.abc import Generator
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from flask import Blueprint, Response, redirect, request, url_for
from gamify.db import Database
from gamify.deployment import database, deployment
from gamify.services import ladder, ledger_actors, ledger_export, ledger_pages, ledger_rows, ledger_totals, spreadsheet
from gamify.services.entries import Filter
from gamify.services.ledger_steps import Effort
from gamify.services.ledger_totals import Progress
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response as Answer

from dashboard import files, htmx, ledger_query, ledger_sum, ledger_words
from dashboard.guard import allows, now
from dashboard.ledger_query import Asked
from dashboard.tenancy import here, reading, zone

PAGE = 50  # entries
LEDGER, MORE, TOTALS = "ledger", "more", "totals"  # ids of what htmx fills
PARTIALS = {LEDGER: "ledger/_ledger.html", MORE: "ledger/_more.html", TOTALS: "ledger/_totals.html"}
AT_FIRST = Effort(entries=20_000, seconds=0.08)  # so much is added up with the page itself

bp = Blueprint("ledger", __name__, url_prefix="/dashboard")
bp.add_app_template_filter(ledger_words.utc)
bp.add_app_template_filter(ledger_words.indented)


@bp.context_processor
def for_templates() -> dict[str, Any]:
    """What templates of the ledger call."""
    return {"here": here, "now": now, "whose": whose}


def whose(participant_id: str) -> str:
    """The address of a participant's own page."""
    return url_for("participant.profile", pid=participant_id)


@bp.get("/ledger")
@allows("ledger:read")
def index() -> Answer:
    """Show the entries that are filtered, and what they add up to."""
    tenant, wanted_part = here(), htmx.target() if htmx.is_partial() else ""
    with reading() as session:
        asked = ledger_query.read(session, tenant.id, request.args, zone=zone(), now=now())
        if "metadata_name" in request.args and not htmx.is_partial():
            return redirect(_address(asked))
        values: dict[str, Any] = {"asked": asked, "found": None, "sum": None}
        if not asked.errors and wanted_part != TOTALS:
            before = request.args.get("before", type=UUID)
            values["found"] = ledger_pages.page(session, tenant.id, asked.wanted, before=before, limit=PAGE)
        if not asked.errors and wanted_part != MORE:
            values["sum"] = _sum(session, tenant.id, asked.wanted, is_going_on=wanted_part == TOTALS)
        if wanted_part not in (MORE, TOTALS):
            values["actors"] = ledger_actors.listed(session, tenant.id)
            values["tiers"] = list(ladder.known(session, tenant.id).values())
    return _answer(asked, values)


@bp.get("/ledger/<uuid:entry_id>")
@allows("ledger:read")
def entry(entry_id: UUID) -> Response:
    """Show everything that is known of one entry."""
    tenant = here()
    with database().snapshot(tenant.id) as session:
        found = ledger_rows.find(session, tenant.id, entry_id)
    return htmx.render("ledger/entry.html", partials={"drawer-content": "ledger/_entry.html"}, entry=found)


@bp.get("/ledger.csv")
@allows("reports:export")
def download() -> Response:
    """Send what is filtered as a file."""
    tenant = here()
    with database().snapshot(tenant.id) as session:
        asked = ledger_query.read(session, tenant.id, request.args, zone=zone(), now=now())
    asked.check()
    wanted = asked.wanted
    name = ledger_export.file_name(tenant.slug, tenant.mode, wanted.since, wanted.until, zone=zone(), now=now())
    return files.send(name, _lines(database(), tenant.id, wanted, zone()), whose=tenant.id)


def _answer(asked: Asked, values: dict[str, Any]) -> Answer:
    chips = ledger_query.chips(asked)
    words = {
        "no_tier": ledger_query.NO_TIER,
        "types": ledger_query.TYPES,
        "periods": ledger_query.PERIODS,
        "period": ledger_query.period_in_words(asked),
    }
    token = _sealed(asked, values["sum"])
    page = htmx.render(
        "ledger/index.html", partials=PARTIALS, status=422 if asked.errors else 200, chips=chips, token=token, **words, **values
    )
    if htmx.is_partial() and htmx.target() == LEDGER:
        page.headers["HX-Push-Url"] = _address(asked)
    return page


def _address(asked: Asked) -> str:
    """The page's address, with nothing in it that says nothing."""
    values: dict[str, Any] = dict(asked.values)
    return url_for(".index", **values)


def _sum(session: Session, tenant_id: int, wanted: Filter, *, is_going_on: bool) -> Progress:
    """Go on where the address says a sum has come to, or begin."""
    token = request.args.get("sum", "")
    done = ledger_sum.unseal(deployment().vault, tenant_id, wanted, token) if token else None
    is_first = done is None
    if done is None:
        done = ledger_totals.begin(session, tenant_id, wanted)
    effort = AT_FIRST if is_first and not is_going_on else Effort()
    return ledger_totals.advance(session, tenant_id, wanted, done, effort=effort)


def _sealed(asked: Asked, done: Progress | None) -> str | None:
    if done is None or done.next_id is None:
        return None
    return ledger_sum.seal(deployment().vault, here().id, asked.wanted, done, now=now())


def _lines(database: Database, tenant_id: int, wanted: Filter, zone: ZoneInfo) -> Generator[str]:
    with database.snapshot(tenant_id) as session:
        # Not by a name: what nobody holds any more is closed at once, before its transaction.
        yield from spreadsheet.lines(
            ledger_export.COLUMNS,
            (ledger_export.cells(entry, zone) for entry in ledger_export.every(session, tenant_id, wanted)),
        )
