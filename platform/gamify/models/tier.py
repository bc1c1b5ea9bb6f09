"""Tiers: a tenant's ladder, in versions that never change once they are in force."""

from datetime import datetime

from sqlalchemy import ARRAY, BigInteger, CheckConstraint, ForeignKeyConstraint, Integer, SmallInteger, UniqueConstraint
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


class Ladder(TenantRecord):
    """One version of a tenant's tiers; the highest version is in force."""

    __tablename__ = "ladders"
    __table_args__ = (of_tenant(),)

    version: Mapped[int] = mapped_column(Integer, primary_key=True)
    thresholds: Mapped[list[int]] = mapped_column(ARRAY(BigInteger))  # of levels 1, 2, …; what an award looks at
    created_at: Mapped[datetime] = created_at()


class Tier(TenantRecord):
    """A rung: the status of everyone who has earned at least `threshold` points."""

    __tablename__ = "tiers"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "ladder_version"], ["ladders.tenant_id", "ladders.version"]),
        UniqueConstraint("tenant_id", "ladder_version", "code"),
        UniqueConstraint("tenant_id", "ladder_version", "threshold"),
        CheckConstraint("level >= 1", name="level"),
        CheckConstraint("threshold >= 0", name="threshold"),
    )

    ladder_version: Mapped[int] = mapped_column(Integer, primary_key=True)
    level: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    code: Mapped[str]
    name: Mapped[str]
    threshold: Mapped[int]
    colour: Mapped[str | None]  # one of `COLOURS`; null: by its code or level

    @property
    def tone(self) -> str:
        """The colour chosen, else that of a code which is one, else one by level."""
        return self.colour or (self.code if self.code in COLOURS else COLOURS[(self.level + 3) % len(COLOURS)])
