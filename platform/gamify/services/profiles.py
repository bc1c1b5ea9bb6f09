"""One participant: what they have, how they came by it, and what they do with it; never by reading a whole ledger."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ARRAY, TIMESTAMP, Text, cast, func, select, true
from sqlalchemy.orm import Session, aliased

from gamify.errors import NotFound
from gamify.models import ApiKey, LedgerEntry, Participant, Tier, TierHold, User
from gamify.services import ladder, tier_history
from gamify.services.counting import Counting
from gamify.services.ladder import Place
from gamify.services.tier_history import Change

POINTS_OF_CHART = 120

E = LedgerEntry


@dataclass(frozen=True, slots=True)
class Profile:
    """A participant with their place on the ladder."""

    participant: Participant
    tiers: Sequence[Tier]
    place: Place
    counting: Counting
    unpinned: Tier | None  # the tier that they would hold if nothing pinned them
    held_since: datetime | None  # None: they hold no tier
    led_to: Change | None  # what has led to the tier; None: the beginning
    changes: Sequence[Change]  # of tier, newest first
    holds: Mapping[str, TierHold]  # by kind


class Statement(NamedTuple):
    """A page of a participant's ledger, newest first; `total` counts all pages."""

    entries: Sequence[Any]
    total: int


def find(session: Session, tenant_id: int, participant_id: str) -> Participant:
    """Return a participant by the tenant's own id. Raises `NotFound`, for ids that nobody can have as well."""
    wanted = select(Participant).where(Participant.tenant_id == tenant_id, Participant.external_id == participant_id)
    found = None if "\0" in participant_id else session.scalar(wanted)
    if found is None:
        raise NotFound("There is no such participant yet; the first award creates one.")
    return found


def profile(session: Session, tenant_id: int, participant_id: str, *, now: datetime) -> Profile:
    """Return what there is to know of a participant. Raises `NotFound`."""
    participant = find(session, tenant_id, participant_id)
    changes = tier_history.changes(session, tenant_id, participant)
    since, led_to = tier_history.held_since(session, tenant_id, participant, changes)
    held = select(TierHold).where(TierHold.tenant_id == tenant_id, TierHold.participant_id == participant.id)
    return Profile(
        participant,
        tiers=ladder.in_force(session, tenant_id),
        place=ladder.place_of(session, tenant_id, participant, now=now),
        counting=ladder.qualifying(session, tenant_id, participant, now=now),
        unpinned=ladder.unpinned(session, tenant_id, participant, now=now),
        held_since=since,
        led_to=led_to,
        changes=changes,
        holds={hold.kind: hold for hold in session.scalars(held)},
    )


def balances(session: Session, tenant_id: int, participant: Participant, *, now: datetime) -> Sequence[tuple[datetime, int]]:
    """Return the balance at evenly spaced instants from the first entry until now: one probe of an index each."""
    begin, span = participant.created_at, max(now, participant.last_entry_at) - participant.created_at
    instants = [begin + span * n / (POINTS_OF_CHART - 1) for n in range(POINTS_OF_CHART)]
    at = func.unnest(cast(instants, ARRAY(TIMESTAMP(timezone=True)))).table_valued("at").render_derived()
    last = (
        select(E.balance_after)
        .where(E.tenant_id == tenant_id, E.participant_id == participant.id, E.created_at <= at.c.at)
        .order_by(E.created_at.desc())
        .limit(1)
        .lateral()
    )
    query = select(at.c.at, func.coalesce(last.c.balance_after, 0)).select_from(at).outerjoin(last, true())
    return [(instant, balance) for instant, balance in session.execute(query.order_by(at.c.at))]


def statement(session: Session, tenant_id: int, participant: Participant, *, page: int, page_size: int) -> Statement:
    """Return page `page` (from 1) of a participant's ledger with who moved the points; deep pages cost what the first does."""
    newest = max(participant.entry_count - (page - 1) * page_size, 0)
    query = _told(tenant_id).where(E.participant_id == participant.id, E.seq <= newest)
    rows = session.execute(query.order_by(E.seq.desc()).limit(page_size)).all()
    return Statement(rows, participant.entry_count)


def entry(session: Session, tenant_id: int, participant: Participant, entry_id: UUID) -> Any:
    """Return one entry as `statement` does; None if it is not this participant's."""
    return session.execute(_told(tenant_id).where(E.participant_id == participant.id, E.id == entry_id)).one_or_none()


def _told(tenant_id: int) -> Any:
    later = aliased(E)
    reversed_by = select(later.id).where(later.tenant_id == tenant_id, later.reverses == E.id).scalar_subquery()
    columns: tuple[Any, ...] = (
        E.id,
        E.type,
        E.points,
        E.balance_after,
        E.reason,
        cast(E.metadata_, Text).label("metadata"),
        E.created_at,
        E.reverses,
        reversed_by.label("reversed_by"),
        User.email.label("person"),
        ApiKey.name.label("key_name"),
        ApiKey.prefix.label("key_prefix"),
    )
    query = select(*columns).outerjoin(ApiKey, (ApiKey.tenant_id == tenant_id) & (ApiKey.id == E.api_key_id))
    return query.outerjoin(User, User.id == E.user_id).where(E.tenant_id == tenant_id)
