"""What ladders look like, asked for and answered; the API document is made from these."""

from typing import Any

from marshmallow import Schema, fields, validate

from gamify.api.fields import NO_NUL, Text, Time, Whole, check_key
from gamify.api.reading_schemas import LARGEST_PAGE
from gamify.api.schemas import FieldErrorSchema, StrictSchema
from gamify.models.tier import BASES, COLOURS, EFFECTS, FALLING
from gamify.services.bounds import KEY, LONGEST_REASON
from gamify.services.drafts import LONGEST_TEXT, MOST_RUNGS
from gamify.services.previews import DIRECTIONS
from gamify.services.tiers import HIGHEST_THRESHOLD

INT32_MAX = 2**31 - 1
LONGEST_REST = 200_000


def _number(largest: int, *, least: int = 0, **kwargs: Any) -> fields.Integer:
    sentence = f"Must be a whole number from {least} to {largest}."
    messages: dict[str, Any] = {"invalid": sentence, "required": "Is required.", "null": "Is required.", "too_large": sentence}
    return fields.Integer(strict=True, validate=validate.Range(least, largest, error=sentence), error_messages=messages, **kwargs)


def _one_of(values: tuple[str, ...], **kwargs: Any) -> fields.String:
    sentence = f"Must be one of {', '.join(values)}."
    return fields.String(
        validate=validate.OneOf(values, error=sentence), error_messages={"invalid": sentence, "null": sentence}, **kwargs
    )


def _until(what: str) -> Time:
    return Time(load_default=None, allow_none=True, metadata={"description": what, "examples": ["2027-01-01T00:00:00Z"]})


class RungSchema(StrictSchema):
    """A tier to be. Its code stands for it for ever; whatever else can change."""

    code = Text(
        longest=LONGEST_TEXT,
        required=True,
        metadata={"description": "1 to 50 lower-case letters, digits, _ and -.", "examples": ["gold"], "pattern": NO_NUL},
    )
    name = Text(
        longest=LONGEST_TEXT,
        load_default=None,
        allow_none=True,
        metadata={"description": "Made from the code if absent.", "examples": ["Gold Tier"], "pattern": NO_NUL},
    )
    threshold = _number(
        HIGHEST_THRESHOLD,
        load_default=None,
        allow_none=True,
        metadata={
            "description": "Least points that reach it; a draft without one is kept, but not published.",
            "examples": [1500],
        },
    )
    colour = _one_of(COLOURS, load_default=None, allow_none=True, metadata={"description": "Chosen by code or level if absent."})


class QualificationSchema(StrictSchema):
    """Which points count: all ever earned, those of a rolling window, or those of a calendar year."""

    basis = _one_of(BASES, required=True)
    window_days = _number(INT32_MAX, load_default=None, allow_none=True, metadata={"description": "1 to 3660; for a window."})
    grace_days = _number(
        INT32_MAX,
        load_default=None,
        allow_none=True,
        metadata={"description": "0 to 366; for a year: how long points of the year before still count."},
    )


class ContentSchema(StrictSchema):
    """A ladder to be."""

    tiers = fields.List(
        fields.Nested(RungSchema),
        required=True,
        validate=validate.Length(0, MOST_RUNGS, error="There can be at most 20 tiers."),
        error_messages={"required": "Is required.", "null": "Is required.", "invalid": "Must be a list of tiers."},
        metadata={"description": "In any order; at most 20 can be published."},
    )
    qualification = fields.Nested(
        QualificationSchema, load_default=None, allow_none=True, metadata={"description": "As the draft has it, if absent."}
    )


class DraftBodySchema(ContentSchema):
    """A whole draft, in the place of the one there is."""

    revision = _number(INT32_MAX, required=True, metadata={"description": "Of the draft that you have seen.", "examples": [5]})
    based_on = _number(
        INT32_MAX,
        load_default=None,
        allow_none=True,
        metadata={"description": "The version in force, if you have seen that it is another one than when the draft was begun."},
    )


class RevisionSchema(StrictSchema):
    """Which draft is meant."""

    revision = _number(INT32_MAX, required=True, metadata={"description": "Of the draft that you have seen.", "examples": [5]})


