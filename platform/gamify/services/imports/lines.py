"""What a line may say, cell by cell, and the movements it stands for. Everything here is pure."""

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple, NoReturn

import orjson

from gamify.errors import FieldError
from gamify.services import json_objects
from gamify.services.bounds import (
    LARGEST_AMOUNT,
    LONGEST_REASON,
    key_problem,
    name_problem,
    participant_id_problem,
    text_problem,
)
from gamify.services.idempotency import fingerprint
from gamify.services.ledger import AWARD, DEDUCT, Movement, compact
from gamify.services.measures import BEGINNING

LARGEST_BALANCE = 10**12  # points: years of awards in one
OPENING, SPENT_BEFORE = "Opening balance", "Opening balance: spent before"
TIME = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d(?:\.\d{1,6})?)(?:[Zz]|([+-]\d\d:\d\d))", re.ASCII)
DIGITS = re.compile(r"[0-9]{1,19}", re.ASCII)
DIGEST_SIZE = 16  # bytes


class Line(NamedTuple):
    """A line that can be written, as far as it tells by itself. `points` of a history are signed."""

    number: int
    participant_id: str
    points: int  # of an opening balance: all ever earned
    key: str
    fingerprint: bytes
    spent: int = 0
    at: datetime | None = None  # None for an opening balance, which is dated when it is written
    reason: str | None = None
    metadata: str | None = None  # as compact JSON
    name: str | None = None


def opening(number: int, cells: Mapping[str, str]) -> Line | list[FieldError]:
    """Read a line of opening balances, or say what is wrong with it.

    Its key is made of the participant alone: nobody has two opening balances.
    """
    errors: list[FieldError] = []
    participant_id = _participant(cells, errors)
    balance = _whole(cells, "balance", 0, LARGEST_BALANCE, errors)
    earned = _whole(cells, "total_earned", 0, LARGEST_BALANCE, errors) if cells.get("total_earned", "").strip() else balance
    name = cells.get("display_name") or None
    if name is not None and (problem := name_problem(name)):
        errors.append(FieldError("display_name", problem))
    if not errors and earned < balance:
        errors.append(FieldError("total_earned", f"Must be at least the balance, {balance:,}."))
    if errors:
        return errors
    award = awarded(participant_id, earned, balance)
    return Line(number, participant_id, earned, award.idempotency_key or "", award.fingerprint, spent=earned - balance, name=name)


def awarded(participant_id: str, earned: int, balance: int) -> Movement:
    """The award that an opening balance becomes; what is spent of it already belongs to what is asked for."""
    metadata = {"balance": balance} if balance < earned else None
    key = f"opening-balance:{_digest(participant_id)}"
    return Movement(AWARD, participant_id, earned, OPENING, metadata, idempotency_key=key)


def spent(award: Movement, points: int) -> Movement:
    """The deduct that follows the award, of what was spent in the other system."""
    return Movement(DEDUCT, award.participant_id, points, SPENT_BEFORE, idempotency_key=f"{award.idempotency_key}:spent")


def entry(number: int, cells: Mapping[str, str], *, now: datetime) -> Line | list[FieldError]:
    """Read a line of history, or say what is wrong with it; without a key of its own it gets one made of all it says."""
    errors: list[FieldError] = []
    participant_id = _participant(cells, errors)
    kind = cells["type"].strip().lower()
    if kind not in (AWARD, DEDUCT):
        errors.append(FieldError("type", "Must be award or deduct."))
    amount = _whole(cells, "amount", 1, LARGEST_AMOUNT, errors)
    at = _time(cells["created_at"].strip(), now, errors)
    reason = cells.get("reason") or None
    if reason is not None and (problem := text_problem(reason) or _length_problem(reason)):
        errors.append(FieldError("reason", problem))
    metadata = _metadata(cells.get("metadata", "").strip(), errors)
    key = cells.get("idempotency_key", "").strip() or None
    if key is not None and (problem := key_problem(key)):
        errors.append(FieldError("idempotency_key", problem))
    if errors:
        return errors
    asked = (kind, participant_id, amount, reason, metadata)
    key = key or f"import:{_digest(*asked, at.isoformat())}"
    return Line(
        number,
        participant_id,
        amount if kind == AWARD else -amount,
        key,
        fingerprint(*asked),  # as the API's: sent there again with the key, it is a repetition
        at=at,
        reason=reason,
        metadata=None if metadata is None else compact(metadata),
    )


def _participant(cells: Mapping[str, str], errors: list[FieldError]) -> str:
    participant_id = cells["participant_id"]
    if problem := participant_id_problem(participant_id):
        errors.append(FieldError("participant_id", problem))
    return participant_id


def _whole(cells: Mapping[str, str], field: str, least: int, most: int, errors: list[FieldError]) -> int:
    written = cells[field].strip()
    number = int(written) if DIGITS.fullmatch(written) else -1
    if not least <= number <= most:
        errors.append(FieldError(field, f"Must be a whole number from {least:,} to {most:,}, in digits only."))
    return number


def _time(written: str, now: datetime, errors: list[FieldError]) -> datetime:
    at = BEGINNING
    problem = "Must be a time with its offset, such as 2024-02-14T10:00:00Z or 2024-02-14T11:00:00+01:00."
    if found := TIME.fullmatch(written):
        try:
            at = datetime.fromisoformat(f"{found[1]}T{found[2]}{found[3] or '+00:00'}").astimezone(UTC)
        except (ValueError, OverflowError):
            pass
        else:
            problem = "Must not be before 1970." if at < BEGINNING else "Must not be in the future." if at > now else ""
    if problem:
        errors.append(FieldError("created_at", problem))
    return at


def _metadata(written: str, errors: list[FieldError]) -> dict[str, Any] | None:
    if not written:
        return None
    try:
        value = DECODER.decode(written)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        errors.append(FieldError("metadata", 'Must be a JSON object, such as {"order": "A-17"}.'))
        return None
    if problem := json_objects.problem(value):
        errors.append(FieldError("metadata", problem))
    return value


def _length_problem(reason: str) -> str | None:
    return f"Must have at most {LONGEST_REASON} characters." if len(reason) > LONGEST_REASON else None


def _digest(*values: Any) -> str:
    return hashlib.blake2b(orjson.dumps(values, option=orjson.OPT_SORT_KEYS), digest_size=DIGEST_SIZE).hexdigest()


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
