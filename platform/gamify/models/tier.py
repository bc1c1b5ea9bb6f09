"""Tiers: a tenant's ladder, in versions that never change once they are in force."""

from datetime import datetime

from sqlalchemy import ARRAY, BigInteger, CheckConstraint, ForeignKeyConstraint, Integer, SmallInteger, UniqueConstraint, true
from sqlalchemy.orm import Mapped, mapped_column

from gamify.models.base import TenantRecord, created_at, of_tenant

# Colours that can be told apart on light and dark; what each looks like is in the dashboard's styles.
COLOURS = (
    "slate",
    "bronze",
    "silver",
    "gold",
    "platinum",
    "emerald",
    "teal",
    "sky",
    "indigo",
    "violet",
    "rose",
    "orange",
)


def tone_of(code: str, level: int, colour: str | None) -> str:
    """The colour chosen, else that of a code which is one, else one by level."""
    return colour or (code if code in COLOURS else COLOURS[(level + 3) % len(COLOURS)])


BASES = ("lifetime", "window", "year")  # which points count: all ever earned, those of some days, those of a calendar year
FALLING = ("keep", "keep_until", "move_down")  # what becomes of those whom a new ladder would take down
EFFECTS = ("now", "next_award")  # when a new ladder moves those whom it moves


class Ladder(TenantRecord):
    """One version of a tenant's tiers; the highest version is in force.

    It never changes but for `is_settled`: whether everybody is where it puts them (see migrations/sql/0007_ladders.sql).
    """

    __tablename__ = "ladders"
    __table_args__ = (
        of_tenant(),
        CheckConstraint("basis IN ('lifetime', 'window', 'year')", name="basis"),
        CheckConstraint("(basis = 'window') = (window_days IS NOT NULL)", name="window"),
        CheckConstraint("(basis = 'year') = (grace_days IS NOT NULL)", name="grace"),
        CheckConstraint("falling IN ('keep', 'keep_until', 'move_down')", name="falling"),
        CheckConstraint("(falling = 'keep_until') = (kept_until IS NOT NULL)", name="kept_until"),
        CheckConstraint("effect IN ('now', 'next_award')", name="effect"),
    )

    version: Mapped[int] = mapped_column(Integer, primary_key=True)
    thresholds: Mapped[list[int]] = mapped_column(ARRAY(BigInteger))  # of levels 1, 2, …; what an award looks at
    numbers: Mapped[list[int]] = mapped_column(ARRAY(SmallInteger))  # of the tiers on levels 1, 2, …
    floors: Mapped[list[int]] = mapped_column(ARRAY(SmallInteger))  # by number 1, 2, …: its holders' level here; 0: none
    basis: Mapped[str] = mapped_column(server_default="lifetime")
    window_days: Mapped[int | None] = mapped_column(Integer)
    grace_days: Mapped[int | None] = mapped_column(Integer)  # for which the year before still counts
    time_zone: Mapped[str] = mapped_column(server_default="UTC")  # in which years begin
    falling: Mapped[str] = mapped_column(server_default="move_down")
    kept_until: Mapped[datetime | None]
    effect: Mapped[str] = mapped_column(server_default="now")
    is_settled: Mapped[bool] = mapped_column(server_default=true())
    reason: Mapped[str | None]
    published_by: Mapped[str | None]  # as the audit log calls them
    created_at: Mapped[datetime] = created_at()


class Tier(TenantRecord):
    """A rung: the status of everyone who has earned at least `threshold` points."""

    __tablename__ = "tiers"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "ladder_version"], ["ladders.tenant_id", "ladders.version"]),
        UniqueConstraint("tenant_id", "ladder_version", "code"),
        UniqueConstraint("tenant_id", "ladder_version", "threshold"),
        UniqueConstraint("tenant_id", "ladder_version", "number"),
        CheckConstraint("level >= 1", name="level"),
        CheckConstraint("threshold >= 0", name="threshold"),
    )

    ladder_version: Mapped[int] = mapped_column(Integer, primary_key=True)
    level: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    code: Mapped[str]
    number: Mapped[int] = mapped_column(SmallInteger)  # the tenant's own of this code, the same in every version
    name: Mapped[str]
    threshold: Mapped[int]
    colour: Mapped[str | None]  # one of `COLOURS`; null: by its code or level

    @property
    def tone(self) -> str:
        """The colour it is shown in."""
        return tone_of(self.code, self.level, self.colour)
