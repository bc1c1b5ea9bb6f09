"""The audit logs: what was changed, by whom and from where; written in the transaction of the change itself."""

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from gamify.db import act_as
from gamify.models import AuditEntry, PlatformAuditEntry

Entry = AuditEntry | PlatformAuditEntry
AT_ONCE = 1_000  # rows a fetch, when all are wanted
COLUMNS = ("at", "actor_kind", "actor", "actor_id", "address", "action", "subject", "before", "after", "request_id")


@dataclass(frozen=True, slots=True)
class Actor:
    """Who changes something: a `user` (by e-mail), a `key` (by prefix), a `command` (by account) or the `system` itself."""

    kind: str
    name: str
    id: int | None = None  # of the user or the key
    address: str | None = None
    request_id: str | None = None


SYSTEM = Actor("system", "gamify")


@dataclass(frozen=True, slots=True)
class Filter:
    """What to look for; None means anything. `action` is a whole one or a kind of thing (`api_key`); `since` ≤ t < `until`."""

    actor: str | None = None
    action: str | None = None
    since: datetime | None = None
    until: datetime | None = None


def record(
    session: Session,
    tenant_id: int | None,
    actor: Actor,
    *,
    action: str,
    subject: str,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> None:
    """Write down a change to something of a tenant's; without one, to a tenant as such or to an operator.

    The former is for the tenant's admins, the latter for operators. What is secret must not be in `before` and `after`.
    """
    said: dict[str, Any] = {
        "actor_kind": actor.kind,
        "actor": actor.name,
        "actor_id": actor.id,
        "address": actor.address,
        "action": action,
        "subject": subject,
        "before": before,
        "after": after,
        "request_id": actor.request_id,
    }
    if tenant_id is None:
        session.add(PlatformAuditEntry(**said))
    else:
        act_as(session, tenant_id)
        session.add(AuditEntry(tenant_id=tenant_id, **said))
    session.flush()


def search(session: Session, tenant_id: int | None, wanted: Filter, *, before: UUID | None = None, limit: int) -> Sequence[Entry]:
    """Return up to `limit` entries older than `before`, newest first: a tenant's, or (without one) the operators'."""
    query = _query(tenant_id, wanted)
    if before is not None:
        query = query.where(_table(tenant_id).id < before)
    return session.scalars(query.limit(limit)).all()


def every(session: Session, tenant_id: int | None, wanted: Filter) -> Iterator[Entry]:
    """Yield all entries, newest first, without holding them all."""
    with closing(session.scalars(_query(tenant_id, wanted).execution_options(yield_per=AT_ONCE))) as entries:
        yield from entries


def shown(entry: Entry) -> dict[str, Any]:
    """Return what `COLUMNS` name of an entry, ready for JSON."""
    at = entry.at.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"
    return {**{name: getattr(entry, name) for name in COLUMNS}, "at": at}


def cells(entry: Entry) -> list[Any]:
    """Return what `COLUMNS` name of an entry as cells of a table; what was before and after is JSON in them."""
    return [
        json.dumps(value, ensure_ascii=False, sort_keys=True) if isinstance(value, dict) else value
        for value in shown(entry).values()
    ]


def changes(entry: Entry) -> list[tuple[str, Any, Any]]:
    """Return what has become different: its name, what was before and what came after; None is nothing."""
    before, after = entry.before or {}, entry.after or {}
    names = dict.fromkeys([*before, *after])
    return [(name, before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)]


def _table(tenant_id: int | None) -> type[Entry]:
    return PlatformAuditEntry if tenant_id is None else AuditEntry


def _query(tenant_id: int | None, wanted: Filter) -> Select[Any]:
    table = _table(tenant_id)
    query: Select[Any] = select(table).order_by(table.id.desc())
    if tenant_id is not None:
        query = query.where(AuditEntry.tenant_id == tenant_id)
    if wanted.actor:
        query = query.where(table.actor == wanted.actor)
    if wanted.action:
        query = query.where((table.action == wanted.action) | table.action.startswith(f"{wanted.action}.", autoescape=True))
    if wanted.since:
        query = query.where(table.at >= wanted.since)
    if wanted.until:
        query = query.where(table.at < wanted.until)
    return query
