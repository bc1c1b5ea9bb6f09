"""Schedules: saved reports that are made and announced by mail, day by day, week by week or month by month."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from gamify import queue
from gamify.db import Database
from gamify.errors import Conflict, FieldError, Invalid, NotFound
from gamify.models import Export, ReportSchedule, SavedReport, Tenant, User
from gamify.models.export import MONTHLY, RHYTHMS, WEEKLY
from gamify.services import audit, export_contents, export_formats, exports, schedule_times, users
from gamify.services.audit import SYSTEM, Actor
from gamify.services.exports import Due
from gamify.services.schedule_times import Rhythm

MOST = 50  # of a tenant
MOST_FAILURES = 3  # in a row; then it waits for somebody
MOST_RECIPIENTS = 50
NO_REPORT = "There is no such saved report."

S = ReportSchedule


class Plan(NamedTuple):
    """What somebody wants to be sent, when and to whom (users of the tenant)."""

    report_id: int
    format: str
    rhythm: str
    hour: int
    recipients: Sequence[int]
    weekday: int | None = None
    day: int | None = None


def listed(session: Session, tenant_id: int) -> Sequence[tuple[ReportSchedule, SavedReport]]:
    """Return every schedule with its report, in the order of the reports' names."""
    on = (SavedReport.tenant_id == S.tenant_id) & (SavedReport.id == S.report_id)
    query = select(S, SavedReport).join(SavedReport, on).where(S.tenant_id == tenant_id).order_by(SavedReport.name, S.id)
    return [(schedule, report) for schedule, report in session.execute(query)]


def get(session: Session, tenant_id: int, schedule_id: int) -> ReportSchedule:
    """Return a schedule. Raises `NotFound`."""
    found = session.get(S, (tenant_id, schedule_id), populate_existing=True)
    if found is None:
        raise NotFound("There is no such schedule.")
    return found


def people(session: Session, tenant: Tenant) -> Sequence[User]:
    """Return who can be a recipient: people of the tenant, whose sandbox has no others."""
    return users.of_tenant(session, tenant.sandbox_of or tenant.id)


def create(session: Session, tenant: Tenant, plan: Plan, *, page: str, actor: Actor, now: datetime) -> ReportSchedule:
    """Send a report from now on. `page` is the address of the page of exports. Raises `Invalid`, `Conflict`."""
    report = check(session, tenant, plan)
    if len(listed(session, tenant.id)) >= MOST:
        raise Conflict(f"There are {MOST} schedules already; remove one first.")
    made = S(tenant_id=tenant.id, page=page, made_by=actor.name, user_id=actor.id, next_at=_next(tenant, plan, now))
    _put(made, plan)
    session.add(made)
    session.flush()
    audit.record(session, tenant.id, actor, action="schedule.create", subject=report.name, after=_said(made))
    return made


def change(
    session: Session, tenant: Tenant, schedule_id: int, plan: Plan, *, page: str, actor: Actor, now: datetime
) -> ReportSchedule:
    """Change a schedule; one that was paused goes on. Raises `NotFound`, `Invalid`."""
    found = _locked(session, tenant.id, schedule_id)
    report = check(session, tenant, plan)
    before = _said(found)
    _put(found, plan)
    found.page, found.next_at = page, _next(tenant, plan, now)
    _go_on(found)
    session.flush()
    if before != _said(found):
        after = _said(found)
        audit.record(session, tenant.id, actor, action="schedule.change", subject=report.name, before=before, after=after)
    return found


def remove(session: Session, tenant_id: int, schedule_id: int, *, actor: Actor) -> None:
    """Send a report no longer. Raises `NotFound`."""
    found = _locked(session, tenant_id, schedule_id)
    name, before = _name(session, found), _said(found)
    session.delete(found)
    session.flush()
    audit.record(session, tenant_id, actor, action="schedule.remove", subject=name, before=before)


def resume(session: Session, tenant: Tenant, schedule_id: int, *, actor: Actor, now: datetime) -> ReportSchedule:
    """Let a schedule that was paused go on, from its next time on. Raises `NotFound`, `Conflict`."""
    found = _locked(session, tenant.id, schedule_id)
    if found.paused_at is None:
        raise Conflict("This schedule goes on as it is.")
    before = {"paused_at": found.paused_at.isoformat()}
    _go_on(found)
    found.next_at = schedule_times.after(now, rhythm_of(found), ZoneInfo(tenant.time_zone))
    session.flush()
    audit.record(session, tenant.id, actor, action="schedule.resume", subject=_name(session, found), before=before)
    return found


def begin_due(database: Database, tenant_id: int, *, now: datetime) -> int:
    """Have every report made whose time has come, once however many times were missed; return how many."""
    with database.transaction(tenant_id) as session:
        tenant = session.get_one(Tenant, tenant_id)
        if tenant.status != "active":
            return 0  # when it is resumed, it is made up for
        due = select(S).where(S.tenant_id == tenant_id, S.next_at <= now, S.paused_at.is_(None)).order_by(S.id)
        found = session.scalars(due.with_for_update(skip_locked=True)).all()
        for schedule in found:
            _begin(session, tenant, schedule, now=now)
        return len(found)


def announce(session: Session, export: Export) -> None:
    """Have the recipients told of a file that is whole, in the transaction that says so."""
    if export.schedule_id is not None:
        lock = f"mails {export.tenant_id}"  # a mail server that is slow holds up no other job
        queue.defer(session, "mail_export", tenant_id=export.tenant_id, lock=lock, export_id=export.id)


