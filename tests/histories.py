"""Histories of the past: entries of chosen times and kinds whose balances, totals and tiers agree with each other."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from gamify.deployment import Deployment
from gamify.models import LedgerEntry, Participant
from gamify.services.entries import first_id

LOW_BITS = (1 << 62) - 1


@dataclass
class Event:
    """What happens at a time; `undoes` is the place of an earlier event in the list, for reversals."""

    at: datetime
    participant: str = "ana"
    points: int = 10
    undoes: int | None = None
    reason: str | None = None
    metadata: Any = None  # an object
    api_key_id: int | None = None
    user_id: int | None = None
    id: UUID | None = field(default=None, compare=False)


def write(here: Deployment, tenant_id: int, events: Iterable[Event]) -> list[Event]:
    """Write a history, in its order; times must not run backwards. Returns it with ids."""
    kept = list(events)
    whose: dict[str, list[LedgerEntry]] = defaultdict(list)
    for event in kept:
        event.id = UUID(int=first_id(event.at).int | (uuid4().int & LOW_BITS))
    with here.database.transaction(tenant_id) as session:
        people = {name: Participant(tenant_id=tenant_id, external_id=name) for name in {event.participant for event in kept}}
        for event in kept:
            whose[event.participant].append(_entry(tenant_id, event, kept, whose[event.participant]))
        for name, person in people.items():
            _settle(person, whose[name])
            session.add(person)
        session.flush()
        for name, entries in whose.items():
            for entry in entries:
                entry.participant_id = people[name].id
            session.add_all(entries)
    return kept


def _entry(tenant_id: int, event: Event, all_events: list[Event], before: list[LedgerEntry]) -> LedgerEntry:
    undone = None if event.undoes is None else all_events[event.undoes]
    kind = "award" if (undone or event).points > 0 else "deduct"
    points = -undone.points if undone else event.points
    earned = before[-1].total_earned_after if before else 0
    spent = before[-1].total_spent_after if before else 0
    earned, spent = (earned + points, spent) if kind == "award" else (earned, spent - points)
    return LedgerEntry(
        tenant_id=tenant_id,
        seq=len(before) + 1,
        id=event.id,
        type=f"{kind}_reversal" if undone else kind,
        points=points,
        balance_after=earned - spent,
        total_earned_after=earned,
        total_spent_after=spent,
        ladder_version=1,
        tier_before=_tier(before[-1].total_earned_after if before else 0),
        tier_after=_tier(earned),
        reason=event.reason,
        metadata_=event.metadata,
        api_key_id=event.api_key_id,
        user_id=event.user_id,
        created_at=event.at,
        reverses=undone.id if undone else None,
    )


def _settle(person: Participant, entries: list[LedgerEntry]) -> None:
    last = entries[-1]
    person.balance, person.total_earned, person.total_spent = last.balance_after, last.total_earned_after, last.total_spent_after
    person.entry_count, person.tier, person.last_entry_at = last.seq, last.tier_after, last.created_at


def _tier(earned: int) -> int:
    return sum(threshold <= earned for threshold in (0, 500, 1500))
