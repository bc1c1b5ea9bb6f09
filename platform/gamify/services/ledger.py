"""The ledger: the only writer of a balance. The statements themselves are in `migrations/sql/`."""

import json
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson
import psycopg

from gamify.db import Database, retrying
from gamify.errors import DomainError, IdempotencyMismatch, InsufficientPoints, PointsOverflow
from gamify.services.idempotency import fingerprint

AWARD, DEDUCT = "award", "deduct"

STATEMENT = "SELECT * FROM ledger_post(%s::bigint, %s::json)"


@dataclass(frozen=True, slots=True)
class Movement:
    """An award or a deduct as asked for, and by whom. `amount` is in points; `metadata` is a JSON object."""

    kind: str
    participant_id: str
    amount: int
    reason: str | None = None
    metadata: dict[str, Any] | None = None
    idempotency_key: str | None = None
    api_key_id: int | None = None
    user_id: int | None = None  # who moves points by hand, in place of a key
    request_id: str | None = None

    @property
    def fingerprint(self) -> bytes:
        """What makes this request the same as another."""
        return fingerprint(self.kind, self.participant_id, self.amount, self.reason, self.metadata)


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


def post(database: Database, tenant_id: int, movements: Sequence[Movement]) -> list[Outcome]:
    """Write movements in one transaction of their own; return what became of each, in order.

    A refusal is an outcome and stops none of the others. Raises `Unavailable`: nothing was stored, unless the connection
    broke while the commit was on its way, which only a repetition with the same key can tell.
    """
    keys = [m.idempotency_key for m in movements if m.idempotency_key]
    with database.connection() as connection:
        # A key that stands twice takes a second statement, and both must be one transaction.
        together = nullcontext if len(set(keys)) == len(keys) else connection.transaction

        def attempt() -> list[Outcome]:
            with together():
                return post_on(connection, tenant_id, movements)

        return retrying(attempt)


def post_on(connection: psycopg.Connection[Any], tenant_id: int, movements: Sequence[Movement]) -> list[Outcome]:
    """Do as `post` does on a given connection, within its transaction if it is in one."""
    outcomes: dict[int, Outcome] = {}
    waiting = list(range(len(movements)))
    while waiting:  # once, unless keys stand twice: a repetition is a second call, and comes after the first
        keys: set[str] = set()
        numbers = [n for n in waiting if _is_first(movements[n].idempotency_key, keys)]
        written = _write(connection, tenant_id, [movements[n] for n in numbers])
        outcomes.update(zip(numbers, written, strict=True))
        waiting = [n for n in waiting if n not in outcomes]
    return [outcomes[n] for n in range(len(movements))]


def _is_first(key: str | None, seen: set[str]) -> bool:
    """Whether a movement has no key, or one that is not among those seen; it is from now on."""
    if key is None or key not in seen:
        seen.update([key] if key else [])
        return True
    return False


def _write(connection: psycopg.Connection[Any], tenant_id: int, movements: Sequence[Movement]) -> list[Outcome]:
    is_nested = connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE
    try:
        if not is_nested:
            return _call(connection, tenant_id, movements)
        with connection.transaction():
            return _call(connection, tenant_id, movements)
    except psycopg.errors.NumericValueOutOfRange:
        if len(movements) == 1:
            return [PointsOverflow()]
    with connection.transaction():  # one total is full: let that movement fail alone
        return [outcome for m in movements for outcome in _write(connection, tenant_id, [m])]


def _call(connection: psycopg.Connection[Any], tenant_id: int, movements: Sequence[Movement]) -> list[Outcome]:
    asked = orjson.dumps([_as_asked(m) for m in movements]).decode()
    rows = connection.execute(STATEMENT, (tenant_id, asked), prepare=True).fetchall()
    outcomes = {row[0]: _outcome(movements[row[0] - 1], row) for row in rows}
    return [outcomes[n] for n in range(1, len(movements) + 1)]


def _outcome(movement: Movement, row: tuple[Any, ...]) -> Outcome:
    _, outcome, entry_id, balance_after, tier_upgrade, available, is_replay = row
    if outcome == "mismatched":
        return IdempotencyMismatch()
    if outcome == "refused":
        return InsufficientPoints(available=available, requested=movement.amount, is_replay=is_replay)
    return Receipt(entry_id, movement.participant_id, movement.amount, balance_after, tier_upgrade, is_replay)


def _as_asked(movement: Movement) -> dict[str, Any]:
    """The movement as `ledger_request` in migrations/sql; JSON's integers are exact only in its text, so that is made here."""
    key, metadata = movement.idempotency_key, movement.metadata
    return {
        "participant": movement.participant_id,
        "points": movement.amount if movement.kind == AWARD else -movement.amount,
        "reason": movement.reason,
        "metadata": None if metadata is None else orjson.Fragment(compact(metadata)),
        "key": key,
        "fingerprint": None if key is None else "\\x" + movement.fingerprint.hex(),
        "api_key_id": movement.api_key_id,
        "request_id": movement.request_id,
        "user_id": movement.user_id,
    }


def compact(metadata: dict[str, Any]) -> str:
    """Return metadata as they are kept: every number as Python writes it, which reads back as the same."""
    return json.dumps(metadata, ensure_ascii=False, separators=(",", ":"))
