"""The chart of how participants are spread over the tiers."""

from collections.abc import Sequence
from typing import Any

from gamify.services.overview import Standing


def spread(standings: Sequence[Standing], *, kind: str) -> dict[str, Any]:
    """Return what charts.js draws as a `kind` (`bar` or `doughnut`), each tier in its colour."""
    counts = [each.participant_count for each in standings]
    tones = [each.tier.tone if each.tier else "edge" for each in standings]
    return {
        "type": kind,
        "unit": "participants",
        "labels": [each.tier.name if each.tier else "No tier" for each in standings],
        "series": [{"label": "Participants", "data": counts, "tones": tones}],
    }
