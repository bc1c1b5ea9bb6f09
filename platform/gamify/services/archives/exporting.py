"""A tenant as one file: everything but secrets and what follows from the rest, on one snapshot."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import IO, Any

import psycopg
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from gamify import schema
from gamify.db import Database, act_as
from gamify.errors import Conflict
from gamify.models import LedgerEntry, Tenant, User
from gamify.services import audit, tenants
from gamify.services.archives.container import Writer
from gamify.services.archives.parts import MODES, OF_PERSON, OF_TENANT, PARTS, PEOPLE, TENANTS, Part
from gamify.services.audit import Actor

AT_ONCE = 2_000  # rows a fetch
# Cursors are planned as a whole, not for their first rows, and times are told in UTC.
SNAPSHOT = (
    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
    "SET LOCAL statement_timeout = 0",
    "SET LOCAL cursor_tuple_fraction = 1",
    "SET LOCAL TIME ZONE 'UTC'",
)


def export(
    database: Database,
    slug: str,
    file: IO[bytes],
    *,
    actor: Actor,
    progress: Callable[[int, int], None] = lambda _count, _total: None,
) -> dict[str, int]:
    """Write a tenant and its sandbox to a file; return how many lines each file in it has.

    Movements go on meanwhile; what is written is one moment. Both logs tell of it, and so does the archive. `progress` is told
    how many entries have been written since the last time, of how many. Raises `NotFound`, and `Conflict` for a tenant that is
    being deleted.
    """
    _note(database, slug, actor=actor)
    writer, counts = Writer(file), {}
    with database.transaction() as session:
        for setting in SNAPSHOT:
            session.execute(text(setting))
        both = tenants.both(session, slug)
        counts[TENANTS] = writer.add(TENANTS, [[_line(tenant, OF_TENANT, mode=tenant.mode) for tenant in both]])
        counts[PEOPLE] = writer.add(PEOPLE, [_people(session, both[0])])
        entry_count = sum(_entry_count(session, tenant) for tenant in both)
        for mode, tenant in zip(MODES, both, strict=True):
            act_as(session, tenant.id)
            for part in PARTS:
                is_ledger = part.model is LedgerEntry
                told = _told(_pieces(session, part, tenant.id), entry_count, progress) if is_ledger else None
                name = f"{mode}/{part.file}"
                counts[name] = writer.add(name, told or _pieces(session, part, tenant.id))
        writer.close(slug=slug, made_at=datetime.now(UTC).isoformat(), schema=schema.head())
    return counts


def _note(database: Database, slug: str, *, actor: Actor) -> None:
    with database.transaction() as session:
        tenant = tenants.get(session, slug)
        if tenant.status == tenants.DELETING:
            raise Conflict(f"The tenant {slug} is being deleted: not everything of it is there.")
        said: dict[str, Any] = {"action": "tenant.export", "subject": slug, "after": {"name": tenant.name}}
        audit.record(session, None, actor, **said)
        audit.record(session, tenant.id, actor, **said)


def _entry_count(session: Session, tenant: Tenant) -> int:
    act_as(session, tenant.id)
    counted = text("SELECT COALESCE(sum(entry_count), 0)::bigint FROM participants WHERE tenant_id = :tenant_id")
    count: int = session.scalars(counted, {"tenant_id": tenant.id}).one()
    return count


def _people(session: Session, tenant: Tenant) -> list[str]:
    found = session.scalars(select(User).where(User.tenant_id == tenant.id).order_by(User.id))
    return [_line(user, OF_PERSON[1:], number=user.id) for user in found]


def _line(row: object, names: tuple[str, ...], **more: Any) -> str:
    values = {name: getattr(row, name) for name in names}
    return json.dumps({**more, **values}, default=lambda at: at.astimezone(UTC).isoformat(), ensure_ascii=False)


def _pieces(session: Session, part: Part, tenant_id: int) -> Iterator[list[str]]:
    connection: psycopg.Connection[Any] = session.connection().connection.driver_connection  # type: ignore[assignment]  # psycopg's
    with connection.cursor(name="archive") as cursor:
        cursor.execute(part.read.format(tenant_id=tenant_id).encode())
        while rows := cursor.fetchmany(AT_ONCE):
            yield [line for (line,) in rows]


def _told(pieces: Iterator[list[str]], total: int, progress: Callable[[int, int], None]) -> Iterator[list[str]]:
    for lines in pieces:
        yield lines
        progress(len(lines), total)
