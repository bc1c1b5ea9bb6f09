"""API keys: issue, find, revoke, and who a key speaks for."""

import hashlib
import hmac
import secrets
import string
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from gamify.db import Database, act_as
from gamify.errors import FieldError, Invalid, NotFound
from gamify.models import ApiKey, KeyDigest, Tenant
from gamify.models.api_key import REQUESTS_A_MINUTE
from gamify.services import audit
from gamify.services.audit import Actor
from gamify.services.tenants import LARGEST_RATE_LIMIT

SCOPES = (
    "points:read",
    "points:write",
    "participants:read",
    "participants:write",
    "tiers:read",
    "tiers:write",
    "reports:read",
)
BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
SECRET_LENGTH, CHECK_LENGTH, PREFIX_LENGTH = 32, 6, 16
LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a valid key speaks for, and what it may do. Limits are requests a minute; 0 is none."""

    tenant_id: int
    api_key_id: int
    scopes: frozenset[str]
    key_limit: int
    tenant_limit: int
    is_suspended: bool
    expires_at: datetime | None


def new_secret(mode: str) -> str:
    """Make a key: `gk_live_` or `gk_test_`, 32 random base62 characters and 6 that check them."""
    body = f"gk_{mode}_" + "".join(secrets.choice(BASE62) for _ in range(SECRET_LENGTH))
    return body + _check_characters(body)


def is_well_formed(secret: str) -> bool:
    """Whether the text can be a key at all; junk is refused without looking it up."""
    if len(secret) != len("gk_live_") + SECRET_LENGTH + CHECK_LENGTH or not secret.startswith(("gk_live_", "gk_test_")):
        return False
    return secret.isascii() and _check_characters(secret[:-CHECK_LENGTH]) == secret[-CHECK_LENGTH:]


def digest(secret: str, pepper: str) -> bytes:
    """What is stored in place of a key: HMAC-SHA256 under the deployment's pepper."""
    return hmac.digest(pepper.encode(), secret.encode(), hashlib.sha256)


def issue(
    session: Session,
    tenant: Tenant,
    *,
    name: str,
    pepper: str,
    actor: Actor,
    scopes: Iterable[str] = (),
    rate_limit: int = REQUESTS_A_MINUTE,
) -> tuple[ApiKey, str]:
    """Create an API key and return it with its secret, which is never readable again. No scopes means all of them.

    Raises `Invalid` for an unknown scope, an unusable name or a negative limit.
    """
    granted = sorted(set(scopes)) or list(SCOPES)
    errors = [FieldError("scope", f"There is no scope {s}; there are {', '.join(SCOPES)}.") for s in granted if s not in SCOPES]
    if not name.strip() or len(name) > LONGEST_NAME or "\0" in name:
        errors.append(FieldError("name", f"Must be 1 to {LONGEST_NAME} characters."))
    if not 0 <= rate_limit <= LARGEST_RATE_LIMIT:
        errors.append(FieldError("rate_limit", f"Must be from 0 (no limit) to {LARGEST_RATE_LIMIT} requests a minute."))
    if errors:
        raise Invalid(errors)
    act_as(session, tenant.id)
    secret = new_secret(tenant.mode)
    key = ApiKey(
        tenant_id=tenant.id,
        name=name,
        prefix=secret[:PREFIX_LENGTH],
        last_four=secret[-4:],
        scopes=granted,
        rate_limit=rate_limit,
    )
    session.add(key)
    session.flush()
    session.add(KeyDigest(digest=digest(secret, pepper), prefix=key.prefix, tenant_id=tenant.id, api_key_id=key.id))
    session.flush()
    said = {"name": name, "mode": tenant.mode, "scopes": granted, "rate_limit": rate_limit}
    audit.record(session, tenant.id, actor, action="api_key.issue", subject=key.prefix, after=said)
    return key, secret


def find(database: Database, key_digest: bytes) -> tuple[int, int] | None:
    """Return the numbers of the tenant and the key with this digest; None if nobody was ever given it."""
    query = "SELECT tenant_id, api_key_id FROM key_digests WHERE digest = %s"
    with database.connection() as connection:
        found: tuple[int, int] | None = connection.execute(query, [key_digest], prepare=True).fetchone()
    return found


def authenticate(database: Database, tenant_id: int, api_key_id: int, *, now: datetime) -> Caller | None:
    """Return who a key speaks for at `now`; None if it is revoked or expired."""
    with database.connection() as connection:
        row = connection.execute("SELECT * FROM caller_of(%s, %s)", [tenant_id, api_key_id], prepare=True).fetchone()
    if row is None:
        return None
    scopes, key_limit, tenant_limit, status, expires_at, revoked_at = row
    if revoked_at or (expires_at and expires_at <= now):
        return None
    return Caller(tenant_id, api_key_id, frozenset(scopes), key_limit, tenant_limit, status != "active", expires_at)


def of_tenant(session: Session, tenant: Tenant) -> Sequence[ApiKey]:
    """Return the tenant's keys, oldest first."""
    act_as(session, tenant.id)
    return session.scalars(select(ApiKey).where(ApiKey.tenant_id == tenant.id).order_by(ApiKey.id)).all()


def revoke(session: Session, prefix: str, *, actor: Actor) -> ApiKey:
    """Put the key with this prefix (or whole key) out of use. Raises `NotFound`. Revoking twice changes nothing."""
    found = session.scalar(select(KeyDigest).where(KeyDigest.prefix == prefix[:PREFIX_LENGTH]))
    if found is None:
        raise NotFound(f"There is no API key that begins with {prefix[:PREFIX_LENGTH]}.")
    act_as(session, found.tenant_id)
    key = session.scalars(select(ApiKey).where(ApiKey.tenant_id == found.tenant_id, ApiKey.id == found.api_key_id)).one()
    if key.revoked_at is None:
        key.revoked_at = session.scalar(select(func.now()))
        session.flush()
        audit.record(session, key.tenant_id, actor, action="api_key.revoke", subject=key.prefix, before={"name": key.name})
    return key


def _check_characters(body: str) -> str:
    number = zlib.crc32(body.encode())
    digits = ""
    for _ in range(CHECK_LENGTH):
        number, digit = divmod(number, len(BASE62))
        digits = BASE62[digit] + digits
    return digits
