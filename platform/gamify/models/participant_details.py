"""What a business calls a participant and knows of them, apart from the row that every movement locks."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKeyConstraint, Index, func
from sqlalchemy.orm import Mapped, mapped_column

from gamify.models.base import TenantRecord


class ParticipantDetails(TenantRecord):
    """A participant's name and the tenant's own data about them; who has neither needs no row."""

    __tablename__ = "participant_details"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "participant_id"], ["participants.tenant_id", "participants.id"]),
        # Parts of names, in whatever place.
        Index(
            "participant_details_fragments_idx",
            "tenant_id",
            "display_name",
            postgresql_using="gin",
            postgresql_ops={"display_name": "gin_trgm_ops"},
        ),
    )

    participant_id: Mapped[int] = mapped_column(primary_key=True)
    display_name: Mapped[str | None]
    attributes: Mapped[dict[str, Any]] = mapped_column(JSON, server_default="{}")  # text as sent: jsonb would rewrite numbers
    updated_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class Erasure(TenantRecord):
    """A participant who is erased, while words about them are still left in their entries; gone when none are."""

    __tablename__ = "erasures"
    __table_args__ = (ForeignKeyConstraint(["tenant_id", "participant_id"], ["participants.tenant_id", "participants.id"]),)

    participant_id: Mapped[int] = mapped_column(primary_key=True)
    blanked_count: Mapped[int] = mapped_column(server_default="0")
    entry_count: Mapped[int]
