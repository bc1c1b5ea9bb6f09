"""Reversals: an award taken back, or a deduct given back, once."""

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

import psycopg

from gamify.db import Database, retrying
from gamify.errors import Conflict, IdempotencyMismatch, InsufficientPoints, NotFound
from gamify.services.idempotency import fingerprint
from gamify.services.ledger import compact

STATEMENT = (
    "SELECT * FROM ledger_reverse(%s::bigint, %s::uuid, %s::boolean, %s::text, %s::text,"
    " %s::text, %s::bytea, %s::bigint, %s::text, %s::bigint)"
)


@dataclass(frozen=True, slots=True)
class Reversal:
    """A reversal as asked for, and by whom."""

    transaction_id: UUID
    reason: str | None = None
    metadata: dict[str, Any] | None = None
    idempotency_key: str | None = None
    allow_partial: bool = False  # take what is there, if an award's points are partly spent
    api_key_id: int | None = None
    request_id: str | None = None
    user_id: int | None = None  # who reverses by hand, in place of a key


class Reversed(NamedTuple):
    """What a reversal has led to, the same for ever. `requested` are the points of what it reverses."""

    transaction_id: UUID
    participant_id: str
    amount: int
    new_balance: int
    reverses: UUID
    requested: int
    is_replay: bool


def reverse(database: Database, tenant_id: int, reversal: Reversal) -> Reversed:
    """Reverse an entry: take back an award's points, or give back a deduct's; tiers follow, down too.

    Raises `NotFound`, `Conflict` (reversed before, or a reversal itself), `InsufficientPoints` (spent already),
    `IdempotencyMismatch`, `Unavailable`.
    """
    with database.connection() as connection:
        return reverse_on(connection, tenant_id, reversal)


def reverse_on(connection: psycopg.Connection[Any], tenant_id: int, reversal: Reversal) -> Reversed:
    """Do as `reverse` does on a given connection, within its transaction if it is in one."""
    is_nested = connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE
    together = connection.transaction if is_nested else nullcontext

    def attempt() -> tuple[Any, ...]:
        with together():
            return _call(connection, _values(tenant_id, reversal))

    return _settled(reversal, retrying(attempt))


def _values(tenant_id: int, reversal: Reversal) -> tuple[Any, ...]:
    key = reversal.idempotency_key
    return (
        tenant_id,
        reversal.transaction_id,
        reversal.allow_partial,
        reversal.reason,
        None if reversal.metadata is None else compact(reversal.metadata),
        key,
        _fingerprint(reversal) if key else None,
        reversal.api_key_id,
        reversal.request_id,
        reversal.user_id,
    )


def _call(connection: psycopg.Connection[Any], values: tuple[Any, ...]) -> tuple[Any, ...]:
    row: tuple[Any, ...]
    [row] = connection.execute(STATEMENT, values, prepare=True)
    return row


def _settled(reversal: Reversal, row: tuple[Any, ...]) -> Reversed:
    outcome, entry_id, participant_id, points, balance, requested, available, is_replay = row
    match outcome:
        case "recorded":
            original = reversal.transaction_id
            return Reversed(entry_id, participant_id, abs(points), balance, original, requested, is_replay)
        case "refused":
            raise InsufficientPoints(available=available, requested=requested, is_replay=is_replay)
        case "mismatched":
            raise IdempotencyMismatch
        case "reversed":
            raise Conflict(f"The transaction {reversal.transaction_id} was reversed before.")
        case "irreversible":
            raise Conflict(f"The transaction {reversal.transaction_id} is a reversal itself, which cannot be reversed.")
    raise NotFound(f"There is no transaction {reversal.transaction_id}.")


def _fingerprint(reversal: Reversal) -> bytes:
    asked = (str(reversal.transaction_id), reversal.reason, reversal.metadata, reversal.allow_partial)
    return fingerprint("reverse", *asked)
