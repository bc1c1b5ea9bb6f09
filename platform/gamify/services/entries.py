"""Reading the ledger: a participant's history, one entry, a search through a tenant's, and points at an instant."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from psycopg.rows import namedtuple_row
from sqlalchemy import ColumnElement, Select, Text, cast, func, select
from sqlalchemy.orm import Session, aliased

from gamify.db import Database
from gamify.errors import NotFound
from gamify.models import Ladder, LedgerEntry, Participant

INT64_MAX = 2**63 - 1
LAST = datetime(9999, 12, 31, tzinfo=UTC)
EPOCH, MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
LAST_MS = (LAST - EPOCH) // timedelta(milliseconds=1)
REASON, MEMBER = "reason", "metadata."  # what an entry can be without; a member's name follows


class Points(NamedTuple):
    """What a participant has, had and spent, in points."""

    participant_id: str
    balance: int
    total_earned: int
    total_spent: int


class Page(NamedTuple):
    """A page of a participant's history, newest first; `total` counts all pages."""

    entries: Sequence[Any]  # rows of `history_of` in migrations/sql
    total: int


class Found(NamedTuple):
    """A part of what a search finds, newest first; `next_id` is where to go on, None at the end."""

    entries: Sequence[Any]  # rows with the columns of `_entries`
    next_id: UUID | None


@dataclass(frozen=True, slots=True)
class Filter:
    """What to search for; None and empty mean anything. Times: `since` ≤ t < `until`. Amounts are positive points."""

    participant_id: str | None = None
    type: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    reason: str | None = None
    min_amount: int | None = None
    max_amount: int | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    reason_part: str | None = None  # in whatever case
    api_key_id: int | None = None  # 0: without a key, by people that is
    user_id: int | None = None
    tier: int | None = None  # its number (0: none) that a movement found the participant on
    without: str | None = None  # `reason`, or `metadata.` and the name of a member

    @property
    def is_sifting(self) -> bool:
        """Whether it asks for something that no index or rollup tells, so that entries must be looked at one by one."""
        asked = (self.reason, self.reason_part, self.min_amount, self.max_amount, self.tier, self.without)
        return any(value is not None for value in asked) or bool(self.metadata)


def points(database: Database, tenant_id: int, participant_id: str, *, at: datetime | None = None) -> Points:
    """Return what a participant has, or had at an instant (zeros before the first entry).

    Raises `NotFound`, `Unavailable`.
    """
    _check_storable(participant_id)
    with database.connection() as connection:
        if at is None:
            found = connection.execute("SELECT * FROM points_of(%s, %s)", (tenant_id, participant_id), prepare=True)
        else:
            found = connection.execute("SELECT * FROM points_at(%s, %s, %s)", (tenant_id, participant_id, at), prepare=True)
        row = found.fetchone()
    if row is None:
        raise _unknown(participant_id)
    return Points(participant_id, *row)


def history(database: Database, tenant_id: int, participant_id: str, *, page: int, page_size: int) -> Page:
    """Return page `page` (from 1) of a participant's entries, newest first; past the end it is empty.

    Raises `NotFound`, `Unavailable`.
    """
    _check_storable(participant_id)
    skipped = min((page - 1) * page_size, INT64_MAX)
    values = (tenant_id, participant_id, skipped, page_size)
    with database.connection() as connection:
        cursor = connection.cursor(row_factory=namedtuple_row)
        rows: list[Any] = cursor.execute("SELECT * FROM history_of(%s, %s, %s, %s)", values, prepare=True).fetchall()
    if not rows:
        raise _unknown(participant_id)
    return Page([row for row in rows if row.id is not None], rows[0].total)


def find(database: Database, tenant_id: int, entry_id: UUID) -> Any:
    """Return one entry with its participant's id. Raises `NotFound`, `Unavailable`."""
    with database.transaction(tenant_id) as session:
        query = _with_participant(_entries(tenant_id), tenant_id).where(LedgerEntry.id == entry_id)
        row = session.execute(query).one_or_none()
    if row is None:
        raise NotFound(f"There is no transaction {entry_id}.")
    return row


def search(database: Database, tenant_id: int, wanted: Filter, *, before: UUID | None, limit: int) -> Found:
    """Return up to `limit` entries older than `before`, newest first, with their participants' ids.

    Ids hold the time, so the order of ids is the order of time and a page begins where the last one ended.
    """
    query = _with_participant(_entries(tenant_id), tenant_id).where(*within(wanted), *conditions(wanted))
    if before is not None:
        query = query.where(LedgerEntry.id < before)
    with database.transaction(tenant_id) as session:
        if wanted.participant_id is not None:
            query = query.where(LedgerEntry.participant_id == internal_id(session, tenant_id, wanted.participant_id))
            query = query.order_by(LedgerEntry.created_at.desc())
        else:
            query = query.order_by(LedgerEntry.id.desc())
        rows = session.execute(query.limit(limit + 1)).all()
    return Found(rows[:limit], rows[limit - 1].id if len(rows) > limit else None)


