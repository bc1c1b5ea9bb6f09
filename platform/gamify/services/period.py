"""Periods, as people write them: days, or instants of RFC 3339."""

from datetime import UTC, datetime, timedelta

from gamify.errors import FieldError, Invalid

A_DAY = timedelta(days=1)
BAD_TIME = "Must be a day such as 2026-02-14 or a time such as 2026-02-14T10:00:00Z."


def period(since: str | None, until: str | None) -> tuple[datetime | None, datetime | None]:
    """Return the first instant of a period and the one after its last; a day that ends it belongs to it. Days are UTC's.

    Raises `Invalid` naming `from` or `to`.
    """
    return _instant("from", since), _instant("to", until, is_end=True)


def _instant(field: str, text: str | None, *, is_end: bool = False) -> datetime | None:
    if not (text and text.strip()):
        return None
    text = text.strip()
    try:
        found = datetime.fromisoformat(text)
        if is_end and len(text) == len("2026-02-14"):
            found += A_DAY
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise Invalid([FieldError(field, BAD_TIME)]) from error
