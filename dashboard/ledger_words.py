"""How pages write what an entry holds."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime

TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')
INDENT = "  "


def utc(at: datetime) -> str:
    """2026-02-14T10:00:00.000000Z: the instant of an entry is known to the microsecond."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


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
