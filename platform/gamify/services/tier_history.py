"""How participants came to their tiers: by the movements that the ledger tells of, and by everything else."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import literal, select, tuple_
from sqlalchemy.orm import Session

from gamify.models import Ladder, LedgerEntry, Participant, Tier, TierChange
from gamify.services import ladder

MOST_CHANGES = 100

E, C = LedgerEntry, TierChange


class Position(NamedTuple):
    """Where a change stands in a history: after an entry, which may itself be it (number 0)."""

    seq: int
    number: int


class Change(NamedTuple):
    """A change of tier, or of what holds it. Tiers are as they were called then; None: none."""

    at: datetime
    cause: str  # the type of the entry that tells of it, or as in `TierChange`
    before: Tier | None
    after: Tier | None
    rise: int  # levels up on the ladder of then; negative: down
    is_kept: bool
    reason: str | None
    changed_by: str | None
    ladder_version: int | None
    entry_id: UUID | None
    position: Position

    @property
    def is_up(self) -> bool:
        """Whether it led up."""
        return self.rise > 0


def changes(
    session: Session, tenant_id: int, participant: Participant, *, before: Position | None = None, most: int = MOST_CHANGES
) -> Sequence[Change]:
    """Return the changes of a participant's tier, newest first, `most` at most, from `before` on."""
    book = _Book.read(session, tenant_id)
    moved = select(E).where(E.tenant_id == tenant_id, E.participant_id == participant.id, E.tier_before != E.tier_after)
    other = select(C).where(C.tenant_id == tenant_id, C.participant_id == participant.id)
    if before:
        moved = moved.where(E.seq <= before.seq if before.number else E.seq < before.seq)
        other = other.where(tuple_(C.after_seq, C.id) < tuple_(literal(before.seq), literal(before.number)))
    told = [book.of_entry(entry) for entry in session.scalars(moved.order_by(E.seq.desc()).limit(most))]
    newest_first = other.order_by(C.after_seq.desc(), C.id.desc())
    told += [book.of_change(change) for change in session.scalars(newest_first.limit(most))]
    return sorted(told, key=lambda change: change.position, reverse=True)[:most]


def held_since(
    session: Session, tenant_id: int, participant: Participant, found: Sequence[Change]
) -> tuple[datetime | None, Change | None]:
    """Return since when a participant holds their tier, and the change that led to it: None if they began with it."""
    if not participant.tier:
        return None, None
    for change in found:
        if change.rise or (change.before and change.before.number) != (change.after and change.after.number):
            return change.at, change
    first = select(E.created_at).where(E.tenant_id == tenant_id, E.participant_id == participant.id, E.seq == 1)
    return session.scalar(first) or participant.created_at, None


class _Book(NamedTuple):
    """Every ladder and tier that there has been: few, whatever the size of the tenant."""

    ladders: Mapping[int, Ladder]
    tiers: Mapping[tuple[int, int], Tier]  # by version and level
    known: Mapping[int, Tier]  # by number

    @classmethod
    def read(cls, session: Session, tenant_id: int) -> "_Book":
        ladders = session.scalars(select(Ladder).where(Ladder.tenant_id == tenant_id)).all()
        tiers = session.scalars(select(Tier).where(Tier.tenant_id == tenant_id)).all()
        return cls(
            {each.version: each for each in ladders},
            {(tier.ladder_version, tier.level): tier for tier in tiers},
            ladder.known(session, tenant_id),
        )

    def of_entry(self, entry: LedgerEntry) -> Change:
        version = entry.ladder_version or 0
        before, after = self.tiers.get((version, entry.tier_before)), self.tiers.get((version, entry.tier_after))
        rise = entry.tier_after - entry.tier_before
        return Change(
            entry.created_at,
            entry.type,
            before,
            after,
            rise,
            is_kept=False,
            reason=entry.reason,
            changed_by=None,
            ladder_version=entry.ladder_version,
            entry_id=entry.id,
            position=Position(entry.seq, 0),
        )

    def of_change(self, change: TierChange) -> Change:
        before, after = (self._tier(change.ladder_version, number) for number in (change.number_before, change.number_after))
        rise = self._level(change.ladder_version, change.number_after) - self._level(change.ladder_version, change.number_before)
        said = (change.reason, change.changed_by)
        if change.cause == "published":
            ladder = self.ladders[change.ladder_version]
            said = (ladder.reason, ladder.published_by)
        position = Position(change.after_seq, change.id)
        return Change(change.at, change.cause, before, after, rise, change.is_kept, *said, change.ladder_version, None, position)

    def _tier(self, version: int, number: int) -> Tier | None:
        level = self._level(version, number)
        tier = self.tiers.get((version, level))
        return tier if tier and tier.number == number else self.known.get(number)

    def _level(self, version: int, number: int) -> int:
        floors = self.ladders[version].floors
        return floors[number - 1] if 0 < number <= len(floors) else 0
