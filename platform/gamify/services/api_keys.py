"""API keys: issue, find, roll, revoke, and who a key speaks for."""

import hashlib
import hmac
import secrets
import string
import zlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from gamify.db import Database, act_as
from gamify.errors import Conflict, FieldError, Invalid, NotFound
from gamify.models import ApiKey, KeyDigest, Tenant
from gamify.models.api_key import REQUESTS_A_MINUTE
from gamify.services import audit, networks
from gamify.services.audit import Actor
from gamify.services.networks import Network
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

# How long a rolled key may go on.
OVERLAPS = {"0h": timedelta(0), "1h": timedelta(hours=1), "24h": timedelta(hours=24), "7d": timedelta(days=7)}


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a valid key speaks for, and what it may do. Limits are requests a minute; 0 is none. No networks: from anywhere."""

    tenant_id: int
    api_key_id: int
    prefix: str
    scopes: frozenset[str]
    key_limit: int
    tenant_limit: int
    is_suspended: bool
    networks: tuple[Network, ...]
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
    allowed_networks: Iterable[str] = (),
    expires_at: datetime | None = None,
    now: datetime | None = None,
) -> tuple[ApiKey, str]:
    """Create an API key and return it with its secret, which is never readable again. No scopes means all of them.

    Raises `Invalid` for an unknown scope, an unusable name or network, a negative limit or an expiry before `now`.
    """
    granted = sorted(set(scopes)) or list(SCOPES)
    within, errors = networks.parse(allowed_networks)
    errors += _unusable(name, granted, rate_limit)
    if expires_at is not None and expires_at <= (now or datetime.now(UTC)):
        errors.append(FieldError("expires_at", "Must lie in the future."))
    if errors:
        raise Invalid(errors)
    wanted = ApiKey(name=name, scopes=granted, rate_limit=rate_limit, allowed_networks=within, expires_at=expires_at)
    key, secret = _store(session, tenant, wanted, pepper=pepper)
    said = {"name": name, "mode": tenant.mode, "scopes": granted, "rate_limit": rate_limit, "allowed_networks": within}
    said |= {"expires_at": expires_at and expires_at.isoformat()}
    audit.record(session, tenant.id, actor, action="api_key.issue", subject=key.prefix, after=said)
    return key, secret


def roll(
    session: Session,
    prefix: str,
    *,
    overlap: timedelta,
    pepper: str,
    actor: Actor,
    now: datetime,
    of: Collection[int] | None = None,
) -> tuple[ApiKey, str]:
    """Replace a key by one that may do the same; return the new one with its secret.

    The old one goes on for `overlap` (one of `OVERLAPS`), though never beyond its own expiry. The new one is valid for as
    long as the old one was made for. Raises `NotFound` (see `get`), and `Conflict` for a key out of use or rolled before.
    """
    if overlap not in OVERLAPS.values():
        raise Invalid([FieldError("overlap", f"Must be one of {', '.join(OVERLAPS)}.")])
    old = get(session, prefix, of=of)
    if (state := state_of(old, now=now)) != "valid":
        raise Conflict(f"The key {old.prefix}… is {state} already; issue a new one.")
    wanted = ApiKey(name=old.name, scopes=old.scopes, rate_limit=old.rate_limit)
    wanted.allowed_networks = old.allowed_networks
    wanted.expires_at = now + (old.expires_at - old.created_at) if old.expires_at else None
    tenant = session.get_one(Tenant, old.tenant_id)
    key, secret = _store(session, tenant, wanted, pepper=pepper)
    old.replaced_by = key.id
    old.expires_at = min(now + overlap, old.expires_at or now + overlap)
    if not overlap:
        old.revoked_at = now  # whatever the clocks of other machines say
    session.flush()
    said = {"name": old.name, "replaced_by": key.prefix, "valid_until": old.expires_at.isoformat()}
    audit.record(session, tenant.id, actor, action="api_key.roll", subject=old.prefix, after=said)
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
        row = connection.execute("SELECT * FROM caller_of_key(%s, %s)", [tenant_id, api_key_id], prepare=True).fetchone()
    if row is None:
        return None
    prefix, scopes, key_limit, tenant_limit, status, allowed, expires_at, revoked_at = row
    if revoked_at or (expires_at and expires_at <= now):
        return None
    return Caller(
        tenant_id=tenant_id,
        api_key_id=api_key_id,
        prefix=prefix,
        scopes=frozenset(scopes),
        key_limit=key_limit,
        tenant_limit=tenant_limit,
        is_suspended=status != "active",
        networks=networks.of_stored(allowed),
        expires_at=expires_at,
    )


def state_of(key: ApiKey, *, now: datetime) -> str:
    """`valid`, `rolling` (replaced, and valid until it expires), `expired` or `revoked`."""
    if key.revoked_at:
        return "revoked"
    if key.expires_at and key.expires_at <= now:
        return "expired"
    return "rolling" if key.replaced_by else "valid"


def of_tenant(session: Session, tenant: Tenant) -> Sequence[ApiKey]:
    """Return the tenant's keys, oldest first."""
    act_as(session, tenant.id)
    return session.scalars(select(ApiKey).where(ApiKey.tenant_id == tenant.id).order_by(ApiKey.id)).all()


