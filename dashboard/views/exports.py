"""Exports: what files there are and how far they are, asking for one, and taking it away."""

from typing import Any
from urllib.parse import parse_qsl, urlencode

from flask import Blueprint, Response, abort, flash, request, url_for
from gamify.deployment import database, deployment
from gamify.models import Export
from gamify.models.export import UNDER_WAY
from gamify.services import export_contents, export_files, export_formats, exports, schedules
from gamify.services.export_contents import LEDGER, Wish
from gamify.services.reports import tables
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response as Answer

from dashboard import files, htmx, ledger_query
from dashboard.forms import Form, ask, sent
from dashboard.guard import actor, allows, lead_to, may, now, who
from dashboard.tenancy import here, zone

LIST = "exports"  # the id of what brings itself up to date
# Where what is exported is looked at.
PAGES = {
    LEDGER: "ledger.index",
    "roll-forward": "reports.index",
    "liability": "reports.liability",
    "tiers": "reports.tiers",
    "activity": "reports.activity",
}

bp = Blueprint("exports", __name__, url_prefix="/dashboard/exports")


@bp.app_context_processor
def for_templates() -> dict[str, Any]:
    """What the button that asks for an export needs, on whatever page it is."""
    return {"export_address": export_address}


@bp.context_processor
def of_tenant() -> dict[str, Any]:
    """Whose files they are."""
    return {"here": here}


@bp.get("")
@allows("reports:export")
def index() -> Response:
    """List the exports of the last week, and what is sent by mail."""
    return show(Form())


@bp.get("/ask")
@allows("reports:export")
def ask_for_one() -> Response:
    """Ask for the format."""
    form = Form({"kind": request.args.get("kind", LEDGER), "query": request.args.get("query", "")})
    return _ask(form)


@bp.post("")
@allows("reports:export")
def create() -> Response | Answer:
    """Have a file made."""
    form = sent()
    with form.showing():
        _create(form.get("kind"), _with_table(form.get("query"), form.get("table")), form.get("format"))
        flash("Your export is under way. It will be here for a week.")
        return lead_to(url_for(".index"))
    return _ask(form)


@bp.get("/<int(max=9223372036854775807):export_id>/file")
@allows("reports:export")
def download(export_id: int) -> Response:
    """Send a file, and note who took it."""
    tenant = here()
    with database().transaction(tenant.id) as session:
        found = exports.download(session, tenant.id, export_id, actor=actor(), now=now())
    chosen = export_formats.known(found.format)
    path = export_files.place(deployment().settings.exports_folder, tenant.id, found.id, chosen.ending)
    return files.send_made(path, found.file_name, mimetype=chosen.mimetype, whose=tenant.id)


@bp.post("/<int(max=9223372036854775807):export_id>/cancel")
@allows("reports:export")
def cancel(export_id: int) -> Response | Answer:
    """Let a file not be made after all."""
    form = sent()
    with form.showing(), database().transaction(here().id) as session:
        _check_own(session, export_id)
        exports.cancel(session, here().id, export_id, actor=actor(), now=now())
    return _back("The export is cancelled.") if form.is_fine else show(form)


@bp.post("/<int(max=9223372036854775807):export_id>/delete")
@allows("reports:export")
def delete(export_id: int) -> Answer:
    """Remove a file before its time."""
    with database().transaction(here().id) as session:
        _check_own(session, export_id)
        exports.delete(session, here().id, export_id, actor=actor())
    export_files.remove(deployment().settings.exports_folder, here().id, export_id)
    return _back("The export is deleted.")


@bp.post("/<int(max=9223372036854775807):export_id>/again")
@allows("reports:export")
def again(export_id: int) -> Response | Answer:
    """Ask for the same once more, as it is now."""
    form = sent()
    with database().transaction(here().id) as session:
        found = exports.get(session, here().id, export_id)
    with form.showing():
        _create(found.kind, found.query, found.format)
    return _back("Your export is under way once more.") if form.is_fine else show(form)


def show(form: Form, **values: Any) -> Response:
    """Render the page; `form` is one that was refused."""
    tenant = here()
    with database().transaction(tenant.id) as session:
        found = exports.listed(session, tenant.id, now=now())
        sent_by_mail = schedules.listed(session, tenant.id)
        people = {user.id: user.email for user in schedules.people(session, tenant)}
    page = htmx.render(
        "exports/index.html",
        partials={LIST: "exports/_list.html"},
        status=form.status,
        form=form,
        exports=found,
        is_moving=any(each.state in UNDER_WAY for each in found),
        labels={each.name: each.label for each in export_formats.FORMATS},
        is_own=is_own,
        looked_at=looked_at,
        schedules=sent_by_mail,
        people=people,
        can_mail=deployment().settings.mail_server is not None,
        **values,
    )
    if form.refusal is not None:
        page.headers.extend(form.refusal.headers)
    return page


def is_own(row: Any) -> bool:
    """Whether whoever is here may change what somebody has asked for or made."""
    return row.user_id == who().user.id or may("exports:manage")


def looked_at(export: Export) -> str | None:
    """The address of the page that shows the same."""
    endpoint = PAGES.get(export.kind)
    values: dict[str, Any] = dict(parse_qsl(export.query))
    return url_for(endpoint, **values) if endpoint else None


def export_address(kind: str, query: str = "") -> str:
    """Where to ask for an export of what a page shows; `query` is the page's own."""
    return url_for("exports.ask_for_one", kind=kind, query=query or None)


def _create(kind: str, query: str, chosen: str) -> None:
    tenant = here()
    export_formats.get(chosen)
    with database().transaction(tenant.id) as session:
        exports.ask(session, tenant.id, _wish(session, kind, query), format=chosen, actor=actor(), now=now())


def _with_table(query: str, table: str) -> str:
    """The parameters of a report's page, and which of its tables is wanted."""
    return urlencode(dict(parse_qsl(query)) | {"table": table}) if table else query


def _wish(session: Session, kind: str, query: str) -> Wish:
    tenant = here()
    if kind != LEDGER:
        return export_contents.report(session, tenant, kind, query=query, now=now())
    asked = ledger_query.read(session, tenant.id, dict(parse_qsl(query)), zone=zone(), now=now())
    asked.check()
    chips = ledger_query.chips(asked)
    about = "; ".join(" ".join(filter(None, chip[:2])) for chip in chips) or "Every entry"
    return export_contents.ledger(tenant, asked.wanted, query=query, about=about, now=now())


def _ask(form: Form) -> Response:
    kind, query = form.values.get("kind", ""), form.values.get("query", "")
    wish = None
    with form.showing(), database().transaction(here().id) as session:
        wish = _wish(session, kind, query)
    values = {"form": form, "wish": wish, "kind": kind, "query": query, "formats": export_formats.available()}
    chosen = form.values.get("table") or dict(parse_qsl(query)).get("table")
    values |= {"tables": {} if kind == tables.ROLL_FORWARD else tables.VIEWS.get(kind, {}), "table": chosen}
    page = ask("exports/_ask.html", title="Export", leads_back=url_for(".index"), **values)
    page.status_code = form.status
    return page


def _check_own(session: Session, export_id: int) -> None:
    if not is_own(exports.get(session, here().id, export_id)):
        abort(403)


def _back(said: str) -> Answer:
    flash(said)
    return lead_to(url_for(".index"))
