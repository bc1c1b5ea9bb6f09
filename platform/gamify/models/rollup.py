"""Rollups: what follows from the ledger, summed up to an instant, so that no page has to read all of it."""

from datetime import datetime

from sqlalchemy import ForeignKeyConstraint, Index, SmallInteger
from sqlalchemy.orm import Mapped, mapped_column

from gamify.models.base import TenantRecord, of_tenant


class RollupProgress(TenantRecord):
    """How far a tenant's ledger is summed; what came later is added when rollups are read.

    No new entry is dated before `planned_until` (see migrations/sql/0005_rollups.sql).
    """

    __tablename__ = "rollup_progress"
    __table_args__ = (of_tenant(),)

    planned_until: Mapped[datetime]
    summed_until: Mapped[datetime] = mapped_column(server_default="1970-01-01 00:00:00+00")  # exclusive


class LedgerQuarter(TenantRecord):
    """Entries of a quarter of an hour (UTC) by one API key; key 0 stands for people and for entries without a key.

    Points are positive, whatever their direction.
    """

    __tablename__ = "ledger_quarters"
    __table_args__ = (of_tenant(),)

    quarter: Mapped[datetime] = mapped_column(primary_key=True)  # its first instant
    api_key_id: Mapped[int] = mapped_column(primary_key=True)
    award_points: Mapped[int]
    deduct_points: Mapped[int]
    award_reversal_points: Mapped[int]
    deduct_reversal_points: Mapped[int]
    award_count: Mapped[int]
    deduct_count: Mapped[int]
    award_reversal_count: Mapped[int]
    deduct_reversal_count: Mapped[int]
    joined_count: Mapped[int]  # participants whose first entry is among these


class ParticipantStanding(TenantRecord):
    """A participant as of their last summed entry, in indexes that awards do not have to touch."""

    __tablename__ = "participant_standings"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "participant_id"], ["participants.tenant_id", "participants.id"]),
        # A page in any order, of one tier or (merged from all of them) of everybody; the rest is in the index, too.
        Index(
            "participant_standings_balance_idx",
            "tenant_id",
            "tier",
            "balance",
            "participant_id",
            postgresql_include=["last_entry_at"],
        ),
        Index(
            "participant_standings_total_earned_idx",
            "tenant_id",
            "tier",
            "total_earned",
            "participant_id",
            postgresql_include=["last_entry_at"],
        ),
        Index("participant_standings_last_entry_at_idx", "tenant_id", "tier", "last_entry_at", "participant_id"),
    )

    participant_id: Mapped[int] = mapped_column(primary_key=True)
    tier: Mapped[int] = mapped_column(SmallInteger)
    balance: Mapped[int]
    total_earned: Mapped[int]
    last_entry_at: Mapped[datetime]


class TierStanding(TenantRecord):
    """How many standings there are on a tier (0: none), and their balances together."""

    __tablename__ = "tier_standings"
    __table_args__ = (of_tenant(),)

    tier: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    participant_count: Mapped[int]
    points: Mapped[int]