def get(session: Session, prefix: str, *, of: Collection[int] | None = None) -> ApiKey:
    """Return the key with this prefix (or whole key), locked until the transaction ends, and act as its tenant.

    With `of`, only keys of these tenants are there at all. Raises `NotFound`.
    """
    known = select(KeyDigest).where(KeyDigest.prefix == prefix[:PREFIX_LENGTH])
    found = session.scalar(known) if prefix.isascii() and prefix.isprintable() else None
    if found is None or (of is not None and found.tenant_id not in of):
        raise NotFound(f"There is no API key that begins with {prefix[:PREFIX_LENGTH]}.")
    act_as(session, found.tenant_id)
    query = select(ApiKey).where(ApiKey.tenant_id == found.tenant_id, ApiKey.id == found.api_key_id)
    return session.scalars(query.with_for_update(key_share=True).execution_options(populate_existing=True)).one()


def revoke(session: Session, prefix: str, *, actor: Actor, of: Collection[int] | None = None) -> ApiKey:
    """Put a key out of use. Raises `NotFound` (see `get`). Revoking twice changes nothing."""
    key = get(session, prefix, of=of)
    if key.revoked_at is None:
        key.revoked_at = session.scalar(select(func.now()))
        session.flush()
        audit.record(session, key.tenant_id, actor, action="api_key.revoke", subject=key.prefix, before={"name": key.name})
    return key


def _unusable(name: str, scopes: Iterable[str], rate_limit: int) -> list[FieldError]:
    errors = [FieldError("scope", f"There is no scope {s}; there are {', '.join(SCOPES)}.") for s in scopes if s not in SCOPES]
    if not name.strip() or len(name) > LONGEST_NAME or "\0" in name:
        errors.append(FieldError("name", f"Must be 1 to {LONGEST_NAME} characters."))
    if not 0 <= rate_limit <= LARGEST_RATE_LIMIT:
        errors.append(FieldError("rate_limit", f"Must be from 0 (no limit) to {LARGEST_RATE_LIMIT} requests a minute."))
    return errors


def _store(session: Session, tenant: Tenant, key: ApiKey, *, pepper: str) -> tuple[ApiKey, str]:
    """Give a key its secret and store both, the secret as its digest."""
    act_as(session, tenant.id)
    secret = new_secret(tenant.mode)
    key.tenant_id, key.prefix, key.last_four = tenant.id, secret[:PREFIX_LENGTH], secret[-4:]
    session.add(key)
    session.flush()
    session.add(KeyDigest(digest=digest(secret, pepper), prefix=key.prefix, tenant_id=tenant.id, api_key_id=key.id))
    session.flush()
    return key, secret


def _check_characters(body: str) -> str:
    number = zlib.crc32(body.encode())
    digits = ""
    for _ in range(CHECK_LENGTH):
        number, digit = divmod(number, len(BASE62))
        digits = BASE62[digit] + digits
    return digits
