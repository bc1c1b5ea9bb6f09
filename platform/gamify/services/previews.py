"""Previews: what publishing a draft would do to everybody, from the data as they are; nothing is changed."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

from gamify.errors import FieldError, Invalid
from gamify.services import cursor as cursors
from gamify.services import recalculations, settling, tallies
from gamify.services.cursor import Cursor
from gamify.services.drafts import Content, Rung
from gamify.services.settling import Plan
from gamify.services.tallies import AT_ONCE, Group, Surprise, Tally
from gamify.services.tiers import Policy

DIRECTIONS = ("rise", "fall", "kept")
NO_TIER = ""  # as a code
PATIENCE = 2.0  # s for a part of a preview

MOVERS = """
    SELECT id, external_id, points, tier, tier_after, is_pinned, is_kept, place_after - place_before AS rise FROM settled
    WHERE {condition} ORDER BY external_id LIMIT :limit
"""
CONDITIONS = {"rise": "place_after > place_before", "fall": "place_after < place_before", "kept": "is_kept"}
FOLLOWING = """
    (SELECT * FROM participants WHERE tenant_id = :tenant_id AND external_id > :last ORDER BY external_id {at_most})
"""


class Shift(NamedTuple):
    """Participants on a tier before and after; a rung of None is for those without one."""

    rung: Rung | None
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class Flow:
    """How many come from one tier to another, or stay; None is none."""

    before_code: str | None
    after_code: str | None
    count: int


class Mover(NamedTuple):
    """Somebody who would `rise` or `fall`, or keep what they would lose."""

    participant_id: str
    points: int  # that count
    before_code: str | None
    after_code: str | None
    direction: str  # rise, fall or stay
    is_kept: bool
    is_pinned: bool


@dataclass(frozen=True, slots=True)
class Moves:
    """Which moves to look for: all, those in one direction (of `DIRECTIONS`), or of one flow (`NO_TIER` for none)."""

    direction: str | None = None
    before: str | None = None
    after: str | None = None

    @property
    def is_all(self) -> bool:
        """Whether nothing is left out."""
        return self == ALL


ALL = Moves()


class Movers(NamedTuple):
    """A page of them; without a cursor it is the last. Where ledgers have to be looked at, it may have fewer than asked for."""

    rows: Sequence[Mover]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class Preview:
    """What would become of everybody; those whose tier is kept or pinned are among those who rise, fall or stay, too."""

    total: int
    rise: int
    fall: int
    stay: int
    kept: int
    pinned: int
    shifts: Sequence[Shift]
    flows: Sequence[Flow]
    surprises: Sequence[Surprise]


class Part(NamedTuple):
    """A preview of those counted so far, and what to go on with; without a rest it is whole."""

    preview: Preview
    done_count: int
    total_count: int
    rest: str | None


def preview(session: Session, tenant_id: int, content: Content, policy: Policy, *, now: datetime) -> Preview:
    """Return what publishing would do to everybody, now or at each one's next award. Raises `Invalid`.

    Where points count for a time only, it looks at every ledger: see `part`.
    """
    plan = settling.plan(session, tenant_id, content, policy, now=now)
    return shown(plan, tallies.everybody(session, plan))


def part(
    session: Session,
    tenant_id: int,
    content: Content,
    policy: Policy,
    *,
    now: datetime,
    so_far: str | None = None,
    seconds: float = PATIENCE,
    most: int = AT_ONCE,
) -> Part:
    """Return a preview as far as it can be counted in about so many seconds; `rest` of it is what to go on with.

    Where all points ever earned count, it is always whole. Raises `Invalid`, also for what is no `rest` of this preview.
    """
    tally = Tally.read(so_far) if so_far else None
    plan = settling.plan(session, tenant_id, content, policy, now=tally.at if tally else now)
    end = time.monotonic() + seconds
    tally = tally or (Tally(plan.mark, now) if plan.counts_a_time else tallies.everybody(session, plan))
    while not tally.is_finished:
        tallies.go_on(session, plan, tally, most=most)
        if time.monotonic() >= end:
            break
    rest = None if tally.is_finished else tally.write()
    total = tally.done_count if rest is None else max(recalculations.people(session, tenant_id), tally.done_count)
    return Part(shown(plan, tally), tally.done_count, total, rest)


def shown(plan: Plan, counted: Tally) -> Preview:
    """Return what has been counted as a preview."""
    counts = counted.counts
    total = counts.total()
    rise, fall = _people(counts, lambda group: group.rise > 0), _people(counts, lambda group: group.rise < 0)
    flows: Counter[tuple[int, int]] = Counter()
    for group, people in counts.items():
        flows[group.before, group.after] += people
    return Preview(
        total=total,
        rise=rise,
        fall=fall,
        stay=total - rise - fall,
        kept=_people(counts, lambda group: group.is_kept),
        pinned=_people(counts, lambda group: group.is_pinned),
        shifts=_shifts(plan, flows),
        flows=[
            Flow(plan.codes.get(before), plan.codes.get(after), people)
            for (before, after), people in sorted(flows.items(), key=lambda flow: _in_places(plan, flow[0]))
        ],
        surprises=counted.near,
    )


def _people(counts: Counter[Group], are_meant: Callable[[Group], bool]) -> int:
    return sum(people for group, people in counts.items() if are_meant(group))


def movers(
    session: Session,
    tenant_id: int,
    content: Content,
    policy: Policy,
    *,
    now: datetime,
    moves: Moves = ALL,
    cursor: str | None = None,
    limit: int,
) -> Movers:
    """Return a page of those who would move, by their ids.

    Raises `Invalid` for what cannot be published, and for unknown codes, directions and cursors.
    """
    plan = settling.plan(session, tenant_id, content, policy, now=now)
    wanted = _wanted(plan, moves)
    return _page(session, plan, wanted, last=_last(cursor) if cursor else "", limit=limit)


def every_mover(
    session: Session, tenant_id: int, content: Content, policy: Policy, *, now: datetime, moves: Moves = ALL
) -> Iterator[Mover]:
    """Yield all of them, page by page."""
    plan = settling.plan(session, tenant_id, content, policy, now=now)
    wanted = _wanted(plan, moves)
    last: str | None = ""
    while last is not None:
        page = _page(session, plan, wanted, last=last, limit=AT_ONCE)
        yield from page.rows
        last = _last(page.cursor) if page.cursor else None


def _shifts(plan: Plan, flows: Counter[tuple[int, int]]) -> list[Shift]:
    """The tiers of the draft, those of the ladder in force, and any that somebody still holds; the lowest first."""
    before: Counter[int] = Counter()
    after: Counter[int] = Counter()
    for (one, other), people in flows.items():
        before[one] += people
        after[other] += people
    rungs = {number: Rung(tier.code, tier.name, tier.threshold, tier.colour) for number, tier in plan.known.items()}
    rungs |= {number: rung for rung in plan.content.rungs if (number := plan.number(rung.code))}
    now = {tier.number for tier in plan.in_force}
    numbers = sorted({0, *now, *plan.ladder.numbers, *before}, key=lambda number: _place(plan, number))
    return [Shift(rungs.get(number), before[number], after[number]) for number in numbers]


def _in_places(plan: Plan, flow: tuple[int, int]) -> tuple[tuple[int, int], ...]:
    return tuple(_place(plan, number) for number in flow)


def _place(plan: Plan, number: int) -> tuple[int, int]:
    """Order all tiers, also those that are gone: see `settling.SETTLED`."""
    if not number:
        return (0, 0)
    place = plan.values["places"][number - 1]
    return (place, plan.known[number].threshold if place % 2 else 0)


def _wanted(plan: Plan, moves: Moves) -> dict[str, Any]:
    """Return what to look for: a condition, and its values."""
    direction = moves.direction
    codes = {name: code for name, code in (("before", moves.before), ("after", moves.after)) if code is not None}
    numbers = {name: plan.number(code) for name, code in codes.items()}
    errors = [FieldError(name, "There is no such tier.") for name, number in numbers.items() if number is None]
    if direction is not None and direction not in DIRECTIONS:
        errors.append(FieldError("direction", f"Must be one of {', '.join(DIRECTIONS)}."))
    if errors:
        raise Invalid(errors)
    columns = {"before": "tier", "after": "tier_after"}
    conditions = [f"{columns[name]} = CAST(:{name} AS integer)" for name in numbers]
    conditions.append(CONDITIONS[direction] if direction else "tier_after <> tier")
    return {"condition": " AND ".join(conditions), **numbers}


def _last(cursor: str) -> str:
    try:
        last: str = cursors.read(cursor, str).value
    except Invalid as error:
        raise Invalid([FieldError("cursor", "Is not a next_cursor of ours.")]) from error
    return last


def _page(session: Session, plan: Plan, wanted: Mapping[str, Any], *, last: str, limit: int) -> Movers:
    at_most = f"LIMIT {AT_ONCE}" if plan.counts_a_time else ""
    some = FOLLOWING.format(at_most=at_most)
    values = {**plan.values, **wanted, "last": last, "limit": limit + 1}
    query = f"WITH {plan.sql(some)} {MOVERS.format(condition=wanted['condition'])}"
    rows = session.execute(text(query), values).all()
    more = None
    if len(rows) > limit:
        more = Cursor(rows[limit - 1].external_id, rows[limit - 1].id)
    elif at_most:
        end = text(f"SELECT max(external_id), max(id), count(*) FROM {some} AS p")  # noqa: S608  # our own names
        furthest, number, count = session.execute(end, values).one()
        more = Cursor(furthest, number) if count == AT_ONCE else None
    return Movers([_mover(plan, row) for row in rows[:limit]], more.write() if more else None)


def _mover(plan: Plan, row: Any) -> Mover:
    direction = "rise" if row.rise > 0 else "fall" if row.rise < 0 else "stay"
    tiers = (plan.codes.get(row.tier), plan.codes.get(row.tier_after))
    return Mover(row.external_id, row.points, *tiers, direction, row.is_kept, row.is_pinned)
