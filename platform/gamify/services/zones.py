"""Time zones, by their IANA names."""

from functools import cache
from zoneinfo import available_timezones

UNPORTABLE = ("localtime", "Factory", "posixrules")  # what they mean depends on the machine


@cache
def names() -> tuple[str, ...]:
    """Return every name, in order."""
    return tuple(sorted(available_timezones().difference(UNPORTABLE)))


def exists(name: str) -> bool:
    """Whether this is the name of a time zone, letter for letter."""
    return name in names()
