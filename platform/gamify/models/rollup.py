"""Rollups: what follows from the ledger, summed up to an instant, so that no page has to read all of it."""

from datetime import date, datetime

from sqlalchemy import ForeignKeyConstraint, Identity, Index, Integer, SmallInteger, UniqueConstraint
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
    made_by: Mapped[int] = mapped_column(Integer, server_default="1")  # which rules have made all of it
    time_zone: Mapped[str] = mapped_column(server_default="UTC")  # whose days are summed


class Movements:
    """Columns that sum entries by their type. Points are positive, whatever their direction."""

    award_points: Mapped[int]
    deduct_points: Mapped[int]
    award_reversal_points: Mapped[int]
    deduct_reversal_points: Mapped[int]
    award_count: Mapped[int]
    deduct_count: Mapped[int]
    award_reversal_count: Mapped[int]
    deduct_reversal_count: Mapped[int]


class LedgerQuarter(Movements, TenantRecord):
    """Entries of a quarter of an hour (UTC) by one API key; key 0 stands for people and for entries without a key."""

    __tablename__ = "ledger_quarters"
    __table_args__ = (of_tenant(),)

    quarter: Mapped[datetime] = mapped_column(primary_key=True)  # its first instant
    api_key_id: Mapped[int] = mapped_column(primary_key=True)
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


class TierQuarter(Movements, TenantRecord):
    """Entries of a quarter of an hour by the tier (its number; 0: none) that their participants were on before them."""

    __tablename__ = "tier_quarters"
    __table_args__ = (of_tenant(),)

    quarter: Mapped[datetime] = mapped_column(primary_key=True)
    tier: Mapped[int] = mapped_column(SmallInteger, primary_key=True)


class TierFlowQuarter(TenantRecord):
    """Who went from one tier to another in a quarter of an hour, and the balances that they took with them.

    Tiers are numbers, 0 for none; who is new comes from -1.
    """

    __tablename__ = "tier_flow_quarters"
    __table_args__ = (of_tenant(),)

    quarter: Mapped[datetime] = mapped_column(primary_key=True)
    tier_from: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    tier_to: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    participant_count: Mapped[int]
    points: Mapped[int]


class Word(TenantRecord):
    """A reason (dimension 0), or a value of a member of the metadata that is a dimension of reports.

    There are only so many of each: what comes later goes by the id 0, and entries without any by -1. Null: nobody has said
    it who is still known.
    """

    __tablename__ = "words"
    __table_args__ = (of_tenant(), UniqueConstraint("tenant_id", "dimension", "word"))

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    dimension: Mapped[int] = mapped_column(SmallInteger)
    word: Mapped[str | None]


class WordQuarter(Movements, TenantRecord):
    """Entries of a quarter of an hour by a word of one dimension."""

    __tablename__ = "word_quarters"
    __table_args__ = (of_tenant(),)

    quarter: Mapped[datetime] = mapped_column(primary_key=True)
    dimension: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    word_id: Mapped[int] = mapped_column(primary_key=True)


class ActivityDay(TenantRecord):
    """Participants who have an entry on a day of the tenant's zone, by the month of their first one.

    Each counts once: on their first entry of the day, of its week (from Monday) and of its month. So the sum over a week is
    who was active in it.
    """

    __tablename__ = "activity_days"
    __table_args__ = (of_tenant(),)

    day: Mapped[date] = mapped_column(primary_key=True)
    cohort: Mapped[date] = mapped_column(primary_key=True)  # the first day of the month
    day_count: Mapped[int]
    week_count: Mapped[int]
    month_count: Mapped[int]


class AwardSizeDay(TenantRecord):
    """Awards of a day of the tenant's zone by their size, in steps (see gamify.services.measures)."""

    __tablename__ = "award_size_days"
    __table_args__ = (of_tenant(),)

    day: Mapped[date] = mapped_column(primary_key=True)
    step: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    award_count: Mapped[int]
    points: Mapped[int]


class BalanceStanding(TenantRecord):
    """How many standings there are by the size of their balance, in steps, and those balances together."""

    __tablename__ = "balance_standings"
    __table_args__ = (of_tenant(),)

    step: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    participant_count: Mapped[int]
    points: Mapped[int]
