"""What is registered of participants; the API document is made from these."""

from typing import Any

from marshmallow import Schema, ValidationError, fields

from gamify.api.fields import NO_NUL, NOT_ONLY_WHITE_SPACE, Metadata, ParticipantId, Text, Whole
from gamify.api.reading_schemas import LARGEST_PAGE
from gamify.api.schemas import StrictSchema
from gamify.services.bounds import LONGEST_ID, LONGEST_NAME, name_problem
from gamify.services.json_objects import DEEPEST, LARGEST

BOUNDS = f"At most {LARGEST // 1024} KiB and {DEEPEST} levels."
AN_OBJECT = {"type": "object", "examples": [{"plan": "pro", "city": "Lisbon"}]}


def check_name(text: str) -> None:
    """Refuse what nobody could see."""
    if problem := name_problem(text):
        raise ValidationError(problem)


def _name(description: str) -> fields.String:
    return fields.String(
        load_default=None,
        allow_none=True,
        validate=check_name,
        error_messages={"invalid": "Must be a string."},
        metadata={
            "description": description,
            "examples": ["Ana Sousa"],
            "minLength": 1,
            "maxLength": LONGEST_NAME,
            "pattern": NOT_ONLY_WHITE_SPACE,
        },
    )


def _attributes(description: str) -> Metadata:
    return Metadata(load_default=None, allow_none=True, metadata={**AN_OBJECT, "description": f"{description} {BOUNDS}"})


class RegisterSchema(StrictSchema):
    """Somebody to register, or what to change of whom is registered."""

    participant_id = ParticipantId()
    display_name = _name("What people should read in place of the id; stays as it is if absent.")
    attributes = _attributes("Your own data about them, in place of what was there; stays as it is if absent.")


class ChangeSchema(StrictSchema):
    """What to change; what is absent stays, and null takes away."""

    parameters = ("participant_id",)  # that may stand beside the body

    display_name = _name("Null takes it away.")
    attributes = _attributes("Merged into what is there (RFC 7396): null takes a member away.")

    def load(self, data: Any, **kwargs: Any) -> Any:
        """Return just what was sent: here null and absent differ."""
        return {name: value for name, value in super().load(data, **kwargs).items() if name in data}


class ParticipantQuerySchema(Schema):
    """Whom it is about."""

    participant_id = fields.String(
        required=True,
        error_messages={"required": "Is required."},
        metadata={"description": "Any id, whatever it ends in.", "examples": ["team/points"]},
    )


class ListSchema(Schema):
    """Whom to list."""

    participant_id = fields.String(
        load_default=None, metadata={"description": "Exactly this id, whatever it ends in; goes with nothing else."}
    )
    tier = fields.String(load_default=None, metadata={"description": "The code of the tier they hold.", "examples": ["gold"]})
    q = Text(
        longest=LONGEST_ID,
        load_default=None,
        metadata={
            "description": "Part of the id or of the display name; below three characters, how the id begins.",
            "pattern": NO_NUL,
        },
    )
    limit = Whole(LARGEST_PAGE, load_default=20, metadata={"description": "Participants a page."})
    cursor = fields.String(load_default=None, metadata={"description": "`next_cursor` of the answer before."})


class TierHeldSchema(Schema):
    """A tier that somebody holds."""

    code = fields.String(required=True, metadata={"examples": ["gold"]})
    name = fields.String(required=True, metadata={"examples": ["Gold Tier"]})
    level = fields.Integer(required=True, metadata={"examples": [3]})


class ParticipantSchema(Schema):
    """Somebody who collects points."""

    participant_id = fields.String(required=True, metadata={"examples": ["user_123"]})
    display_name = fields.String(required=True, allow_none=True, metadata={"examples": ["Ana Sousa"]})
    attributes = fields.Dict(required=True, metadata={"description": "Your own data about them; `{}` if there are none."})
    tier = fields.Nested(TierHeldSchema, required=True, allow_none=True)
    balance = fields.Integer(required=True, metadata={"examples": [1500]})
    total_earned = fields.Integer(required=True, metadata={"examples": [5000]})
    total_spent = fields.Integer(required=True, metadata={"examples": [3500]})
    last_transaction_at = fields.DateTime(
        required=True, allow_none=True, metadata={"description": "Null before the first.", "examples": ["2026-02-14T10:00:00Z"]}
    )
    created_at = fields.DateTime(
        required=True,
        metadata={"description": "When they were registered or first awarded.", "examples": ["2026-01-02T09:30:00Z"]},
    )
    updated_at = fields.DateTime(
        required=True,
        allow_none=True,
        metadata={"description": "When name or attributes last changed.", "examples": ["2026-01-02T09:30:00Z"]},
    )
    erased_at = fields.DateTime(
        required=True, allow_none=True, metadata={"description": "When the person's data was erased; null if it was not."}
    )


class ParticipantsSchema(Schema):
    """A part of the list, by id."""

    participants = fields.List(fields.Nested(ParticipantSchema), required=True)
    next_cursor = fields.String(required=True, allow_none=True, metadata={"description": "Null at the end."})


class ErasedSchema(Schema):
    """Somebody whose data is erased."""

    participant_id = fields.String(required=True, metadata={"description": "The id that is free now.", "examples": ["user_123"]})
    erased_at = fields.DateTime(required=True, metadata={"examples": ["2026-02-14T10:00:00Z"]})
