"""What is answered of ladders; the API document is made from these."""

from marshmallow import Schema, fields

from gamify.api.schemas import FieldErrorSchema
from gamify.api.tier_schemas import RungSchema, one_of
from gamify.models.tier import BASES, EFFECTS, FALLING


class TierSchema(Schema):
    """A tier of a version."""

    code = fields.String(required=True, metadata={"examples": ["gold"]})
    name = fields.String(required=True, metadata={"examples": ["Gold Tier"]})
    level = fields.Integer(required=True, metadata={"description": "From 1, the lowest.", "examples": [3]})
    threshold = fields.Integer(required=True, metadata={"examples": [1500]})
    colour = fields.String(required=True, allow_none=True)


class HeldTierSchema(TierSchema):
    """A tier in force."""

    participants = fields.Integer(required=True, metadata={"description": "How many hold it."})


class AsQualifiedSchema(Schema):
    """Which points count."""

    basis = one_of(BASES, required=True)
    window_days = fields.Integer(required=True, allow_none=True)
    grace_days = fields.Integer(required=True, allow_none=True)


class ZonedSchema(AsQualifiedSchema):
    """Which points count, and where years begin."""

    time_zone = fields.String(required=True, metadata={"examples": ["Europe/London"]})


class _LadderSchema(Schema):
    version = fields.Integer(required=True, metadata={"description": "0 if there has never been a tier.", "examples": [5]})
    qualification = fields.Nested(ZonedSchema, required=True)
    effect = one_of(EFFECTS, required=True)
    falling = one_of(FALLING, required=True)
    kept_until = fields.DateTime(required=True, allow_none=True)
    reason = fields.String(required=True, allow_none=True)
    published_by = fields.String(required=True, allow_none=True)
    published_at = fields.DateTime(required=True, allow_none=True)


class ProgressSchema(Schema):
    """How far everybody has been looked at."""

    done = fields.Integer(required=True)
    total = fields.Integer(required=True)
    moved = fields.Integer(required=True)
    started_at = fields.DateTime(required=True)


class LadderSchema(_LadderSchema):
    """The tiers in force."""

    tiers = fields.List(fields.Nested(HeldTierSchema), required=True, metadata={"description": "The lowest first."})
    without_tier = fields.Integer(required=True, metadata={"description": "Participants who hold none of them."})
    is_settled = fields.Boolean(
        required=True,
        metadata={"description": "Whether everybody is where these tiers put them; awards are right before that, too."},
    )
    recalculation = fields.Nested(
        ProgressSchema, required=True, allow_none=True, metadata={"description": "Null unless everybody is being looked at."}
    )


class DifferenceSchema(Schema):
    """What has become of one tier."""

    code = fields.String(required=True)
    kind = one_of(("added", "removed", "changed"), required=True)
    before = fields.Nested(RungSchema, required=True, allow_none=True)
    after = fields.Nested(RungSchema, required=True, allow_none=True)


class VersionSchema(_LadderSchema):
    """Tiers that are or were in force."""

    tiers = fields.List(fields.Nested(TierSchema), required=True)
    changes = fields.List(fields.Nested(DifferenceSchema), required=True, metadata={"description": "Since the version before."})


class VersionsSchema(Schema):
    """Versions, newest first."""

    versions = fields.List(fields.Nested(VersionSchema), required=True)
    next_cursor = fields.String(required=True, allow_none=True, metadata={"description": "Null at the end."})


class PublicationSchema(Schema):
    """How a draft is to publish itself."""

    effect = one_of(EFFECTS, required=True)
    falling = one_of(FALLING, required=True)
    kept_until = fields.DateTime(required=True, allow_none=True)
    reason = fields.String(required=True, allow_none=True)
    publish_at = fields.DateTime(required=True)


class DraftSchema(Schema):
    """The draft; where none is saved, the tiers in force."""

    revision = fields.Integer(
        required=True, metadata={"description": "Changes with everything that changes the draft.", "examples": [5]}
    )
    is_saved = fields.Boolean(required=True)
    based_on = fields.Integer(required=True, metadata={"description": "The version that it was begun from.", "examples": [5]})
    tiers = fields.List(fields.Nested(RungSchema), required=True)
    qualification = fields.Nested(AsQualifiedSchema, required=True)
    problems = fields.List(
        fields.Nested(FieldErrorSchema), required=True, metadata={"description": "What stands in the way of publishing it."}
    )
    changed_by = fields.String(required=True, allow_none=True)
    changed_at = fields.DateTime(required=True, allow_none=True)
    publication = fields.Nested(
        PublicationSchema, required=True, allow_none=True, metadata={"description": "Unless null, it publishes itself so."}
    )


class PublishedSchema(Schema):
    """What has come of publishing."""

    version = fields.Integer(
        required=True, allow_none=True, metadata={"description": "In force from now on; null if later.", "examples": [6]}
    )
    publish_at = fields.DateTime(required=True, allow_none=True)


class ShiftSchema(Schema):
    """A tier before and after; a code of null is for those without one."""

    code = fields.String(required=True, allow_none=True)
    name = fields.String(required=True, allow_none=True)
    before = fields.Integer(required=True)
    after = fields.Integer(required=True)


class FlowSchema(Schema):
    """How many come from one tier to another, or stay."""

    before = fields.String(required=True, allow_none=True)
    after = fields.String(required=True, allow_none=True)
    count = fields.Integer(required=True)


class SurpriseSchema(Schema):
    """Somebody who misses a tier by little."""

    participant_id = fields.String(required=True)
    points = fields.Integer(required=True, metadata={"description": "That count."})
    missing = fields.Integer(required=True)
    code = fields.String(required=True, metadata={"description": "Of the tier that they miss."})


class MoverSchema(Schema):
    """Somebody who would move, or keep what they would lose."""

    participant_id = fields.String(required=True)
    points = fields.Integer(required=True, metadata={"description": "That count."})
    before = fields.String(required=True, allow_none=True)
    after = fields.String(required=True, allow_none=True)
    direction = one_of(("rise", "fall", "stay"), required=True)
    is_kept = fields.Boolean(required=True)
    is_pinned = fields.Boolean(required=True)


class MoversSchema(Schema):
    """Some of them; where ledgers have to be looked at there may be fewer than `limit` before the end."""

    participants = fields.List(fields.Nested(MoverSchema), required=True)
    next_cursor = fields.String(required=True, allow_none=True)


class CountedSchema(Schema):
    """How many have been counted."""

    done = fields.Integer(required=True)
    total = fields.Integer(required=True)


class PreviewSchema(Schema):
    """What publishing would do to everybody; those kept or pinned are among those who rise, fall or stay, too."""

    total = fields.Integer(required=True)
    rise = fields.Integer(required=True)
    fall = fields.Integer(required=True)
    stay = fields.Integer(required=True)
    kept = fields.Integer(required=True)
    pinned = fields.Integer(required=True)
    tiers = fields.List(fields.Nested(ShiftSchema), required=True)
    flows = fields.List(fields.Nested(FlowSchema), required=True)
    surprises = fields.List(fields.Nested(SurpriseSchema), required=True)
    is_complete = fields.Boolean(
        required=True, metadata={"description": "False where many ledgers have to be looked at: ask again with `continue_from`."}
    )
    progress = fields.Nested(CountedSchema, required=True)
    continue_from = fields.String(required=True, allow_none=True)
    movers = fields.Nested(MoversSchema, required=True, allow_none=True, metadata={"description": "Null unless asked for."})
