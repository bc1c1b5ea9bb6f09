"""Tenants and their sandboxes."""

import re
from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from gamify.db import act_as
from gamify.errors import Conflict, FieldError, Invalid, NotFound
from gamify.models import Tenant
from gamify.services import audit, rollups, tiers, zones
from gamify.services.audit import Actor

SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
LONGEST_NAME = 200
LARGEST_RATE_LIMIT = 2**53 - 1  # Redis scripts count in doubles
MODES = ("live", "test")
DELETING = "deleting"  # the status that is never left
STARTER_TIERS = {"bronze": 0, "silver": 500, "gold": 1500}


def create(session: Session, *, slug: str, name: str, actor: Actor) -> Tenant:
    """Create a tenant with its sandbox and starter tiers on both; return the live one.

    Raises `Invalid` for an unusable slug or name, `Conflict` for a slug that is taken.
    """
    check_name(name)
    claim(session, slug)
    live = Tenant(slug=slug, name=name)
    session.add(live)
    session.flush()
    sandbox = Tenant(slug=slug, name=name, sandbox_of=live.id)
    session.add(sandbox)
    session.flush()
    for tenant in (live, sandbox):
        act_as(session, tenant.id)
        rollups.start(session, tenant.id)
        tiers.put(session, tenant.id, STARTER_TIERS, {}, policy=tiers.MOVE_NOW, actor=actor, is_settled=True)
    _record(session, live, actor, "create", after={"name": name})
    return live


def claim(session: Session, slug: str) -> str:
    """Keep a slug for a tenant that this transaction makes. Raises `Invalid` for an unusable one, `Conflict` for one taken."""
    if not SLUG.fullmatch(slug):
        raise Invalid([FieldError("slug", "Must be 1 to 63 lower-case letters, digits and inner hyphens.")])
    # Two commands may create the same slug at once: the second waits here and then finds the first's.
    session.execute(select(func.pg_advisory_xact_lock(func.hashtext("tenant " + slug))))
    if _find(session, slug, "live"):
        raise Conflict(f"The tenant {slug} exists already.")
    return slug


def get(session: Session, slug: str, *, mode: str = "live") -> Tenant:
    """Return the tenant or its sandbox. Raises `NotFound`."""
    tenant = _find(session, slug, mode)
    if tenant is None:
        raise NotFound(f"There is no tenant {slug}.")
    return tenant


def every(session: Session) -> Sequence[Tenant]:
    """Return all tenants, each followed by its sandbox."""
    return session.scalars(select(Tenant).order_by(Tenant.slug, Tenant.sandbox_of.is_not(None))).all()


def search(session: Session, text: str = "", *, after: str = "", limit: int | None = None) -> Sequence[Tenant]:
    """Return live tenants with `text` in the slug or name, in the order of their slugs, from the one past `after` on."""
    query = select(Tenant).where(Tenant.sandbox_of.is_(None), Tenant.slug > after).order_by(Tenant.slug).limit(limit)
    if text:
        query = query.where(Tenant.slug.icontains(text, autoescape=True) | Tenant.name.icontains(text, autoescape=True))
    return session.scalars(query).all()


def both(session: Session, slug: str) -> Sequence[Tenant]:
    """Return a tenant and its sandbox. Raises `NotFound`."""
    live = get(session, slug)
    return [live, *session.scalars(select(Tenant).where(Tenant.sandbox_of == live.id))]


def is_there(session: Session, tenant_id: int) -> bool:
    """Whether there is such a tenant and it is not being deleted."""
    return session.scalar(select(Tenant.id).where(Tenant.id == tenant_id, Tenant.status != DELETING)) is not None


def sandbox_id(session: Session, tenant_id: int) -> int:
    """Return the number of a live tenant's sandbox."""
    return session.scalars(select(Tenant.id).where(Tenant.sandbox_of == tenant_id)).one()


def set_rate_limit(session: Session, tenant: Tenant, *, rate_limit: int, actor: Actor) -> None:
    """Allow `rate_limit` requests a minute (0: no limit)."""
    if not 0 <= rate_limit <= LARGEST_RATE_LIMIT:
        raise Invalid([FieldError("rate_limit", f"Must be from 0 (no limit) to {LARGEST_RATE_LIMIT} requests a minute.")])
    before, tenant.rate_limit = tenant.rate_limit, rate_limit
    session.flush()
    _record(session, tenant, actor, "set_rate_limit", before={"rate_limit": before}, after={"rate_limit": rate_limit})


def set_profile(session: Session, slug: str, *, name: str, time_zone: str, actor: Actor) -> Sequence[Tenant]:
    """Give a tenant and its sandbox a name and the time zone of their days; return both. Raises `Invalid`."""
    check_name(name)
    if not zones.exists(time_zone):
        raise Invalid([FieldError("time_zone", "Must be the name of a time zone, such as Europe/Berlin or UTC.")])
    found = both(session, slug)
    wanted = {"name": name, "time_zone": time_zone}
    before = {key: getattr(found[0], key) for key, value in wanted.items() if getattr(found[0], key) != value}
    for tenant in found:
        tenant.name, tenant.time_zone = name, time_zone
    session.flush()
    if before:
        _record(session, found[0], actor, "set_profile", before=before, after={key: wanted[key] for key in before})
    return found


def set_status(session: Session, slug: str, *, status: str, actor: Actor) -> Sequence[Tenant]:
    """Suspend or resume a tenant together with its sandbox; return both. Raises `Conflict` if they are being deleted."""
    found = both(session, slug)
    before = found[0].status
    if before == DELETING:
        raise Conflict(f"The tenant {slug} is being deleted; that cannot be undone.")
    for tenant in found:
        tenant.status = status
    session.flush()
    _record(session, found[0], actor, "set_status", before={"status": before}, after={"status": status})
    return found


def _find(session: Session, slug: str, mode: str) -> Tenant | None:
    is_live = Tenant.sandbox_of.is_(None)
    return session.scalar(select(Tenant).where(Tenant.slug == slug, is_live if mode == "live" else ~is_live))


def check_name(name: str) -> None:
    """Raise `Invalid` for what is no name of a tenant."""
    if not name.strip() or len(name) > LONGEST_NAME or "\0" in name:
        raise Invalid([FieldError("name", f"Must be 1 to {LONGEST_NAME} characters.")])


def _record(
    session: Session,
    tenant: Tenant,
    actor: Actor,
    action: str,
    *,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> None:
    """What is done to a tenant as such concerns its admins and the operators."""
    said: dict[str, Any] = {
        "action": f"tenant.{action}",
        "subject": f"{tenant.slug} ({tenant.mode})",
        "before": before,
        "after": after,
    }
    audit.record(session, tenant.id, actor, **said)
    audit.record(session, None, actor, **said)
