"""The roll-forward on a page: the equation, a chart, and a table by period, tier, key, reason or dimension."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from gamify.services.figures import Sums
from gamify.services.overview import change
from gamify.services.reports import roll_forward
from gamify.services.reports.roll_forward import BY_KEY, BY_REASON, BY_TIER, Group, Row, TierRow
from gamify.services.reports.span import Span
from gamify.services.rollup_parts import REASONS
from sqlalchemy.orm import Session

from dashboard.report_query import GROUPS, Asked, in_words
from dashboard.report_table import (
    CLOSING,
    MOVEMENTS,
    OPENING,
    PERIOD,
    TIER,
    Cell,
    Column,
    Drill,
    Table,
    group_cell,
    group_column,
    movements,
    of_group,
    of_tier,
    on_axis,
    period_cells,
    short,
    tier_cell,
)

MOST_BARS = 10
NET = Column("net", "= Net", "signed")
SIGNS = {"award": 1, "award_reversal": -1, "deduct": -1, "deduct_reversal": 1}
TONES = {"award": "good", "award_reversal": "bad", "deduct": "watch", "deduct_reversal": "info"}


class Part(NamedTuple):
    """A figure of the equation, with how it has changed against the days compared with."""

    sign: str
    label: str
    points: int
    link: str
    change: float | None


def build(session: Session, tenant_id: int, asked: Asked) -> dict[str, Any]:
    """Return what the page shows: `equation`, `chart` and `tables`."""
    span = asked.check()
    rows = roll_forward.of_tenant(session, tenant_id, span)
    before = roll_forward.of_tenant(session, tenant_id, asked.against) if asked.against else []
    drill = Drill(asked, span)
    found: dict[str, Any] = {"equation": _equation(rows, before, drill)}
    if not asked.by:
        return found | {"chart": _per_period(rows, before, span), "tables": [_by_period(rows, before, drill, asked)]}
    if asked.by == BY_TIER:
        return found | _by_tier(session, tenant_id, asked, drill)
    return found | _by_group(session, tenant_id, asked, drill)


def _equation(rows: Sequence[Row], before: Sequence[Row], drill: Drill) -> list[Part]:
    whole, then = _whole(rows), _whole(before) if before else None
    figures: list[tuple[str, str, Any]] = [("", "opening", "")]
    figures += [("+" if SIGNS[kind] > 0 else "−", f"{kind}_points", kind) for kind in SIGNS]  # noqa: RUF001  # a minus
    figures += [("=", "closing", "")]
    parts = []
    for sign, name, kind in figures:
        points = _figure(whole, name)
        words = MOVEMENTS[kind].label[2:] if kind else name.title()
        link = drill(None, {"type": kind} if kind else {})
        parts.append(Part(sign, words, points, link, change(points, _figure(then, name)) if then else None))
    return parts


def _figure(row: Row, name: str) -> int:
    found: int = getattr(row, name) if name in ("opening", "closing") else getattr(row.sums, name)
    return found


def _whole(rows: Sequence[Row]) -> Row:
    """All periods as one."""
    return Row(rows[0].period, rows[0].opening, sum((row.sums for row in rows), Sums()), rows[-1].closing)


def _by_period(rows: Sequence[Row], before: Sequence[Row], drill: Drill, asked: Asked) -> Table:
    unit = drill.span.unit
    lines = [
        [
            *period_cells(row.period, unit, drill(row.period)),
            Cell(row.opening),
            *movements(row.sums, drill, row.period),
            Cell(row.closing),
        ]
        for row in rows
    ]
    whole = _whole(rows)
    foot = [[*_named("Total"), Cell(whole.opening), *movements(whole.sums, drill), Cell(whole.closing)]]
    if before and asked.against:
        then, at = _whole(before), Drill(asked, asked.against)
        foot.append(
            [
                *_named(in_words(asked.against), at()),
                Cell(then.opening),
                *movements(then.sums, at),
                Cell(then.closing),
            ]
        )
    columns = [*PERIOD, OPENING, *MOVEMENTS.values(), CLOSING]
    return Table("periods", f"Points by {unit}", columns, lines, foot)


def _named(name: str, link: str = "") -> list[Cell]:
    return [Cell(name, link=link), Cell("")]


def _per_period(rows: Sequence[Row], before: Sequence[Row], span: Span) -> dict[str, Any]:
    series: list[dict[str, Any]] = []
    for kind, sign in SIGNS.items():
        data = [sign * getattr(row.sums, f"{kind}_points") for row in rows]
        if any(data) or kind in ("award", "deduct"):
            series.append({"label": MOVEMENTS[kind].label[2:], "data": data, "tone": TONES[kind], "stack": "moved"})
    line = {"type": "line", "axis": "right", "order": -1}
    series.append({"label": "Closing", "data": [row.closing for row in rows], "tone": "accent", **line})
    if before:
        then = [row.closing for row in before[: len(rows)]]
        series.append({"label": "Closing, before", "data": then, "tone": "quiet", "dashed": True, **line})
    labels = [short(row.period, span.unit) for row in rows]
    return {"type": "bar", "unit": "points", "stacked": True, "labels": labels, "series": series}


def _by_tier(session: Session, tenant_id: int, asked: Asked, drill: Drill) -> dict[str, Any]:
    rows = roll_forward.by_tier(session, tenant_id, drill.span)
    then = {row.number: row for row in roll_forward.by_tier(session, tenant_id, asked.against)} if asked.against else None
    tables = [_points_of_tiers(rows, then, drill), _people_of_tiers(rows, then)]
    names = [row.tier.name if row.tier else "No tier" for row in rows]
    tones = [row.tier.tone if row.tier else "edge" for row in rows]
    series = [
        {"label": "Opening", "data": [row.opening for row in rows], "tone": "edge"},
        {"label": "Closing", "data": [row.closing for row in rows], "tone": "accent", "tones": tones},
    ]
    return {"tables": tables, "chart": {"type": "bar", "unit": "points", "labels": names, "series": series}}


def _points_of_tiers(rows: Sequence[TierRow], then: dict[int, TierRow] | None, drill: Drill) -> Table:
    columns = [TIER, OPENING, *MOVEMENTS.values()]
    columns += [Column("moved_in", "+ Moved in"), Column("moved_out", "− Moved out"), CLOSING]  # noqa: RUF001  # a minus
    columns += [Column("closing_before", "Closing, before")] if then is not None else []
    lines = []
    for row in rows:
        line = [tier_cell(row.tier), Cell(row.opening), *movements(row.sums, drill, None, of_tier(row.tier))]
        line += [Cell(row.moved_in), Cell(row.moved_out), Cell(row.closing)]
        line += _then(then, row.number, "closing")
        lines.append(line)
    foot = _totals(lines, sum((row.sums for row in rows), Sums()), drill)
    return Table("tiers", "Points by tier", columns, lines, foot, "Movements stand at the tier that they found somebody on.")


def _people_of_tiers(rows: Sequence[TierRow], then: dict[int, TierRow] | None) -> Table:
    columns = [TIER, Column("participants_before", "Opening"), Column("came", "+ Came")]
    columns += [Column("went", "− Went"), Column("participants_after", "= Closing")]  # noqa: RUF001  # a minus
    columns += [Column("participants_then", "Closing, before")] if then is not None else []
    lines = []
    for row in rows:
        line = [tier_cell(row.tier), Cell(row.participants_before), Cell(row.came), Cell(row.went), Cell(row.participants_after)]
        lines.append(line + _then(then, row.number, "participants_after"))
    note = "Who is new has come to the tier of their first entry."
    return Table("participants", "Participants by tier", columns, lines, _totals(lines), note)


def _then(rows: dict[int, TierRow] | None, number: int, name: str) -> list[Cell]:
    if rows is None:
        return []
    return [Cell(getattr(rows[number], name) if number in rows else 0)]


def _totals(lines: Sequence[Sequence[Cell]], sums: Sums | None = None, drill: Drill | None = None) -> list[list[Cell]]:
    """The row of totals; of movements, with where these lead."""
    cells = [Cell(sum(line[n].value for line in lines)) for n in range(1, len(lines[0]))] if lines else []
    if sums and cells:
        cells[1 : 1 + len(MOVEMENTS)] = movements(sums, drill)
    return [[Cell("Total"), *cells]] if cells else []


def _by_group(session: Session, tenant_id: int, asked: Asked, drill: Drill) -> dict[str, Any]:
    groups = _groups(session, tenant_id, asked, drill.span)
    then = _groups(session, tenant_id, asked, asked.against) if asked.against else None
    what = asked.dimension.metadata_key if asked.dimension else GROUPS[asked.by]
    columns = [group_column(asked.by, what), *MOVEMENTS.values(), NET, Column("entries", "Entries")]
    columns += [Column("net_before", "Net, before", "signed")] if then is not None else []
    lines = []
    for group in groups:
        filters = of_group(group, asked.by)
        line = [group_cell(group, asked.by, "" if filters is None else drill(None, filters))]
        line += movements(group.sums, None if filters is None else drill, None, filters or {})
        lines.append([*line, Cell(group.sums.net), Cell(group.sums.entry_count), *_net_then(then, group)])
    whole = sum((group.sums for group in groups), Sums())
    foot = [[Cell("Total"), *movements(whole, drill), Cell(whole.net), Cell(whole.entry_count)]]
    if then is not None:
        foot[0].append(Cell(sum(group.sums.net for group in then)))
    table = Table("groups", f"Points by {what if asked.dimension else what[0].lower() + what[1:]}", columns, lines, foot)
    return {"tables": [table], "chart": _bars(groups, asked)}


def _groups(session: Session, tenant_id: int, asked: Asked, span: Span) -> Sequence[Group]:
    if asked.by == BY_KEY:
        return roll_forward.by_key(session, tenant_id, span)
    number = REASONS if asked.by == BY_REASON else asked.dimension.number if asked.dimension else REASONS
    return roll_forward.by_word(session, tenant_id, span, dimension=number)


def _net_then(then: Sequence[Group] | None, group: Group) -> list[Cell]:
    """What the same group had moved; unknown for one that may be among those that are together."""
    if then is None:
        return []
    found = next((other for other in then if other[0] == group[0] and other[2:] == group[2:]), None)
    is_unknown = found is None and any(other.is_rest for other in then)
    return [Cell(None if is_unknown else found.sums.net if found else 0)]


def _bars(groups: Sequence[Group], asked: Asked) -> dict[str, Any]:
    shown = [group for group in groups if not group.is_rest][:MOST_BARS]
    names = [str(cell.shown or cell.value) for cell in (group_cell(group, asked.by) for group in shown)]
    series: list[dict[str, Any]] = []
    for kind, sign in SIGNS.items():
        data = [sign * getattr(group.sums, f"{kind}_points") for group in shown]
        if any(data):
            series.append({"label": MOVEMENTS[kind].label[2:], "data": data, "tone": TONES[kind]})
    labels = [on_axis(name) for name in names]
    return {"type": "bar", "unit": "points", "horizontal": True, "stacked": True, "labels": labels, "series": series}
