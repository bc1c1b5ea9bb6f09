"""A ladder on its way: what an admin drafts, and how far it has come to be true for everybody."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, CheckConstraint, Identity, Index, Integer, func, text
from sqlalchemy.orm import Mapped, mapped_column

from gamify.models.base import TenantRecord, of_tenant


class LadderDraft(TenantRecord):
    """A tenant's one draft. Each change counts `revision` up, so that nobody overwrites what they have not seen."""

    __tablename__ = "ladder_drafts"
    __table_args__ = (
        of_tenant(),
        CheckConstraint("(publish_at IS NULL) = (publication IS NULL)", name="publication"),
    )

    revision: Mapped[int] = mapped_column(Integer)
    based_on: Mapped[int] = mapped_column(Integer)  # version of the ladder that was in force
    content: Mapped[dict[str, Any]] = mapped_column(JSON)
    changed_by: Mapped[str]
    changed_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    publish_at: Mapped[datetime | None]  # when it publishes itself
    publication: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))  # and how


class Recalculation(TenantRecord):
    """Putting everybody where the ladder has them, in ranges of participants' internal ids; it goes on where it was stopped."""

    __tablename__ = "recalculations"
    __table_args__ = (
        of_tenant(),
        CheckConstraint("cause IN ('published', 'requalified')", name="cause"),
        # One at a time.
        Index("recalculations_going_on_key", "tenant_id", unique=True, postgresql_where=text("finished_at IS NULL")),
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    cause: Mapped[str]
    ladder_version: Mapped[int] = mapped_column(Integer)
    total_count: Mapped[int]  # participants, when it began
    done_count: Mapped[int] = mapped_column(server_default="0")
    moved_count: Mapped[int] = mapped_column(server_default="0")
    done_until: Mapped[int] = mapped_column(server_default=str(-(2**63)))
    started_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    advanced_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    finished_at: Mapped[datetime | None]
