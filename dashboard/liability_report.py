"""The liability on a page: what is outstanding as of a day and what it costs, by tier, age and over time, and the rates."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from gamify.models import PointCost
from gamify.services.overview import change
from gamify.services.reports import costs, liability
from gamify.services.reports.liability import Liability
from sqlalchemy.orm import Session

from dashboard import liability_ages
from dashboard.report_query import Asked
from dashboard.report_table import AMOUNT, CURRENCY, POINTS, TIER, Cell, Column, Drill, Table, money_cells, tier_cell

Course = Sequence[tuple[date, int, Decimal | None]]


def build(session: Session, tenant_id: int, asked: Asked) -> dict[str, Any]:
    """Return what the page shows: `found`, `then` (to compare with), `changes`, `costs`, `chart`, `ages` and `tables`."""
    span = asked.check()
    found = liability.of(session, tenant_id, span)
    then = liability.of(session, tenant_id, asked.against) if asked.against else None
    known = costs.listed(session, tenant_id)
    course = liability.over_time(session, tenant_id, span)
    drill = Drill(asked, span)
    aged = liability_ages.build(session, tenant_id, asked)
    return {
        "found": found,
        "then": then,
        "costs": known,
        "changes": _changes(found, then),
        "chart": _chart(course, known, found),
        "tables": [_by_tier(found, then), _over_time(course, known, drill), *filter(None, [aged["ages"].table])],
        **aged,
    }


def _changes(found: Liability, then: Liability | None) -> dict[str, float | None]:
    """How figures have changed; amounts only within one currency."""
    if then is None:
        return {}
    is_comparable = found.cost and then.cost and found.cost.currency == then.cost.currency
    amounts = (found.amount, then.amount) if is_comparable else (None, None)
    return {
        "points": change(found.points, then.points),
        "amount": float(amounts[0] / amounts[1] - 1) if amounts[0] is not None and amounts[1] else None,
    }


def _by_tier(found: Liability, then: Liability | None) -> Table:
    columns = [TIER, Column("participants", "Participants"), POINTS, Column("share", "Share", "percent"), AMOUNT, CURRENCY]
    columns += [Column("points_before", "Points, before")] if then else []
    before = {each.number: each.points for each in then.tiers} if then else {}
    lines = []
    for each in found.tiers:
        share = each.points / found.points if found.points else None
        line = [tier_cell(each.tier), Cell(each.participant_count), Cell(each.points), Cell(share)]
        line += [*money_cells(found.cost_of(each.points), found.cost)]
        lines.append(line + ([Cell(before.get(each.number, 0))] if then else []))
    total = [Cell("Total"), Cell(sum(each.participant_count for each in found.tiers)), Cell(found.points)]
    total += [Cell(1.0 if found.points else None), *money_cells(found.amount, found.cost)]
    total += [Cell(then.points)] if then else []
    return Table("tiers", f"By tier, {found.day:%-d %b %Y}", columns, lines, [total])


def _over_time(course: Course, known: Sequence[PointCost], drill: Drill) -> Table:
    columns = [Column("day", "At the end of", "text"), POINTS, AMOUNT, CURRENCY]
    lines = []
    for day, points, amount in course:
        first = Cell(day.isoformat(), f"{day:%a %-d %b %Y}", drill.until(day))
        lines.append([first, Cell(points), *money_cells(amount, costs.valid(known, day))])
    return Table("course", "Over time", columns, lines)


def _chart(course: Course, known: Sequence[PointCost], found: Liability) -> dict[str, Any]:
    """Points, and what they cost on the days on which that is in the same currency as on the last."""
    labels = [f"{day:%-d %b}" for day, _, _ in course]
    series: list[dict[str, Any]] = [{"label": "Points", "data": [points for _, points, _ in course], "tone": "accent"}]
    currency = found.cost.currency if found.cost else None
    amounts = [
        float(amount) if amount is not None and (at := costs.valid(known, day)) and at.currency == currency else None
        for day, _, amount in course
    ]
    if any(amounts):
        series.append({"label": f"Cost in {currency}", "data": amounts, "tone": "watch", "axis": "right", "tension": 0})
    return {"type": "line", "zero": False, "labels": labels, "series": series}
