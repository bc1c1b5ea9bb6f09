"""What can be read; the API document is made from these."""

from marshmallow import Schema, fields, validate

from gamify.api.fields import Text, Time, Whole
from gamify.services.bounds import LONGEST_ID, LONGEST_REASON

INT64_MAX = 2**63 - 1
LARGEST_PAGE = 100
TYPES = ("award", "deduct", "award_reversal", "deduct_reversal")


class NothingSchema(Schema):
    """No parameters."""


class InstantSchema(Schema):
    """When to look."""

    at = Time(
        load_default=None, metadata={"description": "As of this instant; now if absent.", "examples": ["2026-02-14T10:00:00Z"]}
    )


class PageSchema(Schema):
    """Which page of a history."""

    page = Whole(INT64_MAX, load_default=1, metadata={"description": "From 1, the newest."})
    page_size = Whole(LARGEST_PAGE, load_default=20, metadata={"description": "Transactions a page."})


class SearchSchema(Schema):
    """What to search for."""

    dotted = "metadata"  # any parameter that begins so is a member of the metadata

    participant_id = Text(longest=LONGEST_ID, load_default=None)
    type = fields.String(load_default=None, validate=validate.OneOf(TYPES, error=f"Must be one of {', '.join(TYPES)}."))
    since = Time(data_key="from", load_default=None, metadata={"description": "Not before this instant."})
    until = Time(data_key="to", load_default=None, metadata={"description": "Before this instant."})
    reason = Text(longest=LONGEST_REASON, load_default=None, metadata={"description": "Exactly this reason."})
    metadata_member = Text(
        longest=LONGEST_REASON,
        data_key="metadata.KEY",
        load_default=None,
        metadata={"description": "Put a member's name for KEY, as in `metadata.order_id=ord_abc`; may be given for several."},
    )
    min_amount = Whole(INT64_MAX, load_default=None)
    max_amount = Whole(INT64_MAX, load_default=None)
    limit = Whole(LARGEST_PAGE, load_default=20)
    cursor = fields.String(load_default=None, metadata={"description": "`next_cursor` of the answer before."})


class PointsSchema(Schema):
    """What a participant has."""

    participant_id = fields.String(required=True, metadata={"examples": ["user_123"]})
    balance = fields.Integer(required=True, metadata={"examples": [1500]})
    total_earned = fields.Integer(required=True, metadata={"examples": [5000]})
    total_spent = fields.Integer(required=True, metadata={"examples": [3500]})


class TransactionSchema(Schema):
    """One movement of points."""

    transaction_id = fields.UUID(required=True, metadata={"description": "A UUIDv7."})
    type = fields.String(required=True, validate=validate.OneOf(TYPES))
    amount = fields.Integer(
        required=True, metadata={"description": "Always positive; the type tells the direction.", "examples": [100]}
    )
    reason = fields.String(required=True, allow_none=True, metadata={"examples": ["Purchase completed"]})
    metadata = fields.Dict(required=True, allow_none=True)
    balance_after = fields.Integer(required=True, metadata={"examples": [1500]})
    created_at = fields.DateTime(required=True, metadata={"examples": ["2026-02-14T10:00:00Z"]})
    reverses = fields.UUID(required=True, allow_none=True, metadata={"description": "The transaction that this one takes back."})
    reversed_by = fields.UUID(
        required=True, allow_none=True, metadata={"description": "The transaction that takes this one back."}
    )


class OwnedTransactionSchema(TransactionSchema):
    """One movement of points, and whose."""

    participant_id = fields.String(required=True, metadata={"examples": ["user_123"]})


class FoundSchema(Schema):
    """A part of what was found, newest first."""

    transactions = fields.List(fields.Nested(OwnedTransactionSchema), required=True)
    next_cursor = fields.String(required=True, allow_none=True, metadata={"description": "Null at the end."})


class HistorySchema(Schema):
    """A page of transactions, newest first."""

    transactions = fields.List(fields.Nested(TransactionSchema), required=True)
    total = fields.Integer(required=True, metadata={"examples": [156]})
    page = fields.Integer(required=True, metadata={"examples": [1]})
    page_size = fields.Integer(required=True, metadata={"examples": [20]})
