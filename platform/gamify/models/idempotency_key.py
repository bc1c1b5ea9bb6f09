"""Idempotency keys: what each has decided, for ever."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Text
from sqlalchemy.dialects.postgresql import JSON
from sqlalchemy.orm import Mapped, mapped_column

from gamify.models.base import TenantRecord, created_at


class IdempotencyKey(TenantRecord):
    """One key, one effect, one answer: a movement, a refusal or a whole batch, all under this one primary key."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (CheckConstraint("num_nonnulls(entry_id, available, response) = 1", name="one_outcome"),)

    key: Mapped[str] = mapped_column(Text(collation="C"), primary_key=True)
    fingerprint: Mapped[bytes]  # of the request the key stands for
    entry_id: Mapped[UUID | None]  # the movement made, or
    available: Mapped[int | None]  # the balance that was too small, or
    response: Mapped[Any | None] = mapped_column(JSON(none_as_null=True))  # the answer of a whole batch, or of another change
    created_at: Mapped[datetime] = created_at()
