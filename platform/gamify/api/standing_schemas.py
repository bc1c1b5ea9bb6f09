"""What a participant's tier looks like, asked for and answered; the API document is made from these."""

from marshmallow import Schema, fields, validate

from gamify.api.fields import NO_NUL, ParticipantId, Text, Time, Whole
from gamify.api.reading_schemas import LARGEST_PAGE
from gamify.api.schemas import StrictSchema
from gamify.models.tier import BASES
from gamify.services.bounds import LONGEST_REASON
from gamify.services.tiers import LONGEST_NAME

CAUSES = (
    "award",
    "award_reversal",
    "deduct",
    "deduct_reversal",
    "published",
    "requalified",
    "registered",
    "pinned",
    "unpinned",
    "pin_ended",
    "keep_ended",
)
BEGINNING = "beginning"


class HistoryPageSchema(Schema):
    """Which part of the history."""

    limit = Whole(LARGEST_PAGE, load_default=20, metadata={"description": "Changes of the history."})
    cursor = fields.String(load_default=None, metadata={"description": "`next_cursor` of the answer before."})


class AssignSchema(StrictSchema):
    """A participant to pin to a tier."""

    participant_id = ParticipantId()
    tier = Text(
        longest=LONGEST_NAME,
        required=True,
        metadata={"description": "The code of a tier that is in force.", "examples": ["gold"], "pattern": NO_NUL},
    )
    reason = Text(
        longest=LONGEST_REASON,
        shortest=1,
        required=True,
        metadata={"description": "Shown wherever the tier is.", "examples": ["Partner of the house"], "pattern": NO_NUL},
    )
    expires_at = Time(
        load_default=None,
        allow_none=True,
        metadata={"description": "When the pin ends; never if absent.", "examples": ["2027-01-01T00:00:00Z"]},
    )


class UnassignSchema(StrictSchema):
    """A participant to pin no longer."""

    participant_id = ParticipantId()
    reason = Text(
        longest=LONGEST_REASON,
        load_default=None,
        allow_none=True,
        metadata={"description": "Shown in the history.", "examples": ["The contract has ended"], "pattern": NO_NUL},
    )


class TierOnLadderSchema(Schema):
    """A tier."""

    code = fields.String(required=True, metadata={"examples": ["gold"]})
    name = fields.String(required=True, metadata={"examples": ["Gold Tier"]})
    level = fields.Integer(required=True, metadata={"examples": [3]})


class HeldSchema(TierOnLadderSchema):
    """The tier held."""

    since = fields.DateTime(required=True, metadata={"examples": ["2026-02-14T10:00:00Z"]})
    cause = fields.String(
        required=True,
        validate=validate.OneOf((*CAUSES, BEGINNING)),
        metadata={"description": f"What has led to it: as in the history, or `{BEGINNING}` if it was held from the start."},
    )
    explanation = fields.String(required=True, metadata={"description": "The same in words.", "examples": ["Earned by an award"]})


class PinnedSchema(Schema):
    """A pin by hand."""

    since = fields.DateTime(required=True, metadata={"examples": ["2026-02-14T10:00:00Z"]})
    until = fields.DateTime(required=True, allow_none=True, metadata={"description": "Null: until somebody unpins."})
    reason = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "Null once the participant is erased.", "examples": ["Partner of the house"]},
    )
    by = fields.String(
        required=True, metadata={"description": "A person's e-mail, or a key's prefix.", "examples": ["ana@shop.example"]}
    )


class KeptSchema(Schema):
    """A tier kept when new tiers asked for more."""

    until = fields.DateTime(required=True, allow_none=True, metadata={"description": "Null: until as much is earned, or pinned."})


class NextSchema(TierOnLadderSchema):
    """The next tier above what is held and what is earned."""

    points_required = fields.Integer(required=True, metadata={"description": "Qualifying points it takes.", "examples": [1500]})
    points_remaining = fields.Integer(required=True, metadata={"description": "Points still to earn.", "examples": [300]})


class QualifyingSchema(Schema):
    """The points that count towards tiers: those earned in `from` ≤ t < `to`, null being open."""

    basis = fields.String(
        required=True,
        validate=validate.OneOf(BASES),
        metadata={"description": "All ever earned (`lifetime`), those of the last days (`window`), or of a calendar `year`."},
    )
    points = fields.Integer(required=True, metadata={"examples": [1200]})
    since = fields.DateTime(required=True, allow_none=True, data_key="from")
    until = fields.DateTime(required=True, allow_none=True, data_key="to")
    lasts_until = fields.DateTime(
        required=True, allow_none=True, metadata={"description": "With `year`: when they cease to count, days of grace included."}
    )


class TierChangeSchema(Schema):
    """A change of a participant's tier, or of what holds it. Tiers are as they were called then; null: none."""

    at = fields.DateTime(required=True, metadata={"examples": ["2026-02-14T10:00:00Z"]})
    cause = fields.String(
        required=True,
        validate=validate.OneOf(CAUSES),
        metadata={
            "description": "A movement's type; `published`: new tiers; `requalified`: points have run out; or a hold's change."
        },
    )
    explanation = fields.String(
        required=True, metadata={"description": "The cause in words.", "examples": ["Earned by an award"]}
    )
    before = fields.Nested(TierOnLadderSchema, required=True, allow_none=True)
    after = fields.Nested(TierOnLadderSchema, required=True, allow_none=True)
    is_kept = fields.Boolean(required=True, metadata={"description": "Whether a tier is kept that new tiers ask more for."})
    reason = fields.String(required=True, allow_none=True)
    by = fields.String(required=True, allow_none=True, metadata={"description": "A person's e-mail, or a key's prefix."})
    ladder_version = fields.Integer(required=True, allow_none=True, metadata={"description": "Of the tiers.", "examples": [4]})
    transaction_id = fields.UUID(required=True, allow_none=True, metadata={"description": "The movement that tells of it."})


class StandingSchema(Schema):
    """A participant's tier."""

    participant_id = fields.String(required=True, metadata={"examples": ["user_123"]})
    current = fields.Nested(HeldSchema, required=True, allow_none=True, metadata={"description": "Null: no tier yet."})
    pinned = fields.Nested(PinnedSchema, required=True, allow_none=True)
    kept = fields.Nested(KeptSchema, required=True, allow_none=True)
    next = fields.Nested(
        NextSchema,
        required=True,
        allow_none=True,
        metadata={"description": "Null at the top. To who is pinned, no award leads there before the pin ends."},
    )
    qualifying = fields.Nested(QualifyingSchema, required=True)


class StandingHistorySchema(StandingSchema):
    """A participant's tier with a part of its history, newest first."""

    history = fields.List(fields.Nested(TierChangeSchema), required=True)
    next_cursor = fields.String(required=True, allow_none=True, metadata={"description": "Null at the end."})
