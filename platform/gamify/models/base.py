"""What every table has in common."""

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import BigInteger, DateTime, ForeignKeyConstraint, MetaData, Text, func
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

NAMES = {
    "pk": "%(table_name)s_pkey",
    "uq": "%(table_name)s_%(column_0_N_name)s_key",
    "ix": "%(table_name)s_%(column_0_N_name)s_idx",
    "ck": "%(table_name)s_%(constraint_name)s_check",
    "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
}


class Record(DeclarativeBase):
    """A row. Integers are 64 bits and times are aware, unless a column says otherwise."""

    metadata = MetaData(naming_convention=NAMES)
    type_annotation_map: ClassVar[dict[Any, Any]] = {int: BigInteger, str: Text, datetime: DateTime(timezone=True)}


class TenantRecord(Record):
    """A row of one tenant: `tenant_id` leads its key, and row-level security hides it from all others."""

    __abstract__ = True

    tenant_id: Mapped[int] = mapped_column(primary_key=True, sort_order=-1)


def of_tenant() -> ForeignKeyConstraint:
    """The tenant exists. Left out where every request inserts: its check would lock the tenant's row each time."""
    return ForeignKeyConstraint(["tenant_id"], ["tenants.id"])


def created_at() -> Mapped[datetime]:
    """When the row was made, by the database's clock."""
    return mapped_column(server_default=func.now())
