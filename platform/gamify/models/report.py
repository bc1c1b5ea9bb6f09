"""What a tenant says about its reports: what they are broken down by, what a point costs, which are kept under a name."""

from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import CheckConstraint, Identity, Numeric, SmallInteger, UniqueConstraint, false
from sqlalchemy.orm import Mapped, mapped_column

from gamify.models.base import TenantRecord, created_at, of_tenant


class Dimension(TenantRecord):
    """A member of the metadata by whose values reports break movements down; the dimension 0, reasons, needs no row."""

    __tablename__ = "dimensions"
    __table_args__ = (
        of_tenant(),
        UniqueConstraint("tenant_id", "metadata_key"),
        CheckConstraint("number BETWEEN 1 AND 3", name="number"),
    )

    number: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    metadata_key: Mapped[str]
    is_ready: Mapped[bool] = mapped_column(server_default=false())  # what is summed is broken down by it
    done_until: Mapped[datetime] = mapped_column(server_default="1970-01-01 00:00:00+00")  # how far, while it is not ready
    created_at: Mapped[datetime] = created_at()


class PointCost(TenantRecord):
    """What an outstanding point costs from a day on, until the next one of these."""

    __tablename__ = "point_costs"
    __table_args__ = (of_tenant(), CheckConstraint("cost >= 0", name="cost"))

    valid_from: Mapped[date] = mapped_column(primary_key=True)
    cost: Mapped[Decimal] = mapped_column(Numeric(20, 10))
    currency: Mapped[str]  # three letters, as in ISO 4217


class SavedReport(TenantRecord):
    """A report as its address has it, under a name that everybody of the tenant sees."""

    __tablename__ = "saved_reports"
    __table_args__ = (of_tenant(), UniqueConstraint("tenant_id", "name"))

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    name: Mapped[str]
    kind: Mapped[str]
    query: Mapped[str]
    saved_by: Mapped[str]  # as the audit log calls them
    created_at: Mapped[datetime] = created_at()
