"""What movements look like, asked for and done; the API document is made from these."""

from marshmallow import Schema, fields, validate

from gamify.api.fields import (
    NO_NUL,
    Flag,
    Metadata,
    ParticipantId,
    Text,
    check_key,
    points,
)
from gamify.services.bounds import KEY, LARGEST_AMOUNT, LONGEST_REASON
from gamify.services.json_objects import DEEPEST, LARGEST

LARGEST_BATCH = 100


class StrictSchema(Schema):
    """Refuses members it does not know by name, so that a misspelt one never costs anyone points."""

    error_messages = {  # noqa: RUF012  # marshmallow declares it so
        "unknown": "Is not a known member; check its spelling.",
        "type": "Must be a JSON object.",
    }


class _DescribedSchema(StrictSchema):
    """What every change to the ledger may say about itself."""

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
            "type": "object",
            "description": f"Your own data: at most {LARGEST // 1024} KiB and {DEEPEST} levels.",
            "examples": [{"order_id": "ord_abc", "amount_usd": 49.99}],
        },
    )
    idempotency_key = fields.String(
        load_default=None,
        allow_none=True,
        validate=check_key,
        error_messages={"invalid": "Must be a string."},
        metadata={
            "description": "Makes a repetition harmless: the same key has one effect and one answer, for ever.",
            "pattern": f"^{KEY.pattern}$",
            "examples": ["purchase_ord_abc"],
        },
    )


class _MovementSchema(_DescribedSchema):
    participant_id = ParticipantId()


class AwardSchema(_MovementSchema):
    """Points to award to a participant."""

    amount = points("Points to award.")


class DeductSchema(_MovementSchema):
    """Points to deduct from a participant."""

    amount = points("Points to deduct.")


class ReverseSchema(_DescribedSchema):
    """What to say about a reversal."""

    allow_partial = Flag(
        load_default=False,
        allow_none=True,
        metadata={"description": "Take back what is left of an award whose points are partly spent, instead of refusing."},
    )


class BatchSchema(StrictSchema):
    """Awards, each of which succeeds or fails alone."""

    body_limit = 4 * 1024 * 1024

    awards = fields.List(
        fields.Raw(
            allow_none=True,
            metadata={"anyOf": [{"$ref": "#/components/schemas/Award"}, {"description": "Anything else fails alone."}]},
        ),
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


class ReversedSchema(DeductedSchema):
    """A recorded reversal."""

    reverses = fields.UUID(required=True, metadata={"description": "The transaction taken back."})
    requested = fields.Integer(
        required=True, metadata={"description": "Its points; `amount` is less after a partial reversal.", "examples": [100]}
    )


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
    draft = fields.Dict(metadata={"description": "With `draft_changed`: the draft of tiers as it is now."})
