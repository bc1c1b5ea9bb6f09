"""What requests and answers look like; the API document is made from these."""

import json
import re
from math import isfinite
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

LARGEST_AMOUNT = 1_000_000
LONGEST_ID, LONGEST_REASON, LONGEST_KEY = 255, 500, 255
LARGEST_METADATA = 16 * 1024  # bytes of compact UTF-8
DEEPEST_METADATA = 32  # levels; the object itself is the first
LARGEST_BATCH = 100
LARGEST_PAGE_SIZE = 100
INT64 = range(-(2**63), 2**63)

KEY = re.compile(rf"[A-Za-z0-9_:.-]{{1,{LONGEST_KEY}}}")
WHITE_SPACE = re.compile(r"[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+")  # Unicode's White_Space
# The same in the dialect of JSON Schema, for the document.
NO_NUL = "^[^\\u0000]*$"
NOT_ONLY_WHITE_SPACE = (
    r"^[^\u0000]*[^\u0000\u0009-\u000d\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000][^\u0000]*$"
)
UNKNOWN = {"unknown": "Is not a known member; check its spelling."}
BAD_TEXT = "Must be Unicode text without the character U+0000."


def check_text(text: str) -> None:
    """Refuse what PostgreSQL cannot hold: U+0000 and lone surrogates."""
    if "\0" in text or not (text.isascii() or _is_encodable(text)):
        raise ValidationError(BAD_TEXT)


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_idempotency_key(text: str) -> bool:
    """Whether the text can be an idempotency key."""
    return KEY.fullmatch(text) is not None


def _check_key(text: str) -> None:
    if not is_idempotency_key(text):
        raise ValidationError(f"Must have 1 to {LONGEST_KEY} of the characters A-Z a-z 0-9 _ - : .")


class Text(fields.String):
    """Text that can be stored, of `longest` code points at most."""

    def __init__(self, *, longest: int, shortest: int = 0, **kwargs: Any) -> None:
        super().__init__(
            validate=[check_text, validate.Length(shortest, longest, error=f"Must have {shortest} to {longest} characters.")],
            error_messages={"invalid": "Must be a string.", "required": "Is required.", "null": "Is required."},
            **kwargs,
        )


class ParticipantId(Text):
    """The tenant's own id for who collects points: any text but white space alone."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(longest=LONGEST_ID, shortest=1, required=True, **kwargs)
        self.validators.append(self._check)

    @staticmethod
    def _check(value: str) -> None:
        if value in (".", ".."):
            raise ValidationError("Cannot be . or .., which no URL can carry.")
        if WHITE_SPACE.fullmatch(value):
            raise ValidationError("Cannot be white space only.")


class Metadata(fields.Field[dict[str, Any]]):
    """A JSON object that comes back with equal values."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise ValidationError("Must be a JSON object.")
        self._check(value)
        if len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()) > LARGEST_METADATA:
            raise ValidationError(f"Must have at most {LARGEST_METADATA} bytes as compact JSON.")
        return value

    @staticmethod
    def _check(value: dict[str, Any]) -> None:
        level: list[Any] = [value]
        for _ in range(DEEPEST_METADATA):
            inner: list[Any] = []
            for container in level:
                items = container
                if isinstance(container, dict):
                    for name in container:
                        check_text(name)
                    items = container.values()
                for item in items:
                    if isinstance(item, (dict, list)):
                        inner.append(item)
                    else:
                        _check_scalar(item)
            if not inner:
                return
            level = inner
        raise ValidationError(f"Must be nested at most {DEEPEST_METADATA} levels deep.")


def _check_scalar(value: Any) -> None:
    if isinstance(value, str):
        check_text(value)
    elif isinstance(value, float) and not isfinite(value):
        raise ValidationError("Has a number that is too large.")
    elif isinstance(value, int) and value not in INT64:
        raise ValidationError("Has an integer outside -2^63 … 2^63-1.")


