"""Kinds of values, and what each may hold; shared by all schemas."""

import re
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Any

from marshmallow import ValidationError, fields, validate

from gamify.services import json_objects
from gamify.services.bounds import LARGEST_AMOUNT, LONGEST_ID, key_problem, text_problem, unreachable_id_problem

# The same in the dialect of JSON Schema, for the document.
NO_NUL = "^[^\\u0000]*$"
NOT_ONLY_WHITE_SPACE = (
    r"^[^\u0000]*[^\u0000\u0009-\u000d\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000][^\u0000]*$"
)


def check_text(text: str) -> None:
    """Refuse what PostgreSQL cannot hold."""
    _refuse(text_problem(text))


def check_key(text: str) -> None:
    """Refuse what cannot be an idempotency key."""
    _refuse(key_problem(text))


def _refuse(problem: str | None) -> None:
    if problem:
        raise ValidationError(problem)


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

    def __init__(self) -> None:
        described = {
            "description": "Your own id for who collects points; any text.",
            "examples": ["user_123"],
            "pattern": NOT_ONLY_WHITE_SPACE,
            "not": {"enum": [".", ".."]},
        }
        super().__init__(longest=LONGEST_ID, shortest=1, required=True, metadata=described)
        self.validators.append(self._check)

    @staticmethod
    def _check(value: str) -> None:
        _refuse(unreachable_id_problem(value))


class Metadata(fields.Field[dict[str, Any]]):
    """A JSON object that comes back with equal values."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise ValidationError("Must be a JSON object.")
        _refuse(json_objects.problem(value))
        return value


class Flag(fields.Boolean):
    """True or false, and nothing that only looks like it."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> bool:
        if not isinstance(value, bool):
            raise ValidationError("Must be true or false.")
        return value


class Whole(fields.Integer):
    """A whole number in a URL, written in digits 0-9: Python would read ` 1`, `+1`, `1_0` and Arabic digits too."""

    def __init__(self, largest: int, **kwargs: Any) -> None:
        self._sentence = f"Must be a whole number from 1 to {largest}."
        super().__init__(validate=validate.Range(1, largest, error=self._sentence), **kwargs)

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> int:
        if not re.fullmatch("[0-9]{1,19}", value):
            raise ValidationError(self._sentence)
        return int(value)


class Time(fields.DateTime):
    """An instant in a URL or a body, as RFC 3339."""

    FORM = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d(?:\.\d+)?)(?:[Zz]|([ +-])(\d\d:\d\d))", re.ASCII)

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> datetime:
        if isinstance(value, str) and (found := self.FORM.fullmatch(value)):
            date, time, sign, offset = found.groups()
            sign = "+" if sign == " " else sign  # what an unescaped + becomes in a URL
            with suppress(ValueError):
                return datetime.fromisoformat(f"{date}T{time}{f'{sign}{offset}' if offset else '+00:00'}").astimezone(UTC)
        raise ValidationError("Must be a time such as 2026-02-14T10:00:00Z.")


class Day(fields.Date):
    """A day in a URL, of those that reports can be about."""

    FORM = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
    FIRST, LAST = date(1970, 1, 1), date(2999, 12, 31)

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> date:
        if isinstance(value, str) and self.FORM.fullmatch(value):
            with suppress(ValueError):
                if self.FIRST <= (found := date.fromisoformat(value)) <= self.LAST:
                    return found
        raise ValidationError(f"Must be a day such as 2026-02-14, from {self.FIRST} to {self.LAST}.")


def points(what: str) -> fields.Integer:
    """Points of a movement."""
    sentence = f"Must be a whole number from 1 to {LARGEST_AMOUNT}."
    return fields.Integer(
        strict=True,
        required=True,
        validate=validate.Range(1, LARGEST_AMOUNT, error=sentence),
        error_messages={"invalid": sentence, "required": "Is required.", "null": "Is required.", "too_large": sentence},
        metadata={"description": what, "examples": [100]},
    )
