"""The chart of a balance over time: its spec for charts.js, and its table."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from dashboard.formats import number

DAYS_ENOUGH = timedelta(days=60)  # of which each point is a day of its own, nearly


class Chart(NamedTuple):
    """What `chart` of `_ui.html` takes."""

    spec: dict[str, Any]
    rows: Sequence[tuple[str, str]]


def chart(balances: Sequence[tuple[datetime, int]], zone: ZoneInfo) -> Chart:
    """Return the chart of balances at evenly spaced instants."""
    span = balances[-1][0] - balances[0][0]
    form = "%-d %b %Y" if span > DAYS_ENOUGH else "%-d %b %H:%M"
    labels = [f"{at.astimezone(zone):{form}}" for at, _ in balances]
    data = [balance for _, balance in balances]
    series = {"label": "Balance", "data": data, "tone": "accent", "stepped": True}
    spec = {"type": "line", "labels": labels, "unit": "points", "series": [series]}
    return Chart(spec, [(label, number(balance)) for label, balance in zip(labels, data, strict=True)])
