"""The ladder in force, and where points stand on it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from gamify.models import Ladder, Participant, Tier, TierHold
from gamify.models.tier_hold import KEEP, PIN
from gamify.services import counting
from gamify.services.counting import Counting


class Place(NamedTuple):
    """Where points stand: the tier held, the one to come, and how far it is from one to the other."""

    held: Tier | None
    next: Tier | None
    missing: int | None  # points to the next tier; None at the top
    share: float  # of the way from the tier held (or from nothing) to the next: 0 to 1


def newest(session: Session, tenant_id: int) -> Ladder | None:
    """Return the ladder in force; None if there has been none."""
    found = select(Ladder).where(Ladder.tenant_id == tenant_id).order_by(Ladder.version.desc()).limit(1)
    return session.scalar(found)


def in_force(session: Session, tenant_id: int) -> Sequence[Tier]:
    """Return a tenant's tiers, the lowest first."""
    version_in_force = (
        select(Ladder.version).where(Ladder.tenant_id == tenant_id).order_by(Ladder.version.desc()).limit(1).scalar_subquery()
    )
    rungs = select(Tier).where(Tier.tenant_id == tenant_id, Tier.ladder_version == version_in_force)
    return session.scalars(rungs.order_by(Tier.level)).all()


def known(session: Session, tenant_id: int) -> Mapping[int, Tier]:
    """Return by its number every tier that there has ever been, as it was on the last ladder that had it."""
    rungs = select(Tier).where(Tier.tenant_id == tenant_id).ext(distinct_on(Tier.number))
    return {tier.number: tier for tier in session.scalars(rungs.order_by(Tier.number, Tier.ladder_version.desc()))}


def place(points: int, tiers: Sequence[Tier], *, held: Tier | None = None, behind: int = 0) -> Place:
    """Return where qualifying points stand on a ladder, the lowest tier first; `held` if that is above what they earn.

    Of points to come the first `behind` add nothing.
    """
    earned = next((tier for tier in reversed(tiers) if tier.threshold <= points), None)
    held = held or earned
    above = next((tier for tier in tiers if tier.threshold > max(points, held.threshold if held else 0)), None)
    if above is None:
        return Place(held, None, None, 1.0)
    begin = held.threshold if held and held.threshold <= points else earned.threshold if earned else 0
    return Place(held, above, above.threshold - points + behind, (points - begin) / (above.threshold - begin))


def place_of(session: Session, tenant_id: int, participant: Participant, *, now: datetime, earning: int = 0) -> Place:
    """Return where a participant stands, or would after an award: on what they hold, or on more if they earn that.

    A pin holds whatever is earned.
    """
    tiers = in_force(session, tenant_id)
    counted = qualifying(session, tenant_id, participant, now=now).after(earning)
    held = known(session, tenant_id).get(participant.tier)
    if earning and pin_of(session, tenant_id, participant) is None:
        earned, kept = place(counted.points, tiers).held, _kept_by_an_award(session, tenant_id, participant, tiers, now=now)
        held = max(filter(None, (earned, kept)), key=lambda tier: tier.level, default=None)
    return place(counted.points, tiers, held=held, behind=counted.behind)


def _kept_by_an_award(
    session: Session, tenant_id: int, participant: Participant, tiers: Sequence[Tier], *, now: datetime
) -> Tier | None:
    """The tier that an award does not take, whatever is earned: the one held, unless the ladder moves its holder down then."""
    ladder = newest(session, tenant_id)
    if ladder is None or not participant.tier:
        return None
    is_settled = ladder.is_settled or participant.ladder_version == ladder.version
    keeps = ladder.falling == "keep" or (ladder.kept_until is not None and now < ladder.kept_until)
    return _floor(ladder, participant.tier, tiers) if is_settled or keeps else None


def unpinned(session: Session, tenant_id: int, participant: Participant, *, now: datetime) -> Tier | None:
    """Return the tier that a participant would hold if nothing pinned them: the one earned, or kept if that is higher."""
    tiers, ladder = in_force(session, tenant_id), newest(session, tenant_id)
    earned = place(qualifying(session, tenant_id, participant, now=now).points, tiers).held
    hold = session.get(TierHold, (tenant_id, participant.id, KEEP))
    kept = _floor(ladder, hold.number, tiers) if ladder and hold else None
    return max(filter(None, (earned, kept)), key=lambda tier: tier.level, default=None)


def _floor(ladder: Ladder, number: int, tiers: Sequence[Tier]) -> Tier | None:
    """The tier of a ladder on which holders of a number stand."""
    level = ladder.floors[number - 1] if number <= len(ladder.floors) else 0
    return tiers[level - 1] if level else None


def pin_of(session: Session, tenant_id: int, participant: Participant) -> TierHold | None:
    """Return what pins a participant to a tier, if anything does."""
    return session.get(TierHold, (tenant_id, participant.id, PIN))


def qualifying(session: Session, tenant_id: int, participant: Participant, *, now: datetime) -> Counting:
    """Return which of a participant's points count towards tiers at an instant, and how many they are."""
    return counting.of(session, newest(session, tenant_id), participant, now=now)


def version(session: Session, tenant_id: int) -> int:
    """Return the version of the ladder in force; 0 if there has been none."""
    found = newest(session, tenant_id)
    return found.version if found else 0


def number_at(session: Session, tenant_id: int, points: int = 0) -> int:
    """Return the number of the tier that qualifying points earn; 0 for none."""
    held = place(points, in_force(session, tenant_id)).held
    return held.number if held else 0
