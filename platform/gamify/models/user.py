"""Users: people who sign in to the dashboard."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Identity, Index, func
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
    created_at: Mapped[datetime] = created_at()


Index("users_email_key", func.lower(User.email), unique=True)
