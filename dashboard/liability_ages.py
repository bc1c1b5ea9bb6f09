"""The liability by the age of the points on a page: there at once while participants are few, else step by step."""

from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Any, NamedTuple

from gamify.deployment import deployment
from gamify.models import PointCost
from gamify.services import figures
from gamify.services.reports import age_steps, costs
from gamify.services.reports.age_steps import Progress
from gamify.services.reports.ages import BANDS, DAYS
from gamify.services.reports.span import Span
from sqlalchemy.orm import Session

from dashboard.report_query import Asked
from dashboard.report_table import AMOUNT, CURRENCY, HIDDEN, POINTS, Cell, Column, Table, money_cells

AGE = (Column("older_than_days", "Age", "text"), Column("up_to_days", "", HIDDEN))
LABELS = (f"Under {DAYS[0]} days", *(f"{newer} to {older} days" for newer, older in pairwise(DAYS)), f"Over {DAYS[-1]} days")


class Panel(NamedTuple):
    """What the page shows: the share of participants who are counted and, when all are, the table with its chart.

    `token` is for the address of the next step, or of the file.
    """

    label: str
    share: float
    token: str
    table: Table | None = None
    chart: dict[str, Any] | None = None


def build(session: Session, tenant_id: int, asked: Asked) -> dict[str, Any]:
    """Return `ages`, counted further than the address says."""
    span = asked.check()
    done = _counted(session, tenant_id, asked, span)
    label = f"By age, {span.last:%-d %b %Y}"
    token = age_steps.seal(deployment().vault, tenant_id, done, now=asked.now)
    if not done.is_whole:
        everybody = figures.participant_count(session, tenant_id)
        return {"ages": Panel(label, min(done.ages.done_count / max(everybody, 1), 1), token)}
    table = _table(done, costs.on(session, tenant_id, span.last), label, token, span)
    return {"ages": Panel(label, 1, token, table, _chart(done.ages.points))}


def _counted(session: Session, tenant_id: int, asked: Asked, span: Span) -> Progress:
    """Go on where the address says that counting has come to, or begin: with the page itself only as much as is quick."""
    done = age_steps.unseal(deployment().vault, tenant_id, asked.ages) if asked.ages else None
    if done is None or (done.day, done.zone) != (span.last, str(span.zone)):
        done = age_steps.begin(session, span.last, span.zone)
    return age_steps.go_on(session, tenant_id, done, seconds=age_steps.STEP if asked.ages else 0)


def _table(done: Progress, cost: PointCost | None, label: str, token: str, span: Span) -> Table:
    whole = done.ages.sums[0]
    lines = [
        [Cell(least, name), Cell(most), *_cells(points, whole, cost)]
        for name, (least, most), points in zip(LABELS, BANDS, done.ages.points, strict=True)
    ]
    note = "Whoever redeems spends their oldest points first."
    if done.ages.at < span.until:
        note += f" Counted at {done.ages.at.astimezone(span.zone):%-d %b %Y, %H:%M:%S}."
    columns = [*AGE, POINTS, Column("share", "Share", "percent"), AMOUNT, CURRENCY]
    foot = [[Cell("Total"), Cell(""), *_cells(whole, whole, cost)]]
    return Table("ages", label, columns, lines, foot, note, {"ages": token})


def _cells(points: int, whole: int, cost: PointCost | None) -> list[Cell]:
    amount: Decimal | None = points * cost.cost if cost else None
    return [Cell(points), Cell(points / whole if whole else None), *money_cells(amount, cost)]


def _chart(points: Sequence[int]) -> dict[str, Any]:
    series = [{"label": "Points", "data": list(points), "tone": "accent"}]
    return {"type": "bar", "title": "Points", "horizontal": True, "labels": LABELS, "series": series}