class _PolicySchema(StrictSchema):
    effect = _one_of(
        EFFECTS, load_default="now", metadata={"description": "When participants move: all now, or each at their next award."}
    )
    falling = _one_of(FALLING, load_default="keep", metadata={"description": "What becomes of those who would fall."})
    kept_until = _until("For `keep_until`: when those who were kept move down.")


class WhoSchema(StrictSchema):
    """Which of those who move to list, by their ids."""

    before = Text(
        longest=LONGEST_TEXT, load_default=None, allow_none=True, metadata={"description": "Code held now; empty for none."}
    )
    after = Text(
        longest=LONGEST_TEXT, load_default=None, allow_none=True, metadata={"description": "Code held then; empty for none."}
    )
    direction = _one_of(DIRECTIONS, load_default=None, allow_none=True)
    limit = _number(LARGEST_PAGE, least=1, load_default=20)
    cursor = Text(
        longest=4_000, load_default=None, allow_none=True, metadata={"description": "`next_cursor` of the answer before."}
    )


class PreviewBodySchema(_PolicySchema):
    """What to look at: the draft, or other tiers."""

    tiers = fields.List(
        fields.Nested(RungSchema),
        load_default=None,
        allow_none=True,
        validate=validate.Length(0, MOST_RUNGS, error="There can be at most 20 tiers."),
        error_messages={"invalid": "Must be a list of tiers."},
        metadata={"description": "The draft's, if absent."},
    )
    qualification = fields.Nested(
        QualificationSchema, load_default=None, allow_none=True, metadata={"description": "The draft's, if absent."}
    )
    movers = fields.Nested(
        WhoSchema, load_default=None, allow_none=True, metadata={"description": "Also list those who would move: `{}` for all."}
    )
    continue_from = Text(
        longest=LONGEST_REST,
        load_default=None,
        allow_none=True,
        metadata={"description": "Of the answer before, if that was not complete; everything else must be as it was."},
    )


class PublishSchema(_PolicySchema):
    """How to publish the draft."""

    revision = _number(INT32_MAX, required=True, metadata={"description": "Of the draft that you have seen.", "examples": [5]})
    reason = Text(
        longest=LONGEST_REASON,
        load_default=None,
        allow_none=True,
        metadata={"description": "Shown with the version.", "examples": ["Spring campaign"], "pattern": NO_NUL},
    )
    publish_at = _until("When it is to come into force; at once, if absent.")
    idempotency_key = fields.String(
        load_default=None,
        allow_none=True,
        validate=check_key,
        error_messages={"invalid": "Must be a string."},
        metadata={"description": "Makes a repetition harmless.", "pattern": f"^{KEY.pattern}$", "examples": ["spring_2027"]},
    )


class RevisionQuerySchema(Schema):
    """Which draft is meant."""

    revision = Whole(
        INT32_MAX,
        required=True,
        error_messages={"required": "Is required."},
        metadata={"description": "Of the draft that you have seen."},
    )


class VersionsPageSchema(Schema):
    """Which versions."""

    limit = Whole(LARGEST_PAGE, load_default=20)
    cursor = Whole(INT32_MAX, load_default=None, metadata={"description": "`next_cursor` of the answer before."})


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

    basis = _one_of(BASES, required=True)
    window_days = fields.Integer(required=True, allow_none=True)
    grace_days = fields.Integer(required=True, allow_none=True)


class ZonedSchema(AsQualifiedSchema):
    """Which points count, and where years begin."""

    time_zone = fields.String(required=True, metadata={"examples": ["Europe/London"]})


class _LadderSchema(Schema):
    version = fields.Integer(required=True, metadata={"description": "0 if there has never been a tier.", "examples": [5]})
    qualification = fields.Nested(ZonedSchema, required=True)
    effect = _one_of(EFFECTS, required=True)
    falling = _one_of(FALLING, required=True)
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
    kind = _one_of(("added", "removed", "changed"), required=True)
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

    effect = _one_of(EFFECTS, required=True)
    falling = _one_of(FALLING, required=True)
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
    direction = _one_of(("rise", "fall", "stay"), required=True)
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
