"""What holds a participant on a tier, and every change of tier that no ledger entry tells of."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Identity, Index, Integer, SmallInteger, func, text
from sqlalchemy.orm import Mapped, mapped_column

from gamify.models.base import TenantRecord

PIN, KEEP = "pin", "keep"


class TierHold(TenantRecord):
    """A pin by hand, above everything; or a tier kept when a new ladder would have taken it, until as much is earned."""

    __tablename__ = "tier_holds"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "participant_id"], ["participants.tenant_id", "participants.id"]),
        Index("tier_holds_until_idx", "tenant_id", "until", postgresql_where=text("until IS NOT NULL")),
        # Pins are few among tiers kept.
        Index("tier_holds_pins_idx", "tenant_id", "until", postgresql_where=text("kind = 'pin'")),
        CheckConstraint("kind IN ('pin', 'keep')", name="kind"),
    )

    participant_id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(SmallInteger)  # of the tier
    until: Mapped[datetime | None]  # when a job ends it; null: never
    reason: Mapped[str | None]
    held_by: Mapped[str | None]  # as the audit log calls them
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class TierChange(TenantRecord):
    """A change of a participant's tier that came after their entry `after_seq` and that no entry tells of, or a hold's."""

    __tablename__ = "tier_changes"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "participant_id"], ["participants.tenant_id", "participants.id"]),
        Index("tier_changes_at_idx", "tenant_id", "at"),  # rollups sum them in the order of time
        CheckConstraint(
            "cause IN ('published', 'requalified', 'registered', 'pinned', 'unpinned', 'pin_ended', 'keep_ended')", name="cause"
        ),
    )

    participant_id: Mapped[int] = mapped_column(primary_key=True)
    after_seq: Mapped[int] = mapped_column(primary_key=True)
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    at: Mapped[datetime]
    cause: Mapped[str]
    ladder_version: Mapped[int] = mapped_column(Integer)
    number_before: Mapped[int] = mapped_column(SmallInteger)
    number_after: Mapped[int] = mapped_column(SmallInteger)
    is_kept: Mapped[bool]  # whether a tier kept has a say from now on
    reason: Mapped[str | None]
    changed_by: Mapped[str | None]
