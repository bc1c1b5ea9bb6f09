"""Saved reports: what the address of one asks for, under a name that everybody of the tenant sees."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from gamify.errors import Conflict, FieldError, Invalid, NotFound
from gamify.models import SavedReport
from gamify.services import audit
from gamify.services.audit import Actor
from gamify.services.bounds import text_problem

KINDS = ("roll-forward", "liability", "tiers", "activity")
LONGEST_NAME, LONGEST_QUERY = 100, 2_000  # characters
MOST = 100  # of a tenant

S = SavedReport


def listed(session: Session, tenant_id: int) -> Sequence[SavedReport]:
    """Return every saved report, by name."""
    return session.scalars(select(S).where(S.tenant_id == tenant_id).order_by(S.name)).all()


def save(session: Session, tenant_id: int, *, name: str, kind: str, query: str, actor: Actor) -> SavedReport:
    """Keep a report under a name that no other one has. Raises `Invalid` naming `name` or `kind`, and `Conflict`."""
    name = _checked(name)
    if kind not in KINDS or len(query) > LONGEST_QUERY or text_problem(query):
        raise Invalid([FieldError("kind", "Must be a report with an address that can be kept.")])
    if len(listed(session, tenant_id)) >= MOST:
        raise Conflict(f"There can be at most {MOST} saved reports: remove one first.")
    row = insert(S).values(tenant_id=tenant_id, name=name, kind=kind, query=query, saved_by=actor.name)
    made: SavedReport | None = session.scalar(row.on_conflict_do_nothing(index_elements=["tenant_id", "name"]).returning(S))
    if made is None:
        raise _taken(name)
    audit.record(session, tenant_id, actor, action="report.save", subject=name, after={"kind": kind, "query": query})
    return made


def rename(session: Session, tenant_id: int, report_id: int, *, name: str, actor: Actor) -> SavedReport:
    """Give a saved report another name. Raises `NotFound`, `Invalid` naming `name`, and `Conflict`."""
    found, name = _get(session, tenant_id, report_id), _checked(name)
    if name == found.name:
        return found
    before = found.name
    try:
        with session.begin_nested():
            found.name = name
    except IntegrityError:
        raise _taken(name) from None
    audit.record(session, tenant_id, actor, action="report.rename", subject=name, before={"name": before}, after={"name": name})
    return found


def remove(session: Session, tenant_id: int, report_id: int, *, actor: Actor) -> str:
    """Forget a saved report, and return the name it had; what it shows stays. Raises `NotFound`."""
    found = _get(session, tenant_id, report_id)
    session.delete(found)
    session.flush()
    gone = {"kind": found.kind, "query": found.query}
    audit.record(session, tenant_id, actor, action="report.remove", subject=found.name, before=gone)
    return found.name


def _get(session: Session, tenant_id: int, report_id: int) -> SavedReport:
    found = session.scalar(select(S).where(S.tenant_id == tenant_id, S.id == report_id).with_for_update())
    if found is None:
        raise NotFound("There is no such saved report.")
    return found


def _checked(name: str) -> str:
    name = name.strip()
    problem = text_problem(name) if 1 <= len(name) <= LONGEST_NAME else f"Must have 1 to {LONGEST_NAME} characters."
    if problem:
        raise Invalid([FieldError("name", problem)])
    return name


def _taken(name: str) -> Conflict:
    return Conflict(f"There is a report named {name} already: choose another name.")
