"""Where a page of participants ends, as text that an address can hold; whatever else it holds is refused in a sentence."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import datetime
from typing import Any, NamedTuple

from gamify.errors import FieldError, Invalid
from gamify.services.bounds import text_problem

LONGEST = 4_000  # characters: more than an id of the longest kind takes
INT64 = range(-(2**63), 2**63)


class Cursor(NamedTuple):
    """The last participant of a page: the value it is sorted by, and the number that settles between equals."""

    value: Any
    number: int

    def write(self) -> str:
        """Return it as text."""
        value = self.value.isoformat() if isinstance(self.value, datetime) else self.value
        return urlsafe_b64encode(json.dumps([value, self.number]).encode()).decode().rstrip("=")


def read(text: str, kind: type, *, field: str = "after") -> Cursor:
    """Return what `write` has written for values of a kind: `int`, `str` or `datetime`. Raises `Invalid` naming `field`."""
    try:
        value, number = json.loads(urlsafe_b64decode(text[:LONGEST] + "=" * (-len(text) % 4)))
        return Cursor(_value(value, kind), _whole(number))
    except (ValueError, TypeError, RecursionError, OverflowError) as error:
        raise Invalid([FieldError(field, "This is not where a page of this list begins; start at the first page.")]) from error


def _value(value: Any, kind: type) -> Any:
    if kind is int:
        return _whole(value)
    if not isinstance(value, str) or text_problem(value):
        raise ValueError(value)
    if kind is str:
        return value
    at = datetime.fromisoformat(value)
    if at.utcoffset() is None:
        raise ValueError(value)
    return at


def _whole(value: Any) -> int:
    if type(value) is not int or value not in INT64:
        raise ValueError(value)
    return value
