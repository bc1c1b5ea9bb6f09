"""Tiers on a page: how participants are spread over them as time goes on, who moves from which to which, and how long it took."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from gamify.models import Tier
from gamify.services.reports import rises, roll_forward
from gamify.services.reports.rises import Rise, Rises
from gamify.services.reports.roll_forward import Flow
from gamify.services.reports.span import Span
from gamify.services.rollup_parts import NOBODY
from sqlalchemy.orm import Session

from dashboard import tier_flow
from dashboard.formats import HOURS
from dashboard.report_query import Asked, in_words
from dashboard.report_table import PERIOD, TIER, Cell, Column, Drill, Table, on_axis, period_cells, short, tier_cell
from dashboard.tier_flow import Tally

NEW = "new"
MOST_BARS = 10


class Moves(NamedTuple):
    """How many have moved, by which way."""

    up: int
    down: int
    new: int


def build(session: Session, tenant_id: int, asked: Asked) -> dict[str, Any]:
    """Return what the page shows: `moves`, `moves_before`, `chart`, `flow`, `waits` (a chart) and `tables`."""
    span = asked.check()
    standings = roll_forward.standings(session, tenant_id, span)
    flows = roll_forward.flows(session, tenant_id, span)
    risen = rises.newest(session, tenant_id, span, most=rises.MOST)
    numbers = {number for standing in standings for number in standing}
    numbers |= {number for flow in flows for number in flow[:2]} - {NOBODY}
    numbers |= {number for rise in risen.rises for number in (rise.tier_from, rise.tier_to)}
    tiers = roll_forward.tiers_in_order(session, tenant_id, numbers)
    order = [NOBODY, *(number for number, _ in tiers)]
    found = {
        "chart": _chart(standings[1:], tiers, span),
        "moves": _moves(flows, order),
        "flow": _drawing(flows, tiers),
        "waits": _waits(risen.rises[:MOST_BARS], dict(tiers)),
    }
    then, moves_before = None, None
    if asked.against:
        then = roll_forward.standings(session, tenant_id, _last_day(asked.against))[-1]
        moves_before = _moves(roll_forward.flows(session, tenant_id, asked.against), order)
    tables = [_over_time(standings, tiers, Drill(asked, span), then, asked), _matrix(flows, tiers)]
    tables.append(_times(risen, dict(tiers)))
    return found | {"tables": tables, "moves_before": moves_before}


def _last_day(span: Span) -> Span:
    return Span(span.last, span.last, "day", span.zone)


def _chart(standings: Sequence[Mapping[int, tuple[int, int]]], tiers: Any, span: Span) -> dict[str, Any]:
    series = [
        {
            "label": tier.name if tier else "No tier",
            "data": [standing.get(number, (0, 0))[0] for standing in standings],
            "tone": tier.tone if tier else "edge",
        }
        for number, tier in tiers
    ]
    labels = [short(period, span.unit) for period in span.periods]
    return {"type": "bar", "unit": "participants", "stacked": True, "labels": labels, "series": series}


def _over_time(
    standings: Sequence[Mapping[int, tuple[int, int]]],
    tiers: Sequence[tuple[int, Tier | None]],
    drill: Drill,
    then: Mapping[int, tuple[int, int]] | None,
    asked: Asked,
) -> Table:
    columns = [*PERIOD, *(_column(tier) for _, tier in tiers), Column("total", "All")]
    lines = [
        [*period_cells(period, drill.span.unit, drill(period)), *_counts(standing, tiers)]
        for period, standing in zip(drill.span.periods, standings[1:], strict=True)
    ]
    foot = [[Cell("Before them"), Cell(""), *_counts(standings[0], tiers)]]
    if then is not None and asked.against:
        foot.append([Cell(f"{in_words(asked.against)}, at the end"), Cell(""), *_counts(then, tiers)])
    return Table("distribution", "Participants by tier, at the end of each period", columns, lines, foot)


def _counts(standing: Mapping[int, tuple[int, int]], tiers: Sequence[tuple[int, Tier | None]]) -> list[Cell]:
    counts = [standing.get(number, (0, 0))[0] for number, _ in tiers]
    return [Cell(count) for count in (*counts, sum(count for count, _ in standing.values()))]


def _column(tier: Tier | None) -> Column:
    return Column(tier.code if tier else "no_tier", tier.name if tier else "No tier")


def _moves(flows: Sequence[Flow], order: Sequence[int]) -> Moves:
    up = down = new = 0
    place = {number: n for n, number in enumerate(order)}
    for flow in flows:
        if flow.tier_from == NOBODY:
            new += flow.participant_count
        elif place.get(flow.tier_to, 0) > place.get(flow.tier_from, 0):
            up += flow.participant_count
        else:
            down += flow.participant_count
    return Moves(up, down, new)


def _matrix(flows: Sequence[Flow], tiers: Sequence[tuple[int, Tier | None]]) -> Table:
    """Rows are where somebody comes from, columns where they go to."""
    counts = Counter({(flow.tier_from, flow.tier_to): flow.participant_count for flow in flows})
    columns = [TIER._replace(name="from", label="From"), *(_column(tier) for _, tier in tiers), Column("total", "All")]
    lines = []
    for number, first in [(NOBODY, Cell(NEW, "New")), *((number, tier_cell(tier)) for number, tier in tiers)]:
        row = [counts[number, to] for to, _ in tiers]
        same = [None if number == to else count for count, (to, _) in zip(row, tiers, strict=True)]
        lines.append([first, *(Cell(count) for count in same), Cell(sum(row))])
    totals = [sum(counts[number, to] for number in (NOBODY, *(n for n, _ in tiers))) for to, _ in tiers]
    foot = [[Cell("All"), *(Cell(total) for total in totals), Cell(sum(totals))]]
    note = "Rows are the tier that somebody comes from, columns the one they go to. Whoever moves twice counts twice."
    return Table("movements", "Movements between tiers", columns, lines, foot, note)


def _times(found: Rises, tiers: Mapping[int, Tier | None]) -> Table:
    columns = [TIER._replace(name="from", label="From"), TIER._replace(name="to", label="To"), Column("number", "Rises")]
    columns += [Column("lower_quartile", "A quarter within", "days"), Column("median", "Half within", "days")]
    columns += [Column("upper_quartile", "Three quarters within", "days")]
    lines = []
    for rise in found.rises:
        quartiles = (rise.lower_quartile, rise.median, rise.upper_quartile)
        ends = [tier_cell(tiers.get(number)) for number in (rise.tier_from, rise.tier_to)]
        lines.append([*ends, Cell(rise.number), *(Cell(round(days, 3)) for days in quartiles)])
    note = "How long somebody had been on a tier when a movement brought them to a higher one."
    if found.is_sample:
        note += f" Only the newest {rises.MOST:,} in these days are looked at."
    return Table("rises", "Time to the next tier", columns, lines, note=note)


def _waits(found: Sequence[Rise], tiers: Mapping[int, Tier | None]) -> dict[str, Any]:
    """Medians, in days unless all of them are shorter."""
    names = {number: tier.name if tier else "No tier" for number, tier in tiers.items()}
    tones = [tier.tone if (tier := tiers.get(rise.tier_to)) else "edge" for rise in found]
    medians = [rise.median for rise in found]
    size, unit = (1, "days") if max(medians, default=0) >= 1 else (HOURS, "hours")
    series = [{"label": "Half within", "data": [round(days * size, 1) for days in medians], "tone": "accent", "tones": tones}]
    labels = [on_axis(f"{names[rise.tier_from]} to {names[rise.tier_to]}") for rise in found]
    title = f"Half within so many {unit}"
    return {"type": "bar", "unit": unit, "title": title, "horizontal": True, "labels": labels, "series": series}


def _drawing(flows: Sequence[Flow], tiers: Sequence[tuple[int, Tier | None]]) -> tier_flow.Chart | None:
    """Movements, the highest tier on top; None without any."""
    if not flows:
        return None
    left: Counter[int] = Counter()
    right: Counter[int] = Counter()
    for flow in flows:
        left[flow.tier_from] += flow.participant_count
        right[flow.tier_to] += flow.participant_count
    looks = {number: (tier.name if tier else "No tier", tier.tone if tier else "slate") for number, tier in tiers}
    looks[NOBODY] = ("New", "slate")
    order = [*(number for number, _ in reversed(tiers)), NOBODY]
    before, after = ([Tally(str(number), *looks[number], side[number]) for number in order] for side in (left, right))
    counts: tier_flow.Flows = {(str(flow.tier_from), str(flow.tier_to)): flow.participant_count for flow in flows}
    return tier_flow.chart(before, after, counts)
