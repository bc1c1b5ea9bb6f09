"""Reports as the API document shows them."""

from typing import Any

Shape = dict[str, Any]

DAYS = {"from": "2026-02-13", "to": "2026-02-14", "unit": "day", "zone": "Europe/Berlin"}
SILVER = {"code": "silver", "name": "Silver Tier"}
GOLD = {"code": "gold", "name": "Gold Tier"}


def _movements(awarded: int, deducted: int, *, awards: int, deducts: int) -> Shape:
    moved = {"awarded": awarded, "reversed": 0, "deducted": deducted, "given_back": 0}
    return {**moved, "award_count": awards, "entry_count": awards + deducts}


ROLL_FORWARD: Shape = {
    **DAYS,
    "by": "tenant",
    "rows": [
        {
            "from": "2026-02-13",
            "to": "2026-02-13",
            "opening": 48_000,
            **_movements(1_500, 300, awards=12, deducts=2),
            "closing": 49_200,
        },
        {
            "from": "2026-02-14",
            "to": "2026-02-14",
            "opening": 49_200,
            **_movements(2_000, 200, awards=15, deducts=1),
            "closing": 51_000,
        },
    ],
    "totals": {"opening": 48_000, **_movements(3_500, 500, awards=27, deducts=3), "closing": 51_000},
    "compared": None,
}
LIABILITY: Shape = {
    **DAYS,
    "figures": {
        "as_of": "2026-02-14",
        "points": 51_000,
        "cost": "0.01",
        "amount": "510",
        "currency": "EUR",
        "earned": 80_000,
        "redeemed": 29_000,
        "matured": 40_000,
        "redemption_rate": 0.3625,
        "breakage_rate": 0.275,
        "breakage": 14_025,
        "breakage_amount": "140.25",
    },
    "tiers": [
        {"tier": SILVER, "participants": 40, "points": 21_000, "amount": "210", "currency": "EUR"},
        {"tier": GOLD, "participants": 12, "points": 30_000, "amount": "300", "currency": "EUR"},
    ],
    "course": [
        {"from": "2026-02-13", "to": "2026-02-13", "points": 49_200, "amount": "492", "currency": "EUR"},
        {"from": "2026-02-14", "to": "2026-02-14", "points": 51_000, "amount": "510", "currency": "EUR"},
    ],
    "compared": None,
}
AGES: Shape = {
    "as_of": "2026-02-14",
    "zone": "Europe/Berlin",
    "at": "2026-02-14T23:00:00Z",
    "outstanding": 51_000,
    "cost": "0.01",
    "currency": "EUR",
    "participants_done": 52,
    "next_cursor": None,
    "ages": [
        {"older_than_days": 0, "up_to_days": 30, "points": 12_000, "amount": "120"},
        {"older_than_days": 30, "up_to_days": 90, "points": 9_000, "amount": "90"},
        {"older_than_days": 90, "up_to_days": 180, "points": 8_500, "amount": "85"},
        {"older_than_days": 180, "up_to_days": 365, "points": 10_500, "amount": "105"},
        {"older_than_days": 365, "up_to_days": None, "points": 11_000, "amount": "110"},
    ],
}


def _standing(silver: int, silver_points: int, gold: int, gold_points: int) -> list[Shape]:
    return [
        {"tier": SILVER, "participants": silver, "points": silver_points},
        {"tier": GOLD, "participants": gold, "points": gold_points},
    ]


TIERS: Shape = {
    **DAYS,
    "before": _standing(40, 20_500, 11, 27_500),
    "distribution": [
        {"from": "2026-02-13", "to": "2026-02-13", "tiers": _standing(41, 21_200, 11, 28_000)},
        {"from": "2026-02-14", "to": "2026-02-14", "tiers": _standing(40, 21_000, 12, 30_000)},
    ],
    "flows": [
        {"from": None, "to": SILVER, "is_new": True, "participants": 1, "points": 0},
        {"from": SILVER, "to": GOLD, "is_new": False, "participants": 1, "points": 1_520},
    ],
    "rises": {
        "is_sample": False,
        "between": [{"from": SILVER, "to": GOLD, "number": 1, "lower_quartile": 84.5, "median": 84.5, "upper_quartile": 84.5}],
    },
    "compared": None,
}
ACTIVITY: Shape = {
    **DAYS,
    "active": [
        {"from": "2026-02-13", "to": "2026-02-13", "participants": 9},
        {"from": "2026-02-14", "to": "2026-02-14", "participants": 11},
    ],
    "cohorts": [{"month": "2026-02-01", "size": 6, "active": [{"active_in": "2026-02-01", "participants": 6}]}],
    "award_sizes": [
        {"least": 50, "above": 100, "number": 10, "points": 650},
        {"least": 100, "above": 200, "number": 17, "points": 2_850},
    ],
    "reasons": [{"name": "Purchase completed", "rest": False, **_movements(3_500, 500, awards=27, deducts=3)}],
    "keys": [{"name": "Till", "prefix": "gk_live_5VnYq0aB", "rest": False, **_movements(3_500, 500, awards=27, deducts=3)}],
    "balances": [
        {"least": 200, "above": 500, "number": 30, "points": 12_000},
        {"least": 500, "above": 1_000, "number": 14, "points": 9_400},
        {"least": 1_000, "above": 2_000, "number": 3, "points": 4_600},
        {"least": 2_000, "above": 5_000, "number": 5, "points": 25_000},
    ],
    "compared": None,
}
