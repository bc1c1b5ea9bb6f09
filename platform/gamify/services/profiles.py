"""One participant: what they have, how they came by it, and what they do with it; never by reading a whole ledger."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ARRAY, TIMESTAMP, Text, cast, func, select, true
from sqlalchemy.orm import Session, aliased

from gamify.errors import NotFound
from gamify.models import ApiKey, Ladder, LedgerEntry, Participant, Tier, User
from gamify.services import ladder
from gamify.services.ladder import Place

POINTS_OF_CHART = 120
MOST_CHANGES = 100

E = LedgerEntry


class Change(NamedTuple):
    """A movement that led to another tier. Tiers are as they were called then; None: none."""

    at: datetime
    before: str | None
    after: str | None
    after_code: str | None
    is_up: bool
    total_earned: int
    ladder_version: int | None


@dataclass(frozen=True, slots=True)
class Profile:
    """A participant with their place on the ladder."""

    participant: Participant
    tiers: Sequence[Tier]
    place: Place
    held_since: datetime | None  # None: they hold no tier
    changes: Sequence[Change]  # of tier, newest first, the last `MOST_CHANGES`


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


def profile(session: Session, tenant_id: int, participant_id: str) -> Profile:
    """Return what there is to know of a participant. Raises `NotFound`."""
    participant = find(session, tenant_id, participant_id)
    tiers = ladder.in_force(session, tenant_id)
    place = ladder.place(participant.total_earned, tiers)
    changes = tier_changes(session, tenant_id, participant)
    since = _held_since(session, tenant_id, participant, place.held, changes[0] if changes else None)
    return Profile(participant, tiers, place, since, changes)


def tier_changes(session: Session, tenant_id: int, participant: Participant) -> Sequence[Change]:
    """Return the movements that changed a participant's tier, newest first, the last `MOST_CHANGES`."""
    before, after = aliased(Tier), aliased(Tier)
    query = (
        select(E.created_at, before.name, after.name, after.code, E.tier_after > E.tier_before, E.total_earned_after)
        .add_columns(E.ladder_version)
        .outerjoin(before, _rung(before, E.tier_before))
        .outerjoin(after, _rung(after, E.tier_after))
        .where(E.tenant_id == tenant_id, E.participant_id == participant.id, E.tier_before != E.tier_after)
        .order_by(E.seq.desc())
        .limit(MOST_CHANGES)
    )
    return [Change(*row) for row in session.execute(query)]


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


def _rung(tier: Any, level: Any) -> Any:
    return (tier.tenant_id == E.tenant_id) & (tier.ladder_version == E.ladder_version) & (tier.level == level)


def _held_since(
    session: Session, tenant_id: int, participant: Participant, held: Tier | None, newest: Change | None
) -> datetime | None:
    """Since the movement that led to the tier; or, when new tiers have done that, since they came into force."""
    if held is None:
        return None
    begin, code = (newest.at, newest.after_code) if newest else _first(session, tenant_id, participant)
    if newest and newest.ladder_version == held.ladder_version:
        return begin
    since = None
    for era, held_then in _eras(session, tenant_id, participant, begin):
        if held_then != held.code:
            return since
        since = era
    return begin if code == held.code or since is None else since


def _first(session: Session, tenant_id: int, participant: Participant) -> tuple[datetime, str | None]:
    """When the first entry was written, and the code of the tier held then."""
    query = select(E.created_at, Tier.code).outerjoin(Tier, _rung(Tier, E.tier_after))
    at, code = session.execute(query.where(E.tenant_id == tenant_id, E.participant_id == participant.id, E.seq == 1)).one()
    return at, code


def _eras(session: Session, tenant_id: int, participant: Participant, begin: datetime) -> Sequence[tuple[datetime, str | None]]:
    """When each later ladder came into force, the newest first, and the code of the tier that was held from then on."""
    total = (
        select(E.total_earned_after)
        .where(E.tenant_id == tenant_id, E.participant_id == participant.id, E.created_at <= Ladder.created_at)
        .order_by(E.created_at.desc())
        .limit(1)
        .scalar_subquery()
    )
    level = func.width_bucket(total, Ladder.thresholds)
    rung = (Tier.tenant_id == tenant_id) & (Tier.ladder_version == Ladder.version) & (Tier.level == level)
    query = select(Ladder.created_at, Tier.code).outerjoin(Tier, rung)
    query = query.where(Ladder.tenant_id == tenant_id, Ladder.created_at > begin).order_by(Ladder.version.desc())
    return [(at, code) for at, code in session.execute(query.limit(MOST_CHANGES))]
