"""What may be asked of ladders; the API document is made from these."""

from typing import Any

from marshmallow import Schema, fields, validate

from gamify.api.fields import NO_NUL, Text, Time, Whole, check_key
from gamify.api.reading_schemas import LARGEST_PAGE
from gamify.api.schemas import StrictSchema
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


def one_of(values: tuple[str, ...], **kwargs: Any) -> fields.String:
    """One of these words."""
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
    colour = one_of(COLOURS, load_default=None, allow_none=True, metadata={"description": "Chosen by code or level if absent."})


class QualificationSchema(StrictSchema):
    """Which points count: all ever earned, those of a rolling window, or those of a calendar year."""

    basis = one_of(BASES, required=True)
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
    effect = one_of(
        EFFECTS, load_default="now", metadata={"description": "When participants move: all now, or each at their next award."}
    )
    falling = one_of(FALLING, load_default="keep", metadata={"description": "What becomes of those who would fall."})
    kept_until = _until("For `keep_until`: when those who were kept move down.")


class WhoSchema(StrictSchema):
    """Which of those who move to list, by their ids."""

    before = Text(
        longest=LONGEST_TEXT, load_default=None, allow_none=True, metadata={"description": "Code held now; empty for none."}
    )
    after = Text(
        longest=LONGEST_TEXT, load_default=None, allow_none=True, metadata={"description": "Code held then; empty for none."}
    )
    direction = one_of(DIRECTIONS, load_default=None, allow_none=True)
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