def _entries(tenant_id: int) -> Select[Any]:
    later = aliased(LedgerEntry)
    reversed_by = select(later.id).where(later.tenant_id == tenant_id, later.reverses == LedgerEntry.id).scalar_subquery()
    columns: tuple[Any, ...] = (
        LedgerEntry.id,
        LedgerEntry.type,
        LedgerEntry.points,
        LedgerEntry.reason,
        cast(LedgerEntry.metadata_, Text).label("metadata"),  # as it was sent, unparsed
        LedgerEntry.balance_after,
        LedgerEntry.created_at,
        LedgerEntry.reverses,
        reversed_by.label("reversed_by"),
    )
    return select(*columns).where(LedgerEntry.tenant_id == tenant_id)


def _with_participant(entries: Select[Any], tenant_id: int) -> Select[Any]:
    whose = (Participant.tenant_id == tenant_id) & (Participant.id == LedgerEntry.participant_id)
    return entries.add_columns(Participant.external_id).join(Participant, whose)


def first_id(at: datetime) -> UUID:
    """The first id an entry of instant `at` can have, as `first_entry_id` in migrations/sql; none is older than 1970."""
    us = max(0, (at - EPOCH) // MICROSECOND)
    return UUID(int=us // 1000 << 80 | 7 << 76 | us % 1000 * 4096 // 1000 << 64 | 1 << 63)


def first_id_of(at: datetime | None) -> UUID | None:
    """The same of an end that may be open."""
    return first_id(at) if at else None


def instant_of(entry_id: UUID) -> datetime:
    """The instant that an entry's id holds; of any other id, some instant."""
    ms, fraction = entry_id.int >> 80, entry_id.int >> 64 & 0xFFF
    return min(EPOCH + min(ms, LAST_MS) * 1000 * MICROSECOND + -(-fraction * 1000 // 4096) * MICROSECOND, LAST)


def within(wanted: Filter) -> list[ColumnElement[bool]]:
    """The times of a filter, as a range of ids."""
    since = [LedgerEntry.id >= first_id(wanted.since)] if wanted.since else []
    return since + ([LedgerEntry.id < first_id(wanted.until)] if wanted.until else [])


def conditions(wanted: Filter) -> list[ColumnElement[bool]]:
    """What a filter says about an entry itself, but for its time and its participant."""
    asked: list[tuple[Any, Callable[[Any], ColumnElement[bool]]]] = [
        (wanted.type, lambda value: LedgerEntry.type == value),
        (wanted.reason, lambda value: LedgerEntry.reason == value),
        (wanted.reason_part, lambda value: LedgerEntry.reason.icontains(value, autoescape=True)),
        (wanted.min_amount, lambda value: func.abs(LedgerEntry.points) >= value),
        (wanted.max_amount, lambda value: func.abs(LedgerEntry.points) <= value),
        (wanted.api_key_id, lambda value: LedgerEntry.api_key_id == value if value else LedgerEntry.api_key_id.is_(None)),
        (wanted.user_id, lambda value: LedgerEntry.user_id == value),
        (wanted.tier, lambda value: _tier_before() == value),
        (wanted.without, _is_without),
    ]
    said = [condition(value) for value, condition in asked if value is not None]
    return said + [LedgerEntry.metadata_.op("->>")(name) == value for name, value in wanted.metadata.items()]


def _tier_before() -> ColumnElement[int]:
    """The number of the tier that a movement found somebody on; the ladder that it stands on tells."""
    ladder = (Ladder.tenant_id == LedgerEntry.tenant_id) & (Ladder.version == LedgerEntry.ladder_version)
    number = select(Ladder.numbers[LedgerEntry.tier_before]).where(ladder).correlate(LedgerEntry).scalar_subquery()
    return func.coalesce(number, 0)


def _is_without(what: str) -> ColumnElement[bool]:
    if what == REASON:
        return LedgerEntry.reason.is_(None)
    return LedgerEntry.metadata_.op("->>")(what.removeprefix(MEMBER)).is_(None)


def internal_id(session: Session, tenant_id: int, participant_id: str) -> int:
    """The number the ledger knows a participant by; -1, which nobody has, for an unknown one."""
    known = select(Participant.id).where(Participant.tenant_id == tenant_id, Participant.external_id == participant_id)
    return session.scalar(known) or -1


def first_at(session: Session, tenant_id: int) -> datetime | None:
    """When a tenant's ledger begins; None while nothing is in it."""
    first = select(LedgerEntry.created_at).where(LedgerEntry.tenant_id == tenant_id).order_by(LedgerEntry.id).limit(1)
    return session.scalar(first)


def _check_storable(participant_id: str) -> None:
    if "\0" in participant_id:  # PostgreSQL cannot even be asked for it
        raise _unknown(participant_id)


def _unknown(participant_id: str) -> NotFound:
    return NotFound(f"There is no participant {participant_id!r} yet; the first award creates one.")
