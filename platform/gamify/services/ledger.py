"""The ledger: the only writer of a balance. The statements themselves are in `migrations/sql/`."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
from sqlalchemy import Text, cast, select

from gamify.db import Database, retrying
from gamify.errors import DomainError, IdempotencyMismatch, InsufficientPoints, NotFound, PointsOverflow
from gamify.models import LedgerEntry, Participant
from gamify.services.idempotency import fingerprint

AWARD, DEDUCT = "award", "deduct"

# One statement a kind of movement; position n of every list belongs to movement n.
_LISTS = "(%s::bigint, %s::text[], %s::integer[], %s::text[], %s::text[], %s::text[], %s::bytea[], %s::bigint[], %s::text[])"
STATEMENTS = {
    AWARD: "SELECT * FROM ledger_award" + _LISTS,  # noqa: S608  # constants
    DEDUCT: "SELECT * FROM ledger_deduct" + _LISTS,  # noqa: S608  # constants
}


@dataclass(frozen=True, slots=True)
class Movement:
    """An award or a deduct as asked for, and by whom. `amount` is in points; `metadata` is a JSON object."""

    participant_id: str
    amount: int
    reason: str | None = None
    metadata: dict[str, Any] | None = None
    idempotency_key: str | None = None
    api_key_id: int | None = None
    request_id: str | None = None

    def fingerprint(self, kind: str) -> bytes:
        """What makes this request the same as another."""
        return fingerprint(kind, self.participant_id, self.amount, self.reason, self.metadata)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a movement has led to, the same for ever."""

    transaction_id: UUID
    participant_id: str
    amount: int
    new_balance: int
    tier_upgrade: dict[str, Any] | None
    is_replay: bool = field(default=False, compare=False)


Outcome = Receipt | DomainError


class Points(NamedTuple):
    """What a participant has, had and spent, in points."""

    participant_id: str
    balance: int
    total_earned: int
    total_spent: int


class Page(NamedTuple):
    """A page of a participant's history, newest first; `total` counts all pages."""

    entries: Sequence[Any]  # rows with the columns that `history` selects
    total: int


def post(database: Database, tenant_id: int, kind: str, movements: Sequence[Movement]) -> list[Outcome]:
    """Write movements of one kind in one transaction of their own; return what became of each, in order.

    A refusal is an outcome and stops none of the others. Raises `Unavailable`, after which nothing was stored.
    """
    with database.connection() as connection:
        return retrying(lambda: post_on(connection, tenant_id, kind, movements))


def post_on(connection: psycopg.Connection[Any], tenant_id: int, kind: str, movements: Sequence[Movement]) -> list[Outcome]:
    """Do as `post` does on a given connection, within its transaction if it is in one."""
    firsts: dict[str, int] = {}  # the first movement with a key decides; a repetition is a second call
    numbers = [n for n, m in enumerate(movements) if not m.idempotency_key or firsts.setdefault(m.idempotency_key, n) == n]
    written = _write(connection, tenant_id, kind, [movements[n] for n in numbers])
    outcomes = dict(zip(numbers, written, strict=True))
    for n, movement in enumerate(movements):
        if n not in outcomes:
            first = firsts[movement.idempotency_key or ""]
            is_same = movement.fingerprint(kind) == movements[first].fingerprint(kind)
            outcomes[n] = outcomes[first] if is_same else IdempotencyMismatch()
    return [outcomes[n] for n in range(len(movements))]


def points_of(database: Database, tenant_id: int, participant_id: str) -> Points:
    """Return what a participant has. Raises `NotFound`, `Unavailable`."""
    _check_storable(participant_id)
    with database.connection() as connection:
        row = connection.execute("SELECT * FROM points_of(%s, %s)", (tenant_id, participant_id), prepare=True).fetchone()
    if row is None:
        raise _unknown(participant_id)
    return Points(participant_id, *row)


def history(database: Database, tenant_id: int, participant_id: str, *, page: int, page_size: int) -> Page:
    """Return page `page` (from 1) of a participant's entries, newest first; past the end it is empty.

    Entries are numbered without a gap, so any page is one range of the primary key. Raises `NotFound`, `Unavailable`.
    """
    _check_storable(participant_id)
    with database.transaction(tenant_id) as session:
        who = session.execute(
            select(Participant.id, Participant.entry_count).where(
                Participant.tenant_id == tenant_id, Participant.external_id == participant_id
            )
        ).one_or_none()
        if who is None:
            raise _unknown(participant_id)
        newest = who.entry_count - (page - 1) * page_size
        if newest < 1:
            return Page([], who.entry_count)
        entries = select(
            LedgerEntry.id,
            LedgerEntry.type,
            LedgerEntry.points,
            LedgerEntry.reason,
            cast(LedgerEntry.metadata_, Text).label("metadata_"),  # as it was sent, unparsed
            LedgerEntry.balance_after,
            LedgerEntry.created_at,
        ).where(
            LedgerEntry.tenant_id == tenant_id,
            LedgerEntry.participant_id == who.id,
            LedgerEntry.seq.between(newest - page_size + 1, newest),
        )
        return Page(session.execute(entries.order_by(LedgerEntry.seq.desc())).all(), who.entry_count)


def _write(connection: psycopg.Connection[Any], tenant_id: int, kind: str, movements: Sequence[Movement]) -> list[Outcome]:
    is_nested = connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE
    try:
        if not is_nested:
            return _call(connection, tenant_id, kind, movements)
        with connection.transaction():
            return _call(connection, tenant_id, kind, movements)
    except psycopg.errors.NumericValueOutOfRange:
        if len(movements) == 1:
            return [PointsOverflow()]
    with connection.transaction():  # one total is full: let that movement fail alone
        return [outcome for m in movements for outcome in _write(connection, tenant_id, kind, [m])]


def _call(connection: psycopg.Connection[Any], tenant_id: int, kind: str, movements: Sequence[Movement]) -> list[Outcome]:
    rows = connection.execute(
        STATEMENTS[kind],
        (
            tenant_id,
            [m.participant_id for m in movements],
            [m.amount for m in movements],
            [m.reason for m in movements],
            [None if m.metadata is None else _compact(m.metadata) for m in movements],
            [m.idempotency_key for m in movements],
            [m.fingerprint(kind) if m.idempotency_key else None for m in movements],
            [m.api_key_id for m in movements],
            [m.request_id for m in movements],
        ),
        prepare=True,
    ).fetchall()
    outcomes = {row[0]: _outcome(movements[row[0] - 1], row) for row in rows}
    return [outcomes[n] for n in range(1, len(movements) + 1)]


def _outcome(movement: Movement, row: tuple[Any, ...]) -> Outcome:
    _, outcome, entry_id, balance_after, tier_upgrade, available, is_replay = row
    if outcome == "mismatched":
        return IdempotencyMismatch()
    if outcome == "refused":
        return InsufficientPoints(available=available, requested=movement.amount, is_replay=is_replay)
    return Receipt(entry_id, movement.participant_id, movement.amount, balance_after, tier_upgrade, is_replay)


def _compact(metadata: dict[str, Any]) -> str:
    return json.dumps(metadata, ensure_ascii=False, separators=(",", ":"))


def _check_storable(participant_id: str) -> None:
    if "\0" in participant_id:  # PostgreSQL cannot even be asked for it
        raise _unknown(participant_id)


def _unknown(participant_id: str) -> NotFound:
    return NotFound(f"There is no participant {participant_id!r} yet; the first award creates one.")
