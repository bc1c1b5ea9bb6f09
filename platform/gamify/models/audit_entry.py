"""The audit logs: who changed what, one permanent row a change."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, declared_attr, mapped_column

from gamify.models.base import Record, TenantRecord, of_tenant

ACTOR_KINDS = ("user", "key", "command", "system")


class _Change:
    """What both logs tell of a change. Append-only: the app may read and insert, and a trigger stops everyone else."""

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=func.uuidv7())  # in the order of time
    at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    actor_kind: Mapped[str]
    actor: Mapped[str]  # an e-mail, the first characters of a key, or the account that ran a command
    actor_id: Mapped[int | None]  # of the user or the key
    address: Mapped[str | None]  # where the request came from
    action: Mapped[str]  # what was done to which kind of thing, such as `api_key.revoke`
    subject: Mapped[str]  # which one, as a person would name it
    before: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    after: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    request_id: Mapped[str | None]


def _kinds() -> CheckConstraint:
    return CheckConstraint(f"actor_kind IN ({', '.join(map(repr, ACTOR_KINDS))})", name="actor_kind")


class AuditEntry(_Change, TenantRecord):
    """A change to a tenant's own things, shown to its admins."""

    __tablename__ = "audit_entries"

    @declared_attr.directive
    @classmethod
    def __table_args__(cls) -> tuple[Any, ...]:
        """Its constraints."""
        return (of_tenant(), _kinds())


class PlatformAuditEntry(_Change, Record):
    """A change to tenants as such or to operators, shown to operators. It outlives the tenant and holds no policy."""

    __tablename__ = "platform_audit_entries"

    @declared_attr.directive
    @classmethod
    def __table_args__(cls) -> tuple[Any, ...]:
        """Its constraints."""
        return (_kinds(),)
