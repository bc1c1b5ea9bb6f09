"""Examples of tiers, for the document."""

RUNGS = [
    {"code": "bronze", "name": "Bronze Tier", "threshold": 0, "colour": None},
    {"code": "silver", "name": "Silver Tier", "threshold": 600, "colour": None},
    {"code": "gold", "name": "Gold Tier", "threshold": 1500, "colour": None},
]
WAS = {"code": "silver", "name": "Silver Tier", "threshold": 500, "colour": None}
LIFETIME = {"basis": "lifetime", "window_days": None, "grace_days": None}
PUBLISHED = {
    "version": 5,
    "qualification": {**LIFETIME, "time_zone": "Europe/London"},
    "effect": "now",
    "falling": "keep",
    "kept_until": None,
    "reason": "Spring campaign",
    "published_by": "ana@shop.example",
    "published_at": "2027-03-01T09:00:00Z",
}
TIERS = [{**rung, "level": level} for level, rung in enumerate(RUNGS, start=1)]
LADDER = {
    **PUBLISHED,
    "tiers": [{**tier, "participants": count} for tier, count in zip(TIERS, (4_120, 640, 240), strict=True)],
    "without_tier": 0,
    "is_settled": False,
    "recalculation": {"done": 4_000, "total": 5_000, "moved": 37, "started_at": "2027-03-01T09:00:00Z"},
}
DRAFT = {
    "revision": 217_004_411,
    "is_saved": True,
    "based_on": 5,
    "tiers": RUNGS,
    "qualification": LIFETIME,
    "problems": [],
    "changed_by": "ana@shop.example",
    "changed_at": "2027-02-27T16:20:00Z",
    "publication": None,
}
PREVIEW = {
    "total": 5_000,
    "rise": 0,
    "fall": 37,
    "stay": 4_963,
    "kept": 0,
    "pinned": 2,
    "tiers": [
        {"code": None, "name": None, "before": 0, "after": 0},
        {"code": "bronze", "name": "Bronze Tier", "before": 4_083, "after": 4_120},
        {"code": "silver", "name": "Silver Tier", "before": 677, "after": 640},
        {"code": "gold", "name": "Gold Tier", "before": 240, "after": 240},
    ],
    "flows": [
        {"before": "bronze", "after": "bronze", "count": 4_083},
        {"before": "silver", "after": "bronze", "count": 37},
        {"before": "silver", "after": "silver", "count": 640},
        {"before": "gold", "after": "gold", "count": 240},
    ],
    "surprises": [{"participant_id": "user_123", "points": 599, "missing": 1, "code": "silver"}],
    "is_complete": True,
    "progress": {"done": 5_000, "total": 5_000},
    "continue_from": None,
    "movers": {
        "participants": [
            {
                "participant_id": "user_123",
                "points": 599,
                "before": "silver",
                "after": "bronze",
                "direction": "fall",
                "is_kept": False,
                "is_pinned": False,
            }
        ],
        "next_cursor": None,
    },
}
VERSIONS = {
    "versions": [
        {**PUBLISHED, "tiers": TIERS, "changes": [{"code": "silver", "kind": "changed", "before": WAS, "after": RUNGS[1]}]}
    ],
    "next_cursor": "5",
}
CHANGED = (
    "draft_changed",
    "The draft was changed by somebody else",
    (
        "ana@shop.example has changed the draft since you opened it. "
        "Nothing of yours is stored; compare the two, and send what you want with the new revision."
    ),
)
GOING_ON = (
    "conflict",
    "That conflicts with what is there",
    "Nothing can be published while everybody is looked at: 4,000 of 5,000 participants so far. Try again then.",
)
NO_VERSION = ("not_found", "Not found", "There is no version 9 of the tiers.")
