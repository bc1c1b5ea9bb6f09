"""Exports: files that are made in the background, kept for a week, and only for people of their tenant."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import delete as deletion
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from gamify import queue
from gamify.errors import Conflict, NotFound
from gamify.models import Export
from gamify.models.export import CANCELLED, DONE, FAILED, RUNNING, UNDER_WAY
from gamify.services import audit, export_contents, export_formats
from gamify.services.audit import Actor
from gamify.services.export_contents import Wish

KEPT = timedelta(days=7)
GIVEN_UP = timedelta(days=1)  # what has not come to an end by then has lost its job
MOST_UNDER_WAY = 10  # of a tenant
MOST_LISTED = 200
LANES = 3  # so many exports of the deployment are made at a time, so that a worker has room for other jobs

E = Export


class Due(NamedTuple):
    """A time of a schedule."""

    schedule_id: int
    at: datetime


def ask(
    session: Session,
    tenant_id: int,
    wish: Wish,
    *,
    format: str,  # noqa: A002  # its name on forms
    actor: Actor,
    now: datetime,
    due: Due | None = None,
) -> Export:
    """Have a file made, perhaps because it is due. Raises `Invalid` naming `format`, and `Conflict` while too many wait."""
    chosen = export_formats.get(format)
    under_way = select(func.count()).where(E.tenant_id == tenant_id, E.state.in_(UNDER_WAY))
    if due is None and (session.scalar(under_way) or 0) >= MOST_UNDER_WAY:
        raise Conflict(f"{MOST_UNDER_WAY} exports are under way already; wait for one, or cancel it.")
    made = Export(
        tenant_id=tenant_id,
        **{name: getattr(wish, name) for name in ("kind", "query", "wanted", "title", "about")},
        format=chosen.name,
        file_name=export_contents.file_name(wish, chosen.ending),
        asked_by=actor.name,
        user_id=actor.id if actor.kind == "user" else None,
        schedule_id=due and due.schedule_id,
        due_at=due and due.at,
        created_at=now,
        expires_at=now + KEPT,
    )
    session.add(made)
    session.flush()
    audit.record(session, tenant_id, actor, action="export.ask", subject=_subject(made), after=_said(made))
    queue.defer(session, "write_export", tenant_id=tenant_id, lock=f"exports {tenant_id % LANES}", export_id=made.id)
    return made


def listed(session: Session, tenant_id: int, *, now: datetime) -> Sequence[Export]:
    """Return the newest exports that have not expired, the newest first."""
    query = select(E).where(E.tenant_id == tenant_id, E.expires_at > now).order_by(E.id.desc())
    return session.scalars(query.limit(MOST_LISTED)).all()


def get(session: Session, tenant_id: int, export_id: int) -> Export:
    """Return an export. Raises `NotFound`."""
    found = session.get(E, (tenant_id, export_id), populate_existing=True)
    if found is None:
        raise NotFound("There is no such export; it may have expired.")
    return found


def download(session: Session, tenant_id: int, export_id: int, *, actor: Actor, now: datetime) -> Export:
    """Note that somebody takes a file away, and return it. Raises `NotFound`, and `Conflict` for one that is not whole."""
    found = get(session, tenant_id, export_id)
    if found.expires_at <= now:
        raise NotFound("This export has expired; ask for it again.")
    if found.state != DONE:
        raise Conflict(f"This export is {found.state}: there is no file to download.")
    audit.record(session, tenant_id, actor, action="export.download", subject=_subject(found), after=_said(found))
    return found


def cancel(session: Session, tenant_id: int, export_id: int, *, actor: Actor, now: datetime) -> Export:
    """Let a file not be made after all; whoever makes it stops soon. Raises `NotFound`, `Conflict`."""
    found = get(session, tenant_id, export_id)
    stopped = update(E).where(*_is(tenant_id, export_id), E.state.in_(UNDER_WAY)).returning(E.id)
    if session.scalar(stopped.values(state=CANCELLED, ended_at=now, expires_at=now + KEPT)) is None:
        raise Conflict(f"This export is {get(session, tenant_id, export_id).state} already.")
    audit.record(session, tenant_id, actor, action="export.cancel", subject=_subject(found), before={"state": found.state})
    return get(session, tenant_id, export_id)


def delete(session: Session, tenant_id: int, export_id: int, *, actor: Actor) -> None:
    """Forget an export; its file is to be removed once that is committed. Raises `NotFound`."""
    found = get(session, tenant_id, export_id)
    session.execute(deletion(E).where(*_is(tenant_id, export_id)))
    audit.record(session, tenant_id, actor, action="export.delete", subject=_subject(found), before=_said(found))


def begin(session: Session, tenant_id: int, export_id: int, *, now: datetime) -> Export | None:
    """Begin to make a file, or begin again; None if it is not wanted any more. Only the last one to begin has a say."""
    begun = update(E).where(*_is(tenant_id, export_id), E.state.in_((*UNDER_WAY, FAILED)))
    values = {"state": RUNNING, "run": E.run + 1, "row_count": 0, "size": None, "error": None, "started_at": now}
    is_wanted = session.scalar(begun.values(values).returning(E.id)) is not None
    return get(session, tenant_id, export_id) if is_wanted else None


def note(session: Session, export: Export, **values: Any) -> bool:
    """Write down how a run gets on; return whether it still has a say: nobody has cancelled it or begun anew."""
    noted = update(E).where(*_is(export.tenant_id, export.id), E.run == export.run, E.state == RUNNING)
    return session.scalar(noted.values(**values).returning(E.id)) is not None


def finish(session: Session, export: Export, *, row_count: int, size: int, now: datetime) -> bool:
    """A run has come to its end; return whether its file is to be put in its place."""
    return note(session, export, state=DONE, row_count=row_count, size=size, ended_at=now, expires_at=now + KEPT)


def fail(session: Session, export: Export, why: str, *, now: datetime) -> bool:
    """A run cannot come to its end; return whether it still had a say."""
    return note(session, export, state=FAILED, error=why, ended_at=now, expires_at=now + KEPT)


def expire(session: Session, tenant_id: int, *, now: datetime) -> set[int]:
    """Forget what has expired, and give up what has lost its job; return the exports that are left."""
    session.execute(deletion(E).where(E.tenant_id == tenant_id, E.expires_at <= now, E.state.not_in(UNDER_WAY)))
    lost = update(E).where(E.tenant_id == tenant_id, E.created_at <= now - GIVEN_UP, E.state.in_(UNDER_WAY))
    values = {"state": FAILED, "error": "Nobody has come to its end; ask for it again.", "ended_at": now}
    session.execute(lost.values(values | {"expires_at": now + KEPT}))
    return set(session.scalars(select(E.id).where(E.tenant_id == tenant_id)))


def _is(tenant_id: int, export_id: int) -> tuple[Any, Any]:
    return E.tenant_id == tenant_id, E.id == export_id


def _subject(export: Export) -> str:
    return f"{export.title} as {export.format}"


def _said(export: Export) -> dict[str, Any]:
    about = {"id": export.id, "kind": export.kind, "about": export.about, "file": export.file_name}
    return about | ({"rows": export.row_count} if export.state == DONE else {})
