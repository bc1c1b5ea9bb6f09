"""How many API requests a tenant has sent, month by month."""

from datetime import date

from sqlalchemy.orm import Mapped, mapped_column

from gamify.models.base import TenantRecord, of_tenant


class RequestMonth(TenantRecord):
    """Requests of one month (UTC) under a valid key, counted as keys are used: up to a minute late."""

    __tablename__ = "request_months"
    __table_args__ = (of_tenant(),)

    month: Mapped[date] = mapped_column(primary_key=True)  # its first day
    request_count: Mapped[int]
