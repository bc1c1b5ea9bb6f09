"""Participants: those who collect points, and the balance the ledger has led to."""

from datetime import datetime

from sqlalchemy import CheckConstraint, Identity, Index, Integer, SmallInteger, Text, UniqueConstraint, false
from sqlalchemy.orm import Mapped, mapped_column

from gamify.models.base import TenantRecord, created_at, of_tenant


class Participant(TenantRecord):
    """Everything here but the two ids follows from the ledger; the row is its cache and its lock.

    `external_id` is the tenant's own id for the person (`participant_id` in the API); the ledger refers to `id` only.
    """

    __tablename__ = "participants"
    __table_args__ = (
        of_tenant(),
        UniqueConstraint("tenant_id", "external_id"),
        CheckConstraint("balance >= 0", name="never_negative"),
        CheckConstraint("balance = total_earned - total_spent", name="adds_up"),
        # Parts of ids, in whatever place.
        Index(
            "participants_id_fragments_idx",
            "tenant_id",
            "external_id",
            postgresql_using="gin",
            postgresql_ops={"external_id": "gin_trgm_ops"},
        ),
        # Room on each page lets an update stay there and leave the indexes alone.
        {"postgresql_with": {"fillfactor": "70"}},
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    external_id: Mapped[str] = mapped_column(Text(collation="C"))  # compared and ordered byte by byte
    balance: Mapped[int]
    total_earned: Mapped[int]
    total_spent: Mapped[int]
    entry_count: Mapped[int]  # also the `seq` of the last entry
    tier: Mapped[int] = mapped_column(SmallInteger)  # the number of the tier held; 0: none
    last_entry_at: Mapped[datetime]
    created_at: Mapped[datetime] = created_at()
    ladder_version: Mapped[int] = mapped_column(Integer, server_default="0")  # which has last had a say; 0: none yet
    is_held: Mapped[bool] = mapped_column(server_default=false())  # whether `tier_holds` have a say
    erased_at: Mapped[datetime | None]  # from then on `external_id` is nobody's
