"""How pages write what an entry holds."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')
INDENT = "  "
TONES = ("slate", "bronze", "silver", "gold", "platinum", "emerald", "teal", "sky", "indigo", "violet")


def utc(at: datetime) -> str:
    """2026-02-14T10:00:00.000000Z: the instant of an entry is known to the microsecond."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def tone(entry: Any, when: str) -> str:
    """The colour of the tier before or after an entry."""
    colour, code = getattr(entry, f"colour_{when}"), getattr(entry, f"code_{when}")
    return colour or (code if code in TONES else TONES[0])


def indented(text: str) -> str:
    """JSON over several lines; every string and number stays as it is spelt."""
    return "".join(_pieces(TOKEN.findall(text)))


def _pieces(words: list[str]) -> Iterator[str]:
    depth = 0
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word in "{[":
            depth += 1
            yield word if following in ("}", "]") else f"{word}\n{INDENT * depth}"
        elif word == ",":
            yield f",\n{INDENT * depth}"
        else:
            yield ": " if word == ":" else word
        if following and following in "}]":
            depth -= 1
            yield "" if word in "{[" else f"\n{INDENT * depth}"
