"""Telling people that a scheduled report is there: a mail each, with a link and nothing of what is in it."""

import smtplib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from gamify import queue
from gamify.db import Database
from gamify.mail_server import MailServer
from gamify.models import Export, ReportSchedule, Tenant, User
from gamify.models.export import DONE
from gamify.services import mail, schedules
from gamify.services.mail import Mail

MOST_TRIES = 5
PAUSE = timedelta(minutes=2)  # before the second try; each next one is twice as long
REFUSED = "The mail server does not take the mail."


class _Letter(NamedTuple):
    user_id: int
    mail: Mail


def send(database: Database, server: MailServer | None, tenant_id: int, export_id: int) -> Iterator[None]:
    """Tell the recipients of a schedule's file who have not been told yet. Without a mail server, the page tells.

    A recipient's mail and the note that it was sent are of one transaction, so whoever takes this up again goes on with the
    next; a mail whose sender was killed between the server's word and that commit comes once more under the same id.
    """
    with database.transaction(tenant_id) as session:
        letters = _letters(session, tenant_id, export_id) if server else []
    failed = []
    for letter in letters:
        try:
            _send_once(database, server, tenant_id, export_id, letter)
        except (OSError, smtplib.SMTPException, ValueError) as error:
            failed.append(error)
        yield
    if letters:
        with database.transaction(tenant_id) as session:
            _note(session, tenant_id, export_id, is_sent=not failed, now=datetime.now(UTC))


def _letters(session: Session, tenant_id: int, export_id: int) -> Sequence[_Letter]:
    export = session.get(Export, (tenant_id, export_id))
    if export is None or export.state != DONE or export.schedule_id is None:
        return []
    schedule = session.get(ReportSchedule, (tenant_id, export.schedule_id))
    if schedule is None:
        return []
    tenant = session.get_one(Tenant, tenant_id)
    told = [user for user in schedules.people(session, tenant) if user.id in schedule.recipients]
    return [_Letter(user.id, _mail(tenant, export, schedule, user)) for user in told]


def _mail(tenant: Tenant, export: Export, schedule: ReportSchedule, user: User) -> Mail:
    page, _, query = schedule.page.partition("?")
    link = f"{page}/{export.id}/file" + (f"?{query}" if query else "")
    until = export.expires_at.astimezone(ZoneInfo(tenant.time_zone))
    where = tenant.name if tenant.mode == "live" else f"{tenant.name} (sandbox)"
    thread = f"export-{export.tenant_id}-{export.id}-{user.id}"
    return mail.report(to=user.email, name=export.title, about=export.about, where=where, until=until, link=link, thread=thread)


def _send_once(database: Database, server: MailServer | None, tenant_id: int, export_id: int, letter: _Letter) -> None:
    """Send a mail, unless it was; whoever does the same meanwhile waits, and finds that it was."""
    with database.transaction(tenant_id) as session:
        whose = select(Export).where(Export.tenant_id == tenant_id, Export.id == export_id).with_for_update()
        export = session.scalar(whose)
        if server and export and letter.user_id not in export.mailed_to:
            mail.deliver(server, letter.mail)
            export.mailed_to = [*export.mailed_to, letter.user_id]


def _note(session: Session, tenant_id: int, export_id: int, *, is_sent: bool, now: datetime) -> None:
    whose = select(Export).where(Export.tenant_id == tenant_id, Export.id == export_id).with_for_update()
    export = session.scalar(whose)
    if export is None or export.schedule_id is None:
        return
    if not is_sent:
        export.mail_tries += 1
        if export.mail_tries < MOST_TRIES:
            at, lock = now + PAUSE * 2 ** (export.mail_tries - 1), f"mails {tenant_id}"
            queue.defer(session, "mail_export", tenant_id=tenant_id, lock=lock, at=at, export_id=export_id)
        else:
            schedules.note_failure(session, tenant_id, export.schedule_id, REFUSED, now=now)
        return
    schedules.note_sent(session, tenant_id, export.schedule_id, now=now)