def _amount(what: str) -> fields.Integer:
    sentence = f"Must be a whole number from 1 to {LARGEST_AMOUNT}."
    return fields.Integer(
        strict=True,
        required=True,
        validate=validate.Range(1, LARGEST_AMOUNT, error=sentence),
        error_messages={"invalid": sentence, "required": "Is required.", "null": "Is required.", "too_large": sentence},
        metadata={"description": what, "examples": [100]},
    )


class StrictSchema(Schema):
    """Refuses members it does not know by name, so that a misspelt one never costs anyone points."""

    error_messages = {**UNKNOWN, "type": "Must be a JSON object."}  # noqa: RUF012  # marshmallow declares it so


class _MovementSchema(StrictSchema):
    participant_id = ParticipantId(
        metadata={
            "description": "Your own id for who collects points; any text.",
            "examples": ["user_123"],
            "pattern": NOT_ONLY_WHITE_SPACE,
            "not": {"enum": [".", ".."]},
        }
    )
    reason = Text(
        longest=LONGEST_REASON,
        load_default=None,
        allow_none=True,
        metadata={"description": "Shown in the history.", "examples": ["Purchase completed"], "pattern": NO_NUL},
    )
    metadata = Metadata(
        load_default=None,
        allow_none=True,
        metadata={
            "type": ["object", "null"],
            "description": f"Your own data: at most {LARGEST_METADATA // 1024} KiB and {DEEPEST_METADATA} levels.",
            "examples": [{"order_id": "ord_abc", "amount_usd": 49.99}],
        },
    )
    idempotency_key = fields.String(
        load_default=None,
        allow_none=True,
        validate=_check_key,
        error_messages={"invalid": "Must be a string."},
        metadata={
            "description": "Makes a repetition harmless: the same key has one effect and one answer, for ever.",
            "pattern": f"^{KEY.pattern}$",
            "examples": ["purchase_ord_abc"],
        },
    )


class AwardSchema(_MovementSchema):
    """Points to award to a participant."""

    amount = _amount("Points to award.")


class DeductSchema(_MovementSchema):
    """Points to deduct from a participant."""

    amount = _amount("Points to deduct.")


class BatchSchema(StrictSchema):
    """Awards, each of which succeeds or fails alone."""

    body_limit = 4 * 1024 * 1024

    awards = fields.List(
        fields.Raw(metadata={"anyOf": [{"$ref": "#/components/schemas/Award"}, {"description": "Anything else fails alone."}]}),
        required=True,
        validate=validate.Length(1, LARGEST_BATCH, error=f"Must be a list of 1 to {LARGEST_BATCH} awards."),
        error_messages={
            "required": "Is required.",
            "null": "Is required.",
            "invalid": f"Must be a list of 1 to {LARGEST_BATCH} awards.",
        },
        metadata={"description": f"1 to {LARGEST_BATCH} awards, applied in order."},
    )


class TierUpgradeSchema(Schema):
    """The tier that this very award has led to."""

    code = fields.String(required=True, metadata={"examples": ["gold"]})
    name = fields.String(required=True, metadata={"examples": ["Gold Tier"]})
    level = fields.Integer(required=True, metadata={"examples": [3]})
    previous_code = fields.String(required=True, allow_none=True, metadata={"examples": ["silver"]})
    previous_level = fields.Integer(required=True, allow_none=True, metadata={"examples": [2]})


class DeductedSchema(Schema):
    """A recorded deduct."""

    transaction_id = fields.UUID(required=True, metadata={"description": "A UUIDv7."})
    participant_id = fields.String(required=True, metadata={"examples": ["user_123"]})
    amount = fields.Integer(required=True, metadata={"examples": [100]})
    new_balance = fields.Integer(required=True, metadata={"examples": [1500]})


class AwardedSchema(DeductedSchema):
    """A recorded award."""

    tier_upgrade = fields.Nested(
        TierUpgradeSchema,
        required=True,
        allow_none=True,
        metadata={"description": "Null unless this award led to a higher tier."},
    )


class BatchResultSchema(Schema):
    """What became of one award of a batch."""

    participant_id = fields.String(required=True, allow_none=True, metadata={"examples": ["user_1"]})
    transaction_id = fields.UUID(required=True, allow_none=True)
    new_balance = fields.Integer(required=True, allow_none=True, metadata={"examples": [500]})
    tier_upgrade = fields.Nested(TierUpgradeSchema, required=True, allow_none=True)
    error = fields.String(required=True, allow_none=True, metadata={"description": "Why this award failed; null if it did not."})


