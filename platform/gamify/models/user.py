"""Users: people who sign in to the dashboard."""

from datetime import datetime

from sqlalchemy import ARRAY, CheckConstraint, ForeignKey, Identity, Index, LargeBinary, func
from sqlalchemy.orm import Mapped, mapped_column

from gamify.models.base import Record, created_at


class User(Record):
    """Staff of a tenant, or an operator of the platform, who has no tenant."""

    __tablename__ = "users"
    __table_args__ = (
        CheckConstraint("role IN ('admin', 'analyst', 'operator')", name="role"),
        CheckConstraint("(role = 'operator') = (tenant_id IS NULL)", name="operators_have_no_tenant"),
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    tenant_id: Mapped[int | None] = mapped_column(ForeignKey("tenants.id"), index=True)
    email: Mapped[str]
    password_hash: Mapped[str]  # argon2id
    role: Mapped[str]
    totp_secret: Mapped[bytes | None]  # encrypted; null: no second factor
    totp_step: Mapped[int] = mapped_column(server_default="0")  # of the last code accepted, so that none works twice
    recovery_digests: Mapped[list[bytes]] = mapped_column(ARRAY(LargeBinary), server_default="{}")  # of codes not used yet
    removed_at: Mapped[datetime | None]  # may not sign in any more
    created_at: Mapped[datetime] = created_at()


# Of people who may sign in: somebody who was removed can be invited again.
Index("users_email_key", func.lower(User.email), unique=True, postgresql_where=User.removed_at.is_(None))