def note_failure(session: Session, tenant_id: int, schedule_id: int, why: str, *, now: datetime) -> None:
    """Count a failure; after some in a row the schedule is paused, and the page says why."""
    query = select(S).where(S.tenant_id == tenant_id, S.id == schedule_id).with_for_update()
    found = session.scalar(query.execution_options(populate_existing=True))
    if found is None:
        return  # it was removed meanwhile
    found.failure_count, found.error = found.failure_count + 1, why
    if found.failure_count >= MOST_FAILURES and found.paused_at is None:
        found.paused_at = now
        name = _name(session, found)
        audit.record(session, tenant_id, SYSTEM, action="schedule.pause", subject=name, after={"why": why})
    session.flush()


def note_sent(session: Session, tenant_id: int, schedule_id: int, *, now: datetime) -> None:
    """Note that everybody was told; failures before that count no longer."""
    sent = update(S).where(S.tenant_id == tenant_id, S.id == schedule_id, S.paused_at.is_(None))
    session.execute(sent.values(last_sent_at=now, failure_count=0, error=None))


def rhythm_of(plan: Plan | ReportSchedule) -> Rhythm:
    """When a plan is due."""
    return Rhythm(plan.rhythm, plan.hour, plan.weekday, plan.day)


def check(session: Session, tenant: Tenant, plan: Plan) -> SavedReport:
    """Return the report of a plan. Raises `Invalid` for what no schedule can be."""
    report = session.get(SavedReport, (tenant.id, plan.report_id))
    strangers = set(plan.recipients) - {user.id for user in people(session, tenant)}
    problems = {
        "report": None if report else NO_REPORT,
        "rhythm": None if plan.rhythm in RHYTHMS else f"Must be one of {', '.join(RHYTHMS)}.",
        "hour": None if 0 <= plan.hour <= 23 else "Must be an hour from 0 to 23.",  # noqa: PLR2004  # of a day
        "weekday": _number_problem(plan.weekday, 0, 6) if plan.rhythm == WEEKLY else None,
        "day": _number_problem(plan.day, 1, 31) if plan.rhythm == MONTHLY else None,
        "recipients": _recipients_problem(plan.recipients, strangers),
    }
    errors = [FieldError(name, problem) for name, problem in problems.items() if problem]
    try:
        export_formats.get(plan.format)
    except Invalid as error:
        errors += error.errors
    if errors or report is None:
        raise Invalid(errors)
    return report


def _number_problem(number: int | None, least: int, most: int) -> str | None:
    return None if number is not None and least <= number <= most else f"Must be from {least} to {most}."


def _recipients_problem(recipients: Sequence[int], strangers: set[int]) -> str | None:
    if not recipients:
        return "Choose somebody to send it to."
    if len(recipients) > MOST_RECIPIENTS:
        return f"Must be at most {MOST_RECIPIENTS} people."
    return "Must be people of this tenant." if strangers else None


def _begin(session: Session, tenant: Tenant, schedule: ReportSchedule, *, now: datetime) -> None:
    zone, rhythm = ZoneInfo(tenant.time_zone), rhythm_of(schedule)
    due_at = schedule_times.last_until(now, schedule.next_at, rhythm, zone)
    schedule.next_at = schedule_times.after(now, rhythm, zone)
    report = session.get_one(SavedReport, (tenant.id, schedule.report_id))
    who = Actor("user", schedule.made_by, schedule.user_id)
    try:
        wish = export_contents.report(session, tenant, report.kind, query=report.query, now=due_at, name=report.name)
        made_for = Due(schedule.id, due_at)
        exports.ask(session, tenant.id, wish, format=schedule.format, actor=who, now=now, due=made_for)
    except (Invalid, Conflict) as error:
        note_failure(session, tenant.id, schedule.id, str(error), now=now)


def _next(tenant: Tenant, plan: Plan, now: datetime) -> datetime:
    return schedule_times.after(now, rhythm_of(plan), ZoneInfo(tenant.time_zone))


def _put(schedule: ReportSchedule, plan: Plan) -> None:
    schedule.report_id, schedule.format, schedule.rhythm, schedule.hour = plan.report_id, plan.format, plan.rhythm, plan.hour
    schedule.weekday = plan.weekday if plan.rhythm == WEEKLY else None
    schedule.day = plan.day if plan.rhythm == MONTHLY else None
    schedule.recipients = sorted(set(plan.recipients))


def _go_on(schedule: ReportSchedule) -> None:
    schedule.failure_count, schedule.error, schedule.paused_at = 0, None, None


def _locked(session: Session, tenant_id: int, schedule_id: int) -> ReportSchedule:
    query = select(S).where(S.tenant_id == tenant_id, S.id == schedule_id).with_for_update()
    found = session.scalar(query.execution_options(populate_existing=True))
    if found is None:
        raise NotFound("There is no such schedule.")
    return found


def _name(session: Session, schedule: ReportSchedule) -> str:
    report = session.get(SavedReport, (schedule.tenant_id, schedule.report_id))
    return report.name if report else f"report {schedule.report_id}"


def _said(schedule: ReportSchedule) -> dict[str, Any]:
    names = ("report_id", "format", "rhythm", "weekday", "day", "hour")
    said = {name: getattr(schedule, name) for name in names}
    return {name: value for name, value in said.items() if value is not None} | {"recipients": len(schedule.recipients)}
