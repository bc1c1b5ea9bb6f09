"""Saved reports that are sent by mail: which, how often, to whom."""

from typing import Any

from flask import Blueprint, Response, abort, flash, request, url_for
from gamify.deployment import database, deployment
from gamify.errors import FieldError, Invalid
from gamify.models import ReportSchedule, SavedReport
from gamify.models.export import RHYTHMS
from gamify.services import export_formats, schedules
from gamify.services.schedules import Plan
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response as Answer

from dashboard.forms import Form, ask, sent
from dashboard.guard import actor, allows, lead_to, now
from dashboard.tenancy import here
from dashboard.views import exports

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
USUAL = {"rhythm": "weekly", "weekday": "0", "day": "1", "hour": "7", "format": "xlsx"}
LONGEST_NUMBER = 18  # digits

bp = Blueprint("schedules", __name__, url_prefix="/dashboard/schedules")


@bp.app_template_filter()
def rhythm(schedule: ReportSchedule) -> str:
    """Say when a report is sent."""
    hour = f"at {schedule.hour:02}:00"
    if schedule.weekday is not None:
        return f"Every {WEEKDAYS[schedule.weekday]} {hour}"
    return f"On day {schedule.day} of each month {hour}" if schedule.day is not None else f"Every day {hour}"


@bp.get("/new")
@allows("reports:export")
def ask_for_new() -> Response:
    """Ask which report is to be sent, when and to whom."""
    return _ask(Form(USUAL | {"report": request.args.get("report", "")}), set())


@bp.post("")
@allows("reports:export")
def create() -> Response | Answer:
    """Send a report from now on."""
    form = sent()
    with form.showing(), database().transaction(here().id) as session:
        schedules.create(session, here(), _plan(form), page=_page(), actor=actor(), now=now())
    return _back("The report will be sent.") if form.is_fine else _ask(form, _chosen())


@bp.get("/<int(max=9223372036854775807):schedule_id>/edit")
@allows("reports:export")
def edit(schedule_id: int) -> Response:
    """Show a schedule in the form."""
    with database().transaction(here().id) as session:
        found = _own(session, schedule_id)
    names = ("rhythm", "weekday", "day", "hour", "format")
    values = {name: str(getattr(found, name)) for name in names if getattr(found, name) is not None}
    return _ask(Form(USUAL | values | {"report": str(found.report_id)}), set(found.recipients), schedule_id=schedule_id)


@bp.post("/<int(max=9223372036854775807):schedule_id>")
@allows("reports:export")
def change(schedule_id: int) -> Response | Answer:
    """Send a report otherwise."""
    form = sent()
    with form.showing(), database().transaction(here().id) as session:
        _own(session, schedule_id)
        schedules.change(session, here(), schedule_id, _plan(form), page=_page(), actor=actor(), now=now())
    return _back("The schedule is changed.") if form.is_fine else _ask(form, _chosen(), schedule_id=schedule_id)


@bp.post("/<int(max=9223372036854775807):schedule_id>/remove")
@allows("reports:export")
def remove(schedule_id: int) -> Answer:
    """Send a report no longer."""
    with database().transaction(here().id) as session:
        _own(session, schedule_id)
        schedules.remove(session, here().id, schedule_id, actor=actor())
    return _back("The report is sent no longer.")


@bp.post("/<int(max=9223372036854775807):schedule_id>/resume")
@allows("reports:export")
def resume(schedule_id: int) -> Response | Answer:
    """Let a schedule that was paused go on."""
    form = sent()
    with form.showing(), database().transaction(here().id) as session:
        _own(session, schedule_id)
        schedules.resume(session, here(), schedule_id, actor=actor(), now=now())
    return _back("The schedule goes on.") if form.is_fine else exports.show(form)


def _plan(form: Form) -> Plan:
    problems = [
        FieldError(name, "Must be a whole number.")
        for name in ("report", "hour", "weekday", "day")
        if form.get(name) and _number(form.get(name)) is None
    ]
    if problems:
        raise Invalid(problems)
    return Plan(
        report_id=_number(form.get("report")) or 0,
        format=form.get("format"),
        rhythm=form.get("rhythm"),
        hour=_number(form.get("hour")) or 0,
        recipients=sorted(_chosen()),
        weekday=_number(form.get("weekday")),
        day=_number(form.get("day")),
    )


def _number(text: str) -> int | None:
    written = text.strip()
    is_fine = written.isascii() and written.isdecimal() and len(written) <= LONGEST_NUMBER
    return int(written) if is_fine else None


def _chosen() -> set[int]:
    return {number for text in request.form.getlist("recipients") if (number := _number(text)) is not None}


def _page() -> str:
    return url_for("exports.index", _external=True)


def _own(session: Session, schedule_id: int) -> ReportSchedule:
    found = schedules.get(session, here().id, schedule_id)
    if not exports.is_own(found):
        abort(403)
    return found


def _ask(form: Form, recipients: set[int], *, schedule_id: int | None = None) -> Response:
    tenant = here()
    with database().transaction(tenant.id) as session:
        query = select(SavedReport).where(SavedReport.tenant_id == tenant.id).order_by(SavedReport.name)
        reports = session.scalars(query).all()
        people = schedules.people(session, tenant)
    values: dict[str, Any] = {
        "form": form,
        "reports": reports,
        "people": people,
        "recipients": recipients,
        "schedule_id": schedule_id,
        "formats": export_formats.available(),
        "rhythms": RHYTHMS,
        "weekdays": WEEKDAYS,
        "can_mail": deployment().settings.mail_server is not None,
    }
    title = "Send a report" if schedule_id is None else "Change what is sent"
    page = ask("exports/_schedule.html", title=title, leads_back=url_for("exports.index"), **values)
    page.status_code = form.status
    return page


def _back(said: str) -> Answer:
    flash(said)
    return lead_to(url_for("exports.index"))
