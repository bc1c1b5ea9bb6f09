"""The ladder in force, and where points stand on it."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from gamify.models import Ladder, Tier


class Place(NamedTuple):
    """Where `total_earned` points stand: the tier held, the one to come, and how far it is from one to the other."""

    held: Tier | None
    next: Tier | None
    missing: int | None  # points to the next tier; None at the top
    share: float  # of the way from the tier held (or from nothing) to the next: 0 to 1


def in_force(session: Session, tenant_id: int) -> Sequence[Tier]:
    """Return a tenant's tiers, the lowest first."""
    newest = select(func.max(Ladder.version)).where(Ladder.tenant_id == tenant_id).scalar_subquery()
    rungs = select(Tier).where(Tier.tenant_id == tenant_id, Tier.ladder_version == newest)
    return session.scalars(rungs.order_by(Tier.level)).all()


def place(total_earned: int, tiers: Sequence[Tier]) -> Place:
    """Return where points stand on a ladder, the lowest tier first."""
    held = next((tier for tier in reversed(tiers) if tier.threshold <= total_earned), None)
    above = next((tier for tier in tiers if tier.threshold > total_earned), None)
    if above is None:
        return Place(held, None, None, 1.0)
    begin = held.threshold if held else 0
    return Place(held, above, above.threshold - total_earned, (total_earned - begin) / (above.threshold - begin))


def version(session: Session, tenant_id: int) -> int:
    """Return the version of the ladder in force; 0 if there has been none."""
    return session.scalar(select(func.max(Ladder.version)).where(Ladder.tenant_id == tenant_id)) or 0
