"""Tenants: client businesses, and the sandbox each one tries things in."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Identity, UniqueConstraint, false
from sqlalchemy.orm import Mapped, mapped_column

from gamify.models.base import Record, created_at

REQUESTS_A_MINUTE = 5_000


class Tenant(Record):
    """A client business, or (with `sandbox_of`) its test twin, which shares the slug and nothing else."""

    __tablename__ = "tenants"
    __table_args__ = (
        UniqueConstraint("slug", "sandbox_of", postgresql_nulls_not_distinct=True),
        UniqueConstraint("sandbox_of"),
        CheckConstraint("status IN ('active', 'suspended', 'deleting')", name="status"),
        CheckConstraint("rate_limit >= 0", name="rate_limit"),
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    slug: Mapped[str]
    name: Mapped[str]
    sandbox_of: Mapped[int | None] = mapped_column(ForeignKey("tenants.id"))
    status: Mapped[str] = mapped_column(server_default="active")
    rate_limit: Mapped[int] = mapped_column(server_default=str(REQUESTS_A_MINUTE))  # requests a minute; 0: none
    requires_totp: Mapped[bool] = mapped_column(server_default=false())  # of everybody who signs in
    time_zone: Mapped[str] = mapped_column(server_default="UTC")  # of its days; an IANA name
    created_at: Mapped[datetime] = created_at()

    @property
    def mode(self) -> str:
        """`live` or `test`."""
        return "live" if self.sandbox_of is None else "test"
