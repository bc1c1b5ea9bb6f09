"""Changes of tiers in words, the same for programs and people."""

from gamify.services.tier_history import Change

BEGINNING = "Held from the start"
# By cause, and whether it led up where that makes a difference.
SENTENCES: dict[str | tuple[str, bool], str] = {
    ("award", True): "Earned by an award",
    ("award_reversal", False): "An award was taken back",
    ("requalified", True): "Qualified anew",
    ("requalified", False): "Points that counted have run out",
    "registered": "Registered",
    "pinned": "Pinned{by}{why}",
    "unpinned": "Unpinned{by}{why}",
    "pin_ended": "The pin came to its end",
    "keep_ended": "The time for which the tier was kept is over",
}
MOVED = "Moved by version {version} of the tiers, published{by}{why}"
KEPT = "Kept, though version {version} of the tiers asks for more, published{by}{why}"
MOVED_LATER = "Moved by version {version} of the tiers, with the first award after it"


def because(change: Change | None) -> str:
    """Say why a tier has changed; without a change, why it is held."""
    if change is None:
        return BEGINNING
    sentence = SENTENCES.get((change.cause, change.is_up)) or SENTENCES.get(change.cause) or MOVED_LATER
    if change.cause == "published":
        sentence = KEPT if change.is_kept else MOVED
    by, why = f" by {change.changed_by}" if change.changed_by else "", f": {change.reason}" if change.reason else ""
    return sentence.format(version=change.ladder_version, by=by, why=why)
