"""Dimensions: the members of the metadata by whose values reports break movements down, three at most."""

from collections.abc import Sequence

from sqlalchemy import delete, select, text
from sqlalchemy.orm import Session

from gamify import queue
from gamify.db import Database
from gamify.errors import Conflict, FieldError, Invalid, NotFound
from gamify.models import Dimension
from gamify.services import audit, rollups
from gamify.services.audit import Actor
from gamify.services.bounds import text_problem

NUMBERS = (1, 2, 3)
LONGEST_KEY = 100  # characters

D = Dimension


def listed(session: Session, tenant_id: int) -> Sequence[Dimension]:
    """Return the dimensions, those that are not ready yet as well."""
    return session.scalars(select(D).where(D.tenant_id == tenant_id).order_by(D.number)).all()


def ready(session: Session, tenant_id: int) -> Sequence[Dimension]:
    """Return the dimensions that reports can be broken down by."""
    return [each for each in listed(session, tenant_id) if each.is_ready]


def declare(session: Session, tenant_id: int, metadata_key: str, *, actor: Actor) -> Dimension:
    """Make a member of the metadata a dimension; the job makes it ready. Raises `Invalid`, and `Conflict` for a fourth."""
    key = metadata_key.strip()
    problem = text_problem(key) if key else "Must be the name of a member of the metadata."
    if not problem and len(key) > LONGEST_KEY:
        problem = f"Must have at most {LONGEST_KEY} characters."
    if problem:
        raise Invalid([FieldError("metadata_key", problem)])
    rollups.hold(session, tenant_id)  # one change at a time
    found = listed(session, tenant_id)
    if any(each.metadata_key == key for each in found):
        raise Conflict(f"{key} is a dimension already.")
    free = [number for number in NUMBERS if number not in {each.number for each in found}]
    if not free:
        raise Conflict(f"There can be at most {len(NUMBERS)} dimensions: take one away first.")
    made = D(tenant_id=tenant_id, number=free[0], metadata_key=key, is_ready=False)
    session.add(made)
    session.flush()
    audit.record(session, tenant_id, actor, action="dimension.declare", subject=f"metadata.{key}")
    queue.defer(session, "add_dimensions", tenant_id=tenant_id)
    return made


def remove(session: Session, tenant_id: int, number: int, *, actor: Actor) -> None:
    """Take a dimension away, with what is broken down by it; the ledger keeps the metadata. Raises `NotFound`."""
    rollups.hold(session, tenant_id)
    key = session.scalar(delete(D).where(D.tenant_id == tenant_id, D.number == number).returning(D.metadata_key))
    if key is None:
        raise NotFound("There is no such dimension.")
    for table in ("word_quarters", "words"):
        values = {"tenant_id": tenant_id, "dimension": number}
        session.execute(text(f"DELETE FROM {table} WHERE tenant_id = :tenant_id AND dimension = :dimension"), values)
    audit.record(session, tenant_id, actor, action="dimension.remove", subject=f"metadata.{key}")


def make_ready(database: Database, tenant_id: int, *, most: int = rollups.AT_ONCE) -> bool:
    """Break down one more share of the ledger by the next dimension that waits; return whether there was one."""
    with database.transaction(tenant_id) as session:
        rollups.hold(session, tenant_id)
        waiting = select(D).where(D.tenant_id == tenant_id, ~D.is_ready).order_by(D.number).limit(1)
        found = session.scalar(waiting)
        if found is None:
            return False
        rollups.advance_dimension(session, found, most=most)
        return True
