"""Behaviour on a page: who is active and comes back, how large awards and balances are, what for and by which keys."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from gamify.services.figures import Sums
from gamify.services.reports import activity, roll_forward
from gamify.services.reports.activity import Bar, Cohort
from gamify.services.reports.roll_forward import BY_KEY, BY_REASON, Group
from gamify.services.reports.span import A_DAY, Period, Span
from gamify.services.rollup_parts import REASONS
from sqlalchemy.orm import Session

from dashboard.formats import compact
from dashboard.report_query import Asked
from dashboard.report_table import (
    HIDDEN,
    PERIOD,
    Cell,
    Column,
    Drill,
    Table,
    group_cell,
    group_column,
    of_group,
    period_cells,
    short,
)

FEWEST_MONTHS, MOST_MONTHS = 12, 36  # of cohorts
TOP = 10
SHARE, AWARDS, POINTS = Column("share", "Share", "percent"), Column("awards", "Awards"), Column("points", "Points")


def build(session: Session, tenant_id: int, asked: Asked) -> dict[str, Any]:
    """Return what the page shows: tables by name, and charts by the name of the table that has their figures."""
    span = asked.check()
    drill = Drill(asked, span)
    actives = activity.active(session, tenant_id, span)
    then = activity.active(session, tenant_id, asked.against) if asked.against else None
    sizes, balances = activity.award_sizes(session, tenant_id, span), activity.balances(session, tenant_id)
    reasons = roll_forward.by_word(session, tenant_id, span, dimension=REASONS)
    keys = roll_forward.by_key(session, tenant_id, span)
    tables = [
        _active(actives, then, drill),
        _cohorts(activity.cohorts(session, tenant_id, cohort_span(span))),
        _award_sizes(sizes, drill),
        _balances(balances),
        _top(reasons, BY_REASON, drill, "Top reasons", "reasons"),
        _top(keys, BY_KEY, drill, "Awards per key", "keys"),
    ]
    charts = {
        "active": _line(actives, then, span),
        "award-sizes": _histogram(sizes, "awards"),
        "balances": _histogram(balances, "participants"),
    }
    return {"tables": tables, "charts": charts, "awarded": sum((group.sums for group in keys), Sums())}


def cohort_span(span: Span) -> Span:
    """The months that cohorts are of: those of a span, but neither too few to tell something nor too many to be read."""
    months = (span.last.year - span.first.year) * 12 + span.last.month - span.first.month + 1
    back = min(max(months, FEWEST_MONTHS), MOST_MONTHS) - 1
    number = span.last.year * 12 + span.last.month - 1 - back
    return Span(date(number // 12, number % 12 + 1, 1), span.last, "month", span.zone)


def _active(actives: Sequence[tuple[date, int]], then: Sequence[tuple[date, int]] | None, drill: Drill) -> Table:
    columns = [*PERIOD, Column("participants", "Active participants")]
    columns += [Column("participants_before", "Before")] if then is not None else []
    lines = []
    for n, (first, count) in enumerate(actives):
        last = actives[n + 1][0] - A_DAY if n + 1 < len(actives) else drill.span.last
        period = Period(first, last)
        line = [*period_cells(period, drill.span.unit, drill(period)), Cell(count)]
        if then is not None:
            line.append(Cell(then[n][1] if n < len(then) else None))
        lines.append(line)
    note = "Whoever has an entry is active: an award, a deduct or a reversal."
    return Table("active", f"Active participants by {drill.span.unit}", columns, lines, (), note)


def _line(actives: Sequence[tuple[date, int]], then: Sequence[tuple[date, int]] | None, span: Span) -> dict[str, Any]:
    series: list[dict[str, Any]] = [{"label": "Active", "data": [count for _, count in actives], "tone": "accent"}]
    if then is not None:
        data = [count for _, count in then[: len(actives)]]
        series.append({"label": "Before", "data": data, "tone": "quiet", "dashed": True})
    labels = [short(Period(first, first), span.unit) for first, _ in actives]
    return {"type": "line", "unit": "participants", "labels": labels, "series": series}


def _cohorts(found: Sequence[Cohort]) -> Table:
    begun = next((n for n, cohort in enumerate(found) if cohort.size), len(found))
    found = found[begun:]
    months = len(found)
    columns = [Column("cohort", "First entry in", "text"), Column("size", "Participants")]
    columns += [Column(f"month_{n}", str(n), "heat") for n in range(months)]
    lines = []
    for cohort in found:
        cells = [Cell(count, count / cohort.size if cohort.size else None) for count in cohort.active]
        month = Cell(f"{cohort.month:%Y-%m}", f"{cohort.month:%B %Y}")
        lines.append([month, Cell(cohort.size), *cells, *[Cell(None)] * (months - len(cells))])
    note = "The share of those who began in a month that was active so many months later."
    return Table("cohorts", "Who comes back", columns, lines, (), note)


def _award_sizes(bars: Sequence[Bar], drill: Drill) -> Table:
    lines = []
    for bar in bars:
        most = {"max": str(bar.above - 1)} if bar.above else {}
        link = drill(None, {"type": "award", "min": str(max(bar.least, 1)), **most}) if bar.number else ""
        lines.append([*_range(bar), Cell(bar.number, link=link), Cell(bar.points, link=link)])
    total = [Cell("Total"), Cell(""), Cell(sum(bar.number for bar in bars)), Cell(sum(bar.points for bar in bars))]
    return Table("award-sizes", "Sizes of awards", [*SIZE, AWARDS, POINTS], lines, [total])


def _balances(bars: Sequence[Bar]) -> Table:
    lines = [[*_range(bar), Cell(bar.number), Cell(bar.points)] for bar in bars]
    total = [Cell("Total"), Cell(""), Cell(sum(bar.number for bar in bars)), Cell(sum(bar.points for bar in bars))]
    columns = [*SIZE, Column("participants", "Participants"), POINTS]
    return Table("balances", "Balances now", columns, lines, [total])


SIZE = (Column("at_least", "Points each", "text"), Column("below", "", HIDDEN))


def _range(bar: Bar) -> list[Cell]:
    """The cells of `SIZE`."""
    if bar.above is None:
        return [Cell(bar.least, f"{bar.least:,} and more"), Cell(None)]
    most = bar.above - 1
    return [Cell(bar.least, f"{bar.least:,}" if most == bar.least else f"{bar.least:,} to {most:,}"), Cell(bar.above)]


def _histogram(bars: Sequence[Bar], unit: str) -> dict[str, Any]:
    labels = [compact(bar.least) for bar in bars]
    return {"type": "bar", "unit": unit, "labels": labels, "series": [{"label": unit.title(), "data": [b.number for b in bars]}]}


def _top(groups: Sequence[Group], by: str, drill: Drill, label: str, name: str) -> Table:
    """The groups with the most points awarded, and all others together."""
    whole = sum((group.sums for group in groups), Sums())
    named = sorted((each for each in groups if not each.is_rest), key=lambda each: -each.sums.award_points)
    shown = [each for each in named[:TOP] if each.sums.award_count]
    rest = sum((each.sums for each in groups if each not in shown), Sums())
    if rest.award_count:
        shown.append(Group(None, rest, is_rest=True))
    lines = [_award_line(group, by, whole, drill) for group in shown]
    columns = [group_column(by, "Reason" if by == BY_REASON else "API key"), AWARDS, POINTS, SHARE]
    return Table(name, label, columns, lines)


def _award_line(group: Group, by: str, whole: Sums, drill: Drill) -> list[Cell]:
    filters = None if group.is_rest else of_group(group, by)
    link = "" if filters is None else drill(None, {"type": "award", **filters})
    points = group.sums.award_points
    share = points / whole.award_points if whole.award_points else None
    return [group_cell(group, by, link), Cell(group.sums.award_count), Cell(points, link=link), Cell(share)]
