"""A tenant at a glance: where it stands, what a period has brought and how that compares with the one before."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy.orm import Session

from gamify.models import Tier
from gamify.services import figures, ladder
from gamify.services.figures import Day, Sums

A_DAY = timedelta(days=1)


class Standing(NamedTuple):
    """Who stands on a tier (None: on none): how many, which share of all, and their balances together."""

    tier: Tier | None
    participant_count: int
    share: float
    points: int


class Overview(NamedTuple):
    """What `of` has found, all at one moment."""

    participant_count: int
    outstanding: int  # points
    sums: Sums  # of the period until now
    before: Sums  # of a period as long, right before it
    days: list[Day]
    standings: list[Standing]


def of(session: Session, tenant_id: int, *, first: date, last: date, zone: ZoneInfo, now: datetime) -> Overview:
    """Return the overview of a period of days; called in a snapshot, its figures agree with each other."""
    found = standings(session, tenant_id)
    begin, end = _midnight(first, zone), min(now, _midnight(last + A_DAY, zone))
    length = ((last - first).days + 1) * A_DAY
    [sums] = figures.between(session, tenant_id, [begin, end])
    [before] = figures.between(session, tenant_id, [begin - length, end - length])
    days = figures.by_day(session, tenant_id, first, last, zone)
    count, outstanding = sum(each.participant_count for each in found), sum(each.points for each in found)
    return Overview(count, outstanding, sums, before, days, found)


def standings(session: Session, tenant_id: int) -> list[Standing]:
    """Return every tier of the ladder, the lowest first, and before them who has none, if anybody."""
    tiers: Sequence[Tier] = ladder.in_force(session, tenant_id)
    counts = {each.tier: each for each in figures.tier_counts(session, tenant_id)}
    total = sum(each.participant_count for each in counts.values())
    none = figures.TierCount(0, 0, 0)
    steps: list[tuple[int, Tier | None]] = [(0, None)] if 0 in counts else []
    if left := counts.keys() - {tier.number for tier in tiers} - {0}:  # on tiers that are gone, until their next award
        known = ladder.known(session, tenant_id)
        steps += [(number, known[number]) for number in sorted(left)]
    steps += [(tier.number, tier) for tier in tiers]
    found = []
    for number, tier in steps:
        count = counts.get(number, none)
        share = count.participant_count / total if total else 0.0
        found.append(Standing(tier, count.participant_count, share, count.points))
    return found


def change(now: int, before: int) -> float | None:
    """Return by which share something has grown; None if there was nothing before."""
    return (now - before) / abs(before) if before else None


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time.min, zone).astimezone(UTC)
