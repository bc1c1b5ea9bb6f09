"""API keys, and the digests by which they are found before the tenant is known."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Identity, Text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from gamify.models.base import Record, TenantRecord, created_at, of_tenant

REQUESTS_A_MINUTE = 1_000


class KeyDigest(Record):
    """Which key a secret belongs to. No policy guards this table, so it holds nothing but the way there."""

    __tablename__ = "key_digests"

    digest: Mapped[bytes] = mapped_column(primary_key=True)  # HMAC-SHA256 of the key under the pepper
    prefix: Mapped[str] = mapped_column(unique=True)
    tenant_id: Mapped[int] = mapped_column(ForeignKey("tenants.id"), index=True)
    api_key_id: Mapped[int]


class ApiKey(TenantRecord):
    """A key of a tenant. Its secret is shown once and not stored."""

    __tablename__ = "api_keys"
    __table_args__ = (of_tenant(), CheckConstraint("rate_limit >= 0", name="rate_limit"))

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    name: Mapped[str]
    prefix: Mapped[str]  # the first characters, to tell keys apart
    last_four: Mapped[str]
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    rate_limit: Mapped[int] = mapped_column(server_default=str(REQUESTS_A_MINUTE))  # requests a minute; 0: none
    allowed_networks: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default="{}")  # CIDR; none: from anywhere
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    replaced_by: Mapped[int | None]  # the key it was rolled to
    last_used_at: Mapped[datetime | None]  # to the minute
    last_used_address: Mapped[str | None]
    created_at: Mapped[datetime] = created_at()
