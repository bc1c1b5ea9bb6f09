"""What an outstanding point costs, from which day on."""

import re
from collections.abc import Sequence
from datetime import date
from decimal import Decimal, InvalidOperation

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from gamify.errors import FieldError, Invalid, NotFound
from gamify.models import PointCost
from gamify.services import audit
from gamify.services.audit import Actor

CURRENCY = re.compile(r"[A-Z]{3}")
HIGHEST = Decimal(10) ** 9
PLACES = 10  # after the point

C = PointCost


def listed(session: Session, tenant_id: int) -> Sequence[PointCost]:
    """Return every cost, the newest first."""
    return session.scalars(select(C).where(C.tenant_id == tenant_id).order_by(C.valid_from.desc())).all()


def on(session: Session, tenant_id: int, day: date) -> PointCost | None:
    """Return the cost on a day; None before the first."""
    valid = select(C).where(C.tenant_id == tenant_id, C.valid_from <= day).order_by(C.valid_from.desc()).limit(1)
    return session.scalar(valid)


def valid(found: Sequence[PointCost], day: date) -> PointCost | None:
    """Return which of the costs, the newest first, is that of a day; None before the first."""
    return next((cost for cost in found if cost.valid_from <= day), None)


def put(session: Session, tenant_id: int, *, valid_from: date, cost: str, currency: str, actor: Actor) -> PointCost:
    """Set the cost from a day on, in place of one from that very day. Raises `Invalid` naming `cost` or `currency`."""
    amount, code = _amount(cost), currency.strip().upper()
    problems = {
        "cost": None if amount is not None else f"Must be a number from 0, with at most {PLACES} digits after the point.",
        "currency": None if CURRENCY.fullmatch(code) else "Must be a code of three letters, such as EUR.",
    }
    if errors := [FieldError(name, problem) for name, problem in problems.items() if problem]:
        raise Invalid(errors)
    was = session.get(C, (tenant_id, valid_from))
    said = {"cost": f"{amount:f}", "currency": code}
    before = {"cost": f"{was.cost.normalize():f}", "currency": was.currency} if was else None
    row = insert(C).values(tenant_id=tenant_id, valid_from=valid_from, cost=amount, currency=code)
    row = row.on_conflict_do_update(index_elements=["tenant_id", "valid_from"], set_={"cost": amount, "currency": code})
    made = session.scalars(row.returning(C), execution_options={"populate_existing": True}).one()
    audit.record(session, tenant_id, actor, action="cost.set", subject=f"cost from {valid_from}", before=before, after=said)
    return made


def remove(session: Session, tenant_id: int, valid_from: date, *, actor: Actor) -> None:
    """Take a cost back; the one before it is valid then. Raises `NotFound`."""
    gone = session.scalar(delete(C).where(C.tenant_id == tenant_id, C.valid_from == valid_from).returning(C.cost))
    if gone is None:
        raise NotFound(f"There is no cost from {valid_from} on.")
    audit.record(session, tenant_id, actor, action="cost.remove", subject=f"cost from {valid_from}", before={"cost": f"{gone:f}"})


def _amount(text: str) -> Decimal | None:
    try:
        found = Decimal(text.strip())
    except InvalidOperation:
        return None
    exponent = found.as_tuple().exponent
    is_fine = found.is_finite() and 0 <= found <= HIGHEST and isinstance(exponent, int) and exponent >= -PLACES
    return found if is_fine else None
