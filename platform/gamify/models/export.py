"""Files that are made in the background, and which saved reports are sent as files again and again."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    ARRAY,
    JSON,
    BigInteger,
    CheckConstraint,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    SmallInteger,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from gamify.models.base import TenantRecord, created_at, of_tenant

WAITING, RUNNING, DONE, FAILED, CANCELLED = STATES = ("waiting", "running", "done", "failed", "cancelled")
UNDER_WAY = (WAITING, RUNNING)
DAILY, WEEKLY, MONTHLY = RHYTHMS = ("daily", "weekly", "monthly")


class Export(TenantRecord):
    """A file as somebody asked for it, how far it has come, and until when it is kept."""

    __tablename__ = "exports"
    __table_args__ = (
        of_tenant(),
        CheckConstraint("state IN ('waiting', 'running', 'done', 'failed', 'cancelled')", name="state"),
        Index("exports_due_key", "tenant_id", "schedule_id", "due_at", unique=True),  # a time of a schedule is met once
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    kind: Mapped[str]  # of what: the ledger, or a report
    query: Mapped[str]  # as the address of its page has it, for a way back there
    wanted: Mapped[dict[str, Any]] = mapped_column(JSON)  # what that meant when it was asked for
    format: Mapped[str]
    title: Mapped[str]
    about: Mapped[str]  # the period and the filter, in words
    file_name: Mapped[str]  # as whoever downloads it gets it
    state: Mapped[str] = mapped_column(server_default=WAITING)
    run: Mapped[int] = mapped_column(Integer, server_default="0")  # how often it was begun: only the last one has a say
    row_count: Mapped[int] = mapped_column(server_default="0")
    expected_count: Mapped[int | None]  # rows, where they are known beforehand
    size: Mapped[int | None]  # bytes
    error: Mapped[str | None]
    asked_by: Mapped[str]  # as the audit log calls them
    user_id: Mapped[int | None]
    schedule_id: Mapped[int | None]
    due_at: Mapped[datetime | None]  # the time of the schedule that it is for
    mailed_to: Mapped[list[int]] = mapped_column(ARRAY(BigInteger), server_default=text("'{}'"))  # users
    mail_tries: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    created_at: Mapped[datetime] = created_at()
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    expires_at: Mapped[datetime]


class ReportSchedule(TenantRecord):
    """A saved report that is made and announced by mail, by the clock of the tenant's zone."""

    __tablename__ = "report_schedules"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "report_id"], ["saved_reports.tenant_id", "saved_reports.id"], ondelete="CASCADE"
        ),  # who deletes a report wants no more of it
        CheckConstraint("rhythm IN ('daily', 'weekly', 'monthly')", name="rhythm"),
        CheckConstraint("(rhythm = 'weekly') = (weekday IS NOT NULL) AND weekday BETWEEN 0 AND 6", name="weekday"),
        CheckConstraint("(rhythm = 'monthly') = (day IS NOT NULL) AND day BETWEEN 1 AND 31", name="day"),
        CheckConstraint("hour BETWEEN 0 AND 23", name="hour"),
        Index("report_schedules_next_at_idx", "tenant_id", "next_at", postgresql_where=text("paused_at IS NULL")),
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    report_id: Mapped[int]
    format: Mapped[str]
    rhythm: Mapped[str]
    weekday: Mapped[int | None] = mapped_column(SmallInteger)  # 0 is Monday
    day: Mapped[int | None] = mapped_column(SmallInteger)  # of a month; of a shorter one the last
    hour: Mapped[int] = mapped_column(SmallInteger)
    recipients: Mapped[list[int]] = mapped_column(ARRAY(BigInteger))  # users
    page: Mapped[str]  # the address of the page of exports, as whoever made this sees it: a worker knows none
    made_by: Mapped[str]
    user_id: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    next_at: Mapped[datetime]
    last_sent_at: Mapped[datetime | None]
    failure_count: Mapped[int] = mapped_column(SmallInteger, server_default="0")  # in a row
    error: Mapped[str | None]  # of the last one
    paused_at: Mapped[datetime | None]  # after too many of them
