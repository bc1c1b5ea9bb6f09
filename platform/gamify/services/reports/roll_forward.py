"""The roll-forward: opening + awarded - reversed - deducted + given back = closing, period by period.

Of the tenant; by tier, where points also move in and out with their participants; and by key, reason or a member of the
metadata, as movements only, for nobody stands on a reason.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from gamify.errors import FieldError, Invalid
from gamify.models import ApiKey, Dimension, Tier, Word
from gamify.services import figures, ladder, quarters
from gamify.services.figures import Sums
from gamify.services.measures import BEGINNING, KEY, MEASURES, MOVEMENTS, TYPES
from gamify.services.quarters import ENTRIES, Rollup
from gamify.services.reports.span import Period, Span
from gamify.services.rollup_parts import (
    FLOW,
    FLOW_MEASURES,
    LONGEST_WORD,
    MOST_WORDS,
    NOBODY,
    OTHER_WORDS,
    REASONS,
    WORD,
    WORD_ID,
)

TENANT, BY_TIER, BY_KEY, BY_REASON, METADATA = "tenant", "tier", "key", "reason", "metadata."
MOST_GROUPS = 50  # shown by themselves; the rest is one more

KEYS = Rollup("ledger_quarters", MEASURES, groups={"api_key_id": KEY}).statement()
_SAID = f"""(
    SELECT e.*, {WORD_ID} AS word_id, CASE WHEN w.id IS NULL AND char_length({WORD}) <= {LONGEST_WORD} THEN {WORD} END AS new_word
    FROM {ENTRIES}
    CROSS JOIN (SELECT CAST(:dimension AS smallint) AS number, CAST(:metadata_key AS text) AS metadata_key) AS d
    LEFT JOIN words AS w ON w.tenant_id = :tenant_id AND w.dimension = d.number AND w.word = {WORD}
) AS said"""
WORDS = Rollup(
    "word_quarters",
    MOVEMENTS,
    groups={"word_id": "word_id", "new_word": "new_word"},  # which has no id until it is summed
    source=_SAID,
    which="dimension = :dimension",
    stored={"new_word": "NULL::text"},
).statement()
EVENTS = "tier_events(:tenant_id, {since}, {until}) AS event"
TIERS = Rollup("tier_quarters", MOVEMENTS, groups={"tier": "tier_before"}, source=EVENTS, whose="type IS NOT NULL").statement()
NETS = Rollup(
    "tier_quarters",
    {"net": "sum(points)"},
    groups={"tier": "tier_before"},
    source=EVENTS,
    whose="type IS NOT NULL",
    stored={"net": "award_points - award_reversal_points - deduct_points + deduct_reversal_points"},
).statement()
_FLOWS = f"(SELECT event.created_at, flow.* FROM {EVENTS} {FLOW}) AS flow"
FLOWS = Rollup(
    "tier_flow_quarters", FLOW_MEASURES, groups={"tier_from": "tier_from", "tier_to": "tier_to"}, source=_FLOWS
).statement()


class Row(NamedTuple):
    """A period, what there was before it and what there is after it."""

    period: Period
    opening: int  # points
    sums: Sums
    closing: int


class Flow(NamedTuple):
    """Who moved from one tier to another, and the balances they took with them. Tiers are numbers; -1: they were nobody."""

    tier_from: int
    tier_to: int
    participant_count: int
    points: int


class Group(NamedTuple):
    """What one key, or one word, has moved; `is_rest` for all together that are not shown by themselves."""

    name: str | None  # None: entries without a key or word
    sums: Sums
    is_rest: bool = False
    prefix: str | None = None  # of a key
    key_id: int | None = None  # of a key; 0: no key


class TierRow(NamedTuple):
    """A tier in a period: its movements, who came and who went, and what their participants had before and after."""

    number: int
    tier: Tier | None  # None: without a tier
    opening: int  # points
    sums: Sums
    moved_in: int
    moved_out: int
    closing: int
    participants_before: int
    came: int
    went: int
    participants_after: int


def of_tenant(session: Session, tenant_id: int, span: Span) -> Sequence[Row]:
    """Return a row for each period; each closing is the next opening."""
    before, *found = figures.between(session, tenant_id, [BEGINNING, *span.edges])
    rows, opening = [], before.net
    for period, sums in zip(span.periods, found, strict=True):
        rows.append(Row(period, opening, sums, opening + sums.net))
        opening = rows[-1].closing
    return rows


def by_key(session: Session, tenant_id: int, span: Span) -> Sequence[Group]:
    """Return what each key has moved, the most first; people and no key are one group without a name."""
    found = {row[0]: Sums(*row[1:]) for _, row in quarters.between(session, tenant_id, KEYS, [span.since, span.until])}
    keys = {key.id: key for key in session.scalars(select(ApiKey).where(ApiKey.tenant_id == tenant_id, ApiKey.id.in_(found)))}
    groups = [
        Group(key.name if key else None, sums, prefix=key.prefix if key else None, key_id=number)
        for number, sums in found.items()
        for key in [keys.get(number)]
    ]
    return _most_first(groups)


def by_word(session: Session, tenant_id: int, span: Span, *, dimension: int) -> Sequence[Group]:
    """Return what has moved by each reason (dimension 0) or value of a member of the metadata, the most first."""
    values = {"dimension": dimension, "metadata_key": metadata_key(session, tenant_id, dimension)}
    known = {word.id: word.word for word in session.scalars(select(Word).filter_by(tenant_id=tenant_id, dimension=dimension))}
    sums: dict[tuple[str | None, bool], Sums] = defaultdict(Sums)
    for _, (number, new, *row) in quarters.between(session, tenant_id, WORDS, [span.since, span.until], **values):
        is_rest = number == OTHER_WORDS and (new is None or len(known) >= MOST_WORDS)
        sums[None if is_rest else new or known.get(number), is_rest] += _sums(row)
    rest = sums.pop((None, True), None)
    return _most_first([Group(name, each) for (name, _), each in sums.items()], rest=rest)


def by_tier(session: Session, tenant_id: int, span: Span) -> Sequence[TierRow]:
    """Return every tier that anybody was on, the lowest first, and before them who has none."""
    [nets_before] = _nets(session, tenant_id, [BEGINNING, span.since])
    flows_before, moved = _flows(session, tenant_id, [BEGINNING, span.since, span.until])
    found = quarters.between(session, tenant_id, TIERS, [span.since, span.until])
    movements = {tier: _sums(row) for _, (tier, *row) in found}
    opening = _standing(nets_before, flows_before)
    closing = _standing({tier: sums.net for tier, sums in movements.items()}, moved, opening)
    came, went = _ends(moved)
    numbers = opening.keys() | closing.keys() | movements.keys() | came.keys() | went.keys()  # who came may have gone again
    rows = []
    for number, tier in tiers_in_order(session, tenant_id, numbers - {NOBODY}):
        had, has = opening.get(number, (0, 0)), closing.get(number, (0, 0))
        (in_count, in_points), (out_count, out_points) = came[number], went[number]
        sums = movements.get(number, Sums())
        rows.append(TierRow(number, tier, had[1], sums, in_points, out_points, has[1], had[0], in_count, out_count, has[0]))
    return rows


def flows(session: Session, tenant_id: int, span: Span) -> Sequence[Flow]:
    """Return who moved from which tier to which within a span; who was new came from `NOBODY`."""
    return sorted(_flows(session, tenant_id, [span.since, span.until])[0])


def standings(session: Session, tenant_id: int, span: Span) -> list[Mapping[int, tuple[int, int]]]:
    """Return participants and points by tier before the first period, and after each."""
    edges = [BEGINNING, *span.edges]
    found: list[Mapping[int, tuple[int, int]]] = []
    standing: Mapping[int, tuple[int, int]] = {}
    for nets, moved in zip(_nets(session, tenant_id, edges), _flows(session, tenant_id, edges), strict=True):
        standing = _standing(nets, moved, standing)
        found.append(standing)
    return found


def metadata_key(session: Session, tenant_id: int, dimension: int) -> str | None:
    """Return the member of the metadata that a dimension is of; None for reasons. Raises `Invalid` for none that there is."""
    if dimension == REASONS:
        return None
    found = session.get(Dimension, (tenant_id, dimension))
    if found is None:
        raise Invalid([FieldError("by", "Is no dimension of reports.")])
    return found.metadata_key


def tiers_in_order(session: Session, tenant_id: int, numbers: set[int]) -> list[tuple[int, Tier | None]]:
    """Return these tiers, who has none first, then those that are gone, then those of the ladder, the lowest first."""
    known = ladder.known(session, tenant_id)
    in_force = [tier.number for tier in ladder.in_force(session, tenant_id)]
    gone = sorted(numbers - set(in_force) - {0})
    order = ([0] if 0 in numbers else []) + gone + in_force
    return [(number, known.get(number)) for number in order]


def _nets(session: Session, tenant_id: int, edges: Sequence[datetime]) -> list[Mapping[int, int]]:
    """What movements have added to each tier between each edge and the next."""
    found: list[dict[int, int]] = [{} for _ in edges[1:]]
    for n, (tier, net) in quarters.between(session, tenant_id, NETS, edges):
        found[n][tier] = net
    return list(found)


def _flows(session: Session, tenant_id: int, edges: Sequence[datetime]) -> list[Sequence[Flow]]:
    found: list[list[Flow]] = [[] for _ in edges[1:]]
    for n, flow in quarters.between(session, tenant_id, FLOWS, edges):
        found[n].append(Flow(*flow))
    return list(found)


def _standing(
    nets: Mapping[int, int], moved: Sequence[Flow], before: Mapping[int, tuple[int, int]] | None = None
) -> Mapping[int, tuple[int, int]]:
    """Participants and points by tier, after what has happened; tiers with neither are left out."""
    counts = defaultdict(int, {number: standing[0] for number, standing in (before or {}).items()})
    points = defaultdict(int, {number: standing[1] for number, standing in (before or {}).items()})
    for number, net in nets.items():
        points[number] += net
    for flow in moved:
        for number, sign in ((flow.tier_from, -1), (flow.tier_to, 1)):
            counts[number] += sign * flow.participant_count
            points[number] += sign * flow.points
    numbers = (counts.keys() | points.keys()) - {NOBODY}
    return {number: (counts[number], points[number]) for number in numbers if counts[number] or points[number]}


def _ends(moved: Sequence[Flow]) -> tuple[Mapping[int, tuple[int, int]], Mapping[int, tuple[int, int]]]:
    """Who came to each tier and who went from it: participants and points."""
    found: list[dict[int, tuple[int, int]]] = []
    for end in ("tier_to", "tier_from"):
        sums: dict[int, tuple[int, int]] = defaultdict(lambda: (0, 0))
        for flow in moved:
            count, points = sums[getattr(flow, end)]
            sums[getattr(flow, end)] = (count + flow.participant_count, points + flow.points)
        found.append(sums)
    return found[0], found[1]


def _sums(row: Sequence[int]) -> Sums:
    """Sums of the columns of `MOVEMENTS`."""
    return Sums(**dict(zip(MOVEMENTS, row, strict=True)))


def _most_first(groups: Sequence[Group], *, rest: Sums | None = None) -> Sequence[Group]:
    """Groups by how many points they have moved; those after the first few are one, with the rest that has no names."""
    ordered = sorted(groups, key=lambda group: -sum(getattr(group.sums, f"{kind}_points") for kind in TYPES))
    for group in ordered[MOST_GROUPS:]:
        rest = (rest or Sums()) + group.sums
    shown = ordered[:MOST_GROUPS]
    return [*shown, Group(None, rest, is_rest=True)] if rest else shown
