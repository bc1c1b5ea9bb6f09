"""The ledger: one permanent row a movement."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, Integer, SmallInteger, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSON
from sqlalchemy.orm import Mapped, mapped_column

from gamify.models.base import TenantRecord


class LedgerEntry(TenantRecord):
    """A movement of points and all that followed from it, enough to give its original answer again for ever.

    Append-only: the app's role may only read and insert, and a trigger stops everyone else.
    """

    __tablename__ = "ledger_entries"
    __table_args__ = (
        # The pair, not the id alone: an entry cannot name another tenant's participant.
        ForeignKeyConstraint(["tenant_id", "participant_id"], ["participants.tenant_id", "participants.id"]),
        # The id holds the time to the microsecond, so this is the tenant's ledger in the order of time.
        UniqueConstraint("tenant_id", "id"),
        # Once only, and the way from an entry to what has reversed it.
        ForeignKeyConstraint(["tenant_id", "reverses"], ["ledger_entries.tenant_id", "ledger_entries.id"]),
        Index(None, "tenant_id", "reverses", unique=True, postgresql_where=text("reverses IS NOT NULL")),
        # What a participant had at an instant.
        Index(None, "tenant_id", "participant_id", "created_at"),
        # How a participant came to their tier, and what was taken back of theirs: few entries of many.
        Index(
            "ledger_entries_tier_changes_idx",
            "tenant_id",
            "participant_id",
            "seq",
            postgresql_where=text("tier_before <> tier_after"),
        ),
        # The newest rises from tier to tier.
        Index("ledger_entries_rises_idx", "tenant_id", "id", postgresql_where=text("tier_after > tier_before")),
        Index(
            "ledger_entries_reversals_idx",
            "tenant_id",
            "participant_id",
            "created_at",
            postgresql_where=text("reverses IS NOT NULL"),
        ),
        CheckConstraint("type IN ('award', 'deduct', 'award_reversal', 'deduct_reversal')", name="type"),
        CheckConstraint("(reverses IS NOT NULL) = (type IN ('award_reversal', 'deduct_reversal'))", name="reverses"),
        CheckConstraint("points <> 0", name="moves_points"),
        CheckConstraint("balance_after >= 0", name="never_negative"),
    )

    participant_id: Mapped[int] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)  # 1, 2, … without a gap, within the participant
    id: Mapped[UUID]
    type: Mapped[str]
    points: Mapped[int]  # signed: awards are positive, deductions negative
    balance_after: Mapped[int]
    total_earned_after: Mapped[int]
    total_spent_after: Mapped[int]
    ladder_version: Mapped[int | None] = mapped_column(Integer)  # the ladder both tiers stand on; null: none yet
    tier_before: Mapped[int] = mapped_column(SmallInteger)
    tier_after: Mapped[int] = mapped_column(SmallInteger)
    reason: Mapped[str | None]
    metadata_: Mapped[str | None] = mapped_column("metadata", JSON)  # text as sent: jsonb would rewrite numbers
    idempotency_key: Mapped[str | None] = mapped_column(Text(collation="C"))
    api_key_id: Mapped[int | None]
    request_id: Mapped[str | None]
    created_at: Mapped[datetime]
    reverses: Mapped[UUID | None]  # the `id` of the entry that this one takes back
    user_id: Mapped[int | None]  # who moved the points by hand; no key then
