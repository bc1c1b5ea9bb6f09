"""Batches of awards: independent items, one transaction, and an answer that one key can stand for."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import psycopg

from gamify.db import Database, retrying
from gamify.errors import IdempotencyMismatch, Invalid
from gamify.services import ledger
from gamify.services.ledger import Movement, Outcome, Receipt

SET_PATIENCE = "SET LOCAL statement_timeout = '10s'"

Item = Movement | Invalid  # what an element of the batch was read as


class Batch(NamedTuple):
    """A whole batch as asked for; `fingerprint` tells it from others when it has a key."""

    items: Sequence[Item]
    participant_ids: Sequence[str | None]  # as sent, also of items that could not be read
    idempotency_key: str | None = None
    fingerprint: bytes = b""


class Answer(NamedTuple):
    """The batch's answer as JSON text: the same characters whenever it is given again."""

    text: str
    is_replay: bool


def award(database: Database, tenant_id: int, batch: Batch) -> Answer:
    """Award every item that can be; the others fail alone.

    Raises `IdempotencyMismatch` if the batch's key stands for another request, `Unavailable` with nothing stored.
    """
    with database.connection() as connection:
        return retrying(lambda: _award_once(connection, tenant_id, batch))


def _award_once(connection: psycopg.Connection[Any], tenant_id: int, batch: Batch) -> Answer:
    with connection.transaction():
        # A hundred awards may meet a hundred others: each wait is short (see db.py), all of them together need not be.
        connection.execute(SET_PATIENCE)
        if batch.idempotency_key is None:
            return Answer(_text(batch, ledger.post_on(connection, tenant_id, _movements(batch))), is_replay=False)
        connection.execute("SELECT set_config('app.tenant_id', %s, true)", [str(tenant_id)])
        known = connection.execute(
            "SELECT fingerprint, response::text FROM idempotency_keys WHERE tenant_id = %s AND key = %s",
            [tenant_id, batch.idempotency_key],
        ).fetchone()
        if known and known[0] != batch.fingerprint:
            raise IdempotencyMismatch
        if known:
            return Answer(known[1], is_replay=True)
        text = _text(batch, ledger.post_on(connection, tenant_id, _movements(batch)))
        # Last, like every key (see migrations/sql): if the same batch is being answered elsewhere this waits for it,
        # fails, and the next attempt finds its answer.
        connection.execute(
            "INSERT INTO idempotency_keys (tenant_id, key, fingerprint, response) VALUES (%s, %s, %s, %s)",
            [tenant_id, batch.idempotency_key, batch.fingerprint, text],
        )
    return Answer(text, is_replay=False)


def _movements(batch: Batch) -> list[Movement]:
    return [item for item in batch.items if isinstance(item, Movement)]


def _text(batch: Batch, outcomes: Sequence[Outcome]) -> str:
    remaining = iter(outcomes)
    settled = [item if isinstance(item, Invalid) else next(remaining) for item in batch.items]
    results = [_result(who, outcome) for who, outcome in zip(batch.participant_ids, settled, strict=True)]
    failed = sum(result["error"] is not None for result in results)
    # Escaped to ASCII: a participant id that failed for its lone surrogates is told back as it was sent.
    return json.dumps({"processed": len(results) - failed, "failed": failed, "results": results})


def _result(participant_id: str | None, outcome: Outcome) -> dict[str, Any]:
    result: dict[str, Any] = {"participant_id": participant_id}
    if isinstance(outcome, Receipt):
        moved = {"transaction_id": str(outcome.transaction_id), "new_balance": outcome.new_balance}
        return result | moved | {"tier_upgrade": outcome.tier_upgrade, "error": None}
    return result | {"transaction_id": None, "new_balance": None, "tier_upgrade": None, "error": str(outcome)}