class BatchAnswerSchema(Schema):
    """What became of a batch, in the order of its awards."""

    processed = fields.Integer(required=True, metadata={"description": "Awards that succeeded, replays included."})
    failed = fields.Integer(required=True)
    results = fields.List(fields.Nested(BatchResultSchema), required=True)


class PointsSchema(Schema):
    """What a participant has."""

    participant_id = fields.String(required=True, metadata={"examples": ["user_123"]})
    balance = fields.Integer(required=True, metadata={"examples": [1500]})
    total_earned = fields.Integer(required=True, metadata={"examples": [5000]})
    total_spent = fields.Integer(required=True, metadata={"examples": [3500]})


def _whole(largest: int, default: int, description: str) -> fields.Integer:
    sentence = f"Must be a whole number from 1 to {largest}."
    return fields.Integer(
        load_default=default,
        validate=validate.Range(1, largest, error=sentence),
        error_messages={"invalid": sentence, "too_large": sentence},
        metadata={"description": description},
    )


class PageSchema(Schema):
    """Which page of a history."""

    page = _whole(2**63 - 1, 1, "From 1, the newest.")
    page_size = _whole(LARGEST_PAGE_SIZE, 20, "Transactions a page.")

    @validates_schema(pass_original=True)
    def _digits_only(self, _data: Any, original: Any, **_: Any) -> None:
        """Python reads ` 1`, `+1`, `1_0` and Arabic digits as numbers too; a URL should not."""
        odd = {
            name: ["Must be written in digits 0-9."] for name, value in original.items() if not re.fullmatch("[0-9]{1,19}", value)
        }
        if odd:
            raise ValidationError(odd)


class NothingSchema(Schema):
    """No parameters."""


class TransactionSchema(Schema):
    """One movement of points."""

    transaction_id = fields.UUID(required=True, metadata={"description": "A UUIDv7."})
    type = fields.String(required=True, validate=validate.OneOf(["award", "deduct"]))
    amount = fields.Integer(
        required=True, metadata={"description": "Always positive; the type tells the direction.", "examples": [100]}
    )
    reason = fields.String(required=True, allow_none=True, metadata={"examples": ["Purchase completed"]})
    metadata = fields.Dict(required=True, allow_none=True)
    balance_after = fields.Integer(required=True, metadata={"examples": [1500]})
    created_at = fields.DateTime(required=True, metadata={"examples": ["2026-02-14T10:00:00Z"]})


class HistorySchema(Schema):
    """A page of transactions, newest first."""

    transactions = fields.List(fields.Nested(TransactionSchema), required=True)
    total = fields.Integer(required=True, metadata={"examples": [156]})
    page = fields.Integer(required=True, metadata={"examples": [1]})
    page_size = fields.Integer(required=True, metadata={"examples": [20]})


class FieldErrorSchema(Schema):
    """One thing wrong with a request."""

    field = fields.String(required=True, metadata={"examples": ["amount"]})
    message = fields.String(required=True, metadata={"examples": [f"Must be a whole number from 1 to {LARGEST_AMOUNT}."]})


class ProblemSchema(Schema):
    """RFC 9457 problem details: every answer that is not 200."""

    type = fields.String(required=True, metadata={"examples": ["/docs#problem-insufficient_points"]})
    title = fields.String(required=True, metadata={"examples": ["Not enough points"]})
    status = fields.Integer(required=True, metadata={"examples": [400]})
    detail = fields.String(required=True, metadata={"examples": ["Insufficient points. Available: 30, requested: 50"]})
    code = fields.String(required=True, metadata={"description": "Stable; for programs.", "examples": ["insufficient_points"]})
    request_id = fields.String(required=True, metadata={"examples": ["0198f0c2a1b27c3d9e4f5a6b7c8d9e0f"]})
    errors = fields.List(fields.Nested(FieldErrorSchema), metadata={"description": "With 422: each field that is wrong."})
