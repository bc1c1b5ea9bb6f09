"""What rollups measure of entries, as columns and the expressions that make them; and how they cut time and sizes."""

from collections.abc import Mapping
from datetime import datetime

BEGINNING = datetime.fromisoformat("1970-01-01T00:00:00+00:00")  # ids of entries count from here

TYPES = ("award", "deduct", "award_reversal", "deduct_reversal")
# Movements of entries; points are positive, whatever their direction.
MOVEMENTS = {f"{kind}_points": f"COALESCE(sum(abs(points)) FILTER (WHERE type = '{kind}'), 0)" for kind in TYPES} | {
    f"{kind}_count": f"count(*) FILTER (WHERE type = '{kind}')" for kind in TYPES
}
MEASURES = MOVEMENTS | {"joined_count": "count(*) FILTER (WHERE seq = 1)"}
QUARTER = "date_bin('15 minutes', created_at, TIMESTAMPTZ 'epoch')"
KEY = "COALESCE(api_key_id, 0)"
RANGE = "tenant_id = :tenant_id AND id >= first_entry_id(:since) AND id < first_entry_id(:until)"

# Sizes of awards and balances are counted in steps: 0 below 1, and n from `STEPS[n - 1]` points on.
STEPS = tuple(factor * 10**power for power in range(13) for factor in (1, 2, 5))


def selected(measures: Mapping[str, str]) -> str:
    """Write the expressions of measures with their names, as a query selects them."""
    return ", ".join(f"{expression} AS {column}" for column, expression in measures.items())


def step(points: str) -> str:
    """Write the step that an expression of points is on."""
    return f"width_bucket({points}, CAST(ARRAY[{', '.join(map(str, STEPS))}] AS bigint[]))"
