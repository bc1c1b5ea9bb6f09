"""Answers that a key stands for, of whatever else than movements must not happen twice."""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import psycopg
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from gamify.db import ATTEMPTS, Database
from gamify.errors import IdempotencyMismatch
from gamify.models import IdempotencyKey


class Answer(NamedTuple):
    """What was done, as JSON has it, and whether that was before."""

    value: Any
    is_replay: bool


def once(
    database: Database, tenant_id: int, act: Callable[[Session], dict[str, Any]], *, key: str | None, fingerprint: bytes
) -> Answer:
    """Act in one transaction and keep the answer under `key`; what the key has decided before is answered again.

    Refusals are not kept. Raises `IdempotencyMismatch` for a key of another request, and whatever `act` raises.
    """
    for left in reversed(range(ATTEMPTS)):
        try:
            with database.transaction(tenant_id) as session:
                return _once(session, tenant_id, act, key=key, fingerprint=fingerprint)
        except IntegrityError as error:  # somebody else has just answered under this key: find that
            if not left or not isinstance(error.orig, psycopg.errors.UniqueViolation):
                raise
    raise AssertionError("the last attempt returns or raises")


def _once(
    session: Session, tenant_id: int, act: Callable[[Session], dict[str, Any]], *, key: str | None, fingerprint: bytes
) -> Answer:
    if key is None:
        return Answer(act(session), is_replay=False)
    # Whoever sends the same at the same moment waits for this answer: acting would tell them of what it has changed.
    session.execute(select(func.pg_advisory_xact_lock(func.hashtext(f"answer of {tenant_id} to {key}"))))
    known = session.scalar(select(IdempotencyKey).where(IdempotencyKey.tenant_id == tenant_id, IdempotencyKey.key == key))
    if known and (known.fingerprint != fingerprint or known.response is None):
        raise IdempotencyMismatch
    if known:
        return Answer(known.response, is_replay=True)
    done = act(session)
    session.add(IdempotencyKey(tenant_id=tenant_id, key=key, fingerprint=fingerprint, response=done))
    session.flush()
    return Answer(json.loads(json.dumps(done)), is_replay=False)
