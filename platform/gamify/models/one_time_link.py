"""Links that work once: invitations, and resets of a password."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from gamify.models.base import Record, created_at


class OneTimeLink(Record):
    """A link sent to somebody's e-mail address. Only a digest of its token is kept."""

    __tablename__ = "one_time_links"
    __table_args__ = (
        CheckConstraint("purpose IN ('invitation', 'reset')", name="purpose"),
        CheckConstraint("(purpose = 'reset') = (user_id IS NOT NULL)", name="resets_have_a_user"),
        CheckConstraint("(purpose = 'invitation') = (role IS NOT NULL)", name="invitations_have_a_role"),
    )

    digest: Mapped[bytes] = mapped_column(primary_key=True)  # SHA-256 of the token
    purpose: Mapped[str]
    email: Mapped[str]
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"), index=True)
    tenant_id: Mapped[int | None] = mapped_column(ForeignKey("tenants.id"), index=True)  # null: an operator's
    role: Mapped[str | None]  # that an invited person will have
    created_at: Mapped[datetime] = created_at()
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]  # or withdrawn
