"""How pages say which points count towards tiers."""

from typing import Any

from gamify.services.previews import Preview

WORDS = {
    "lifetime": "all points ever earned",
    "window": "points of the last {window_days} days",
    "year": "points of the calendar year, with {grace_days} days of grace",
}


def counted(of: Any) -> str:
    """Which points a ladder, or a draft's qualification, counts."""
    words = WORDS.get(of.basis, "nothing known")
    return words.format(window_days=of.window_days, grace_days=of.grace_days)


def moves(told: Preview) -> str:
    """How many rise, fall and keep their tier."""
    return f"{told.rise:,} rise, {told.fall:,} fall, {told.kept:,} keep their tier, of {told.total:,} participants"


def counted_anew(before: Any, after: Any) -> tuple[str, str] | None:
    """Which points counted before and count after, if those are not the same; a first ladder changes nothing."""
    found = (counted(before), counted(after)) if before else None
    return found if found and found[0] != found[1] else None
