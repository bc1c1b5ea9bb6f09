"""Points moved by a person's hand: awarded, deducted or taken back, for a reason, once a form."""

import re
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import psycopg
from sqlalchemy.orm import Session

from gamify.db import retrying
from gamify.errors import DomainError, FieldError, IdempotencyMismatch, Invalid
from gamify.services import audit, ledger, reversals
from gamify.services.audit import Actor
from gamify.services.bounds import LARGEST_AMOUNT, LONGEST_REASON, key_problem, participant_id_problem, text_problem
from gamify.services.ledger import AWARD, DEDUCT, Movement, Receipt
from gamify.services.reversals import Reversal, Reversed

DIGITS = re.compile(r"[0-9]{1,9}")
SEPARATORS = str.maketrans("", "", ",\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE} ")
SENT_BEFORE = "This form was sent before, with other values; what it asked for then is done. Look at the ledger, and try again."


@dataclass(frozen=True, slots=True)
class Adjustment:
    """Points to award or deduct, as a form asks for it."""

    kind: str
    participant_id: str
    amount: int  # points, positive
    reason: str
    key: str  # of the form: sent twice, it moves points once


class Preview(NamedTuple):
    """What an adjustment would lead to. `available` is set when there are fewer points than it would deduct."""

    balance: int
    total_earned: int
    available: int | None


def new_key() -> str:
    """Return the key of a new form."""
    return f"form:{uuid4().hex}"


def read(*, kind: str, participant_id: str, amount: str, reason: str, key: str) -> Adjustment:
    """Return what the texts of a form ask for. Raises `Invalid` with all that is wrong."""
    problems = {
        "kind": None if kind in (AWARD, DEDUCT) else "Choose award or deduct.",
        "participant_id": participant_id_problem(participant_id),
        "amount": amount_problem(amount),
        "reason": reason_problem(reason),
        "key": key_problem(key),
    }
    if errors := [FieldError(field, problem) for field, problem in problems.items() if problem]:
        raise Invalid(errors)
    return Adjustment(kind, participant_id, points(amount), reason.strip(), key)


def amount_problem(amount: str) -> str | None:
    """An amount is written in digits, perhaps with separators between thousands."""
    digits = amount.translate(SEPARATORS)
    is_fine = DIGITS.fullmatch(digits) and 1 <= int(digits) <= LARGEST_AMOUNT
    return None if is_fine else f"Must be a whole number from 1 to {LARGEST_AMOUNT:,}."


def points(amount: str) -> int:
    """Return the points that an amount without problems says."""
    return int(amount.translate(SEPARATORS))


def reason_problem(reason: str) -> str | None:
    """Whoever moves points by hand says why."""
    if not reason.strip():
        return "Say why, for whoever reads the ledger later."
    long = f"Must have at most {LONGEST_REASON} characters." if len(reason.strip()) > LONGEST_REASON else None
    return text_problem(reason) or long


def preview(*, balance: int, total_earned: int, kind: str, amount: int) -> Preview:
    """Return what a participant with these figures would have."""
    if kind == DEDUCT:
        return Preview(balance - amount, total_earned, balance if amount > balance else None)
    return Preview(balance + amount, total_earned + amount, None)


def adjust(session: Session, tenant_id: int, adjustment: Adjustment, *, actor: Actor) -> Receipt:
    """Award or deduct points; the movement and its line in the audit log are one transaction.

    Sent again, nothing moves and nothing is written down. What is refused leaves nothing behind, so the same form can be
    corrected. Raises `InsufficientPoints`, `Invalid`.
    """
    movement = Movement(
        adjustment.kind,
        adjustment.participant_id,
        adjustment.amount,
        reason=adjustment.reason,
        idempotency_key=adjustment.key,
        user_id=actor.id,
        request_id=actor.request_id,
    )
    connection = _connection(session)
    [outcome] = retrying(lambda: ledger.post_on(connection, tenant_id, [movement]))
    if isinstance(outcome, IdempotencyMismatch):
        raise Invalid([FieldError("form", SENT_BEFORE)])
    if isinstance(outcome, DomainError):
        raise outcome
    if not outcome.is_replay:
        moved = outcome.amount if adjustment.kind == AWARD else -outcome.amount
        # It names the entry and neither the participant nor the reason: those can be erased, but not from the log.
        said = {"points": moved, "balance": outcome.new_balance}
        audit.record(session, tenant_id, actor, action="points.adjust", subject=str(outcome.transaction_id), after=said)
    return outcome


def reverse(
    session: Session, tenant_id: int, entry_id: UUID, *, reason: str, key: str, allow_partial: bool, actor: Actor
) -> Reversed:
    """Take an entry back; with the audit log and when sent again as `adjust`.

    Raises `NotFound`, `Conflict` (reversed before, or a reversal itself), `InsufficientPoints` (spent already), `Invalid`.
    """
    problems = {"reason": reason_problem(reason), "key": key_problem(key)}
    if errors := [FieldError(field, problem) for field, problem in problems.items() if problem]:
        raise Invalid(errors)
    reversal = Reversal(
        entry_id,
        reason=reason.strip(),
        idempotency_key=key,
        allow_partial=allow_partial,
        user_id=actor.id,
        request_id=actor.request_id,
    )
    try:
        done = reversals.reverse_on(_connection(session), tenant_id, reversal)
    except IdempotencyMismatch as error:
        raise Invalid([FieldError("form", SENT_BEFORE)]) from error
    if not done.is_replay:
        said = {"reverses": str(done.reverses), "points": done.amount, "balance": done.new_balance}
        audit.record(session, tenant_id, actor, action="points.reverse", subject=str(done.transaction_id), after=said)
    return done


def _connection(session: Session) -> psycopg.Connection[Any]:
    found: psycopg.Connection[Any] = session.connection().connection.driver_connection  # type: ignore[assignment]  # psycopg's
    return found
