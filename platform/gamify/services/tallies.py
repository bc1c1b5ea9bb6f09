"""Counting what a ladder that is not in force would do: everybody in one scan, or so many participants at a time."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

from gamify.errors import FieldError, Invalid
from gamify.services.drafts import Rung
from gamify.services.settling import Plan

MOST_SURPRISES = 10
AT_ONCE = 20_000  # participants whose ledgers are looked at by one statement: less than a second

FLOWS = """
    SELECT tier, tier_after, is_pinned, is_kept, place_after - place_before AS rise, count(*) AS people
    FROM settled GROUP BY tier, tier_after, is_pinned, is_kept, place_after - place_before
"""
# Those who have three quarters of the way to a tier behind them: one that moves or is new, or for want of which they would
# fall. The nearest of each tier come in turn, so that one tier does not hide the others.
SURPRISES = """
    SELECT external_id, points, missing, level, nearness FROM (
        SELECT external_id, points, level, threshold - points AS missing,
               row_number() OVER (PARTITION BY level ORDER BY threshold - points, is_taken DESC, external_id) AS nearness
        FROM (
            SELECT external_id, points, level_earned + 1 AS level,
                   (CAST(:thresholds AS bigint[]))[level_earned + 1] AS threshold,
                   COALESCE((CAST(:thresholds AS bigint[]))[level_earned], 0) AS begins,
                   is_kept OR place_after < place_before AS is_taken
            FROM settled WHERE NOT is_pinned
        ) AS missed
        WHERE threshold IS NOT NULL AND (threshold - points) * 4 <= threshold - begins
              AND (is_taken OR level = ANY (CAST(:moved_levels AS integer[])))
    ) AS ranked
    WHERE nearness <= :most ORDER BY nearness, missing, external_id LIMIT :most
"""
INT64 = range(-(2**63), 2**63)
NO_TALLY = Invalid([FieldError("tally", "This is not where this preview goes on; begin it again.")])
SOME = "SELECT * FROM participants WHERE tenant_id = :tenant_id AND id > :done_until ORDER BY id LIMIT :at_once"


class Group(NamedTuple):
    """Participants of whom all is the same; tiers are numbers, and a rise is negative for those who fall."""

    before: int
    after: int
    is_pinned: bool
    is_kept: bool
    rise: int


class Surprise(NamedTuple):
    """Somebody who misses a tier by little: one they would fall from, or whose threshold is new."""

    participant_id: str
    points: int  # that count
    missing: int
    rung: Rung


@dataclass
class Tally:
    """What has been counted so far, in ranges of participants' internal ids: of one ladder (`mark`), as of one instant."""

    mark: str
    at: datetime
    counts: Counter[Group] = field(default_factory=Counter)
    near: list[Surprise] = field(default_factory=list)
    done_until: int = -(2**63)
    done_count: int = 0
    is_finished: bool = False

    def write(self) -> str:
        """Return it as text, for whoever goes on later."""
        counts = [[*group, people] for group, people in self.counts.items()]
        return json.dumps([self.mark, self.at.isoformat(), counts, self.near, self.done_until, self.done_count])

    @classmethod
    def read(cls, written: str) -> "Tally":
        """Return what `write` has written. Raises `Invalid`."""
        try:
            mark, at, counts, near, done_until, done_count = json.loads(written)
            people = Counter({Group(*map(int, group)): int(n) for *group, n in counts})  # type: ignore[arg-type]  # flags are numbers
            surprises = [Surprise(str(who), int(points), int(missing), Rung(*rung)) for who, points, missing, rung in near]
            return cls(str(mark), _aware(at), people, surprises, _id(done_until), int(done_count))
        except (ValueError, TypeError, RecursionError, OverflowError) as error:
            raise NO_TALLY from error


def _aware(written: str) -> datetime:
    at = datetime.fromisoformat(written)
    if at.utcoffset() is None:
        raise ValueError(written)
    return at


def _id(number: int) -> int:
    if type(number) is not int or number not in INT64:
        raise ValueError(number)
    return number


def everybody(session: Session, plan: Plan) -> Tally:
    """Count all participants in one go."""
    counted = Tally(plan.mark, plan.now, is_finished=True)
    _count(session, plan, plan.sql(), counted, plan.values)
    counted.done_count = counted.counts.total()
    return counted


def go_on(session: Session, plan: Plan, tally: Tally, *, most: int = AT_ONCE) -> Tally:
    """Count the next `most` participants; begin with an empty tally and go on until it is finished.

    Raises `Invalid` for a tally of another ladder.
    """
    if tally.mark != plan.mark:
        raise NO_TALLY
    values = {**plan.values, "done_until": tally.done_until, "at_once": most}
    last, count = session.execute(text(f"SELECT max(id), count(*) FROM ({SOME}) AS p"), values).one()  # noqa: S608  # our own
    if count:
        _count(session, plan, plan.sql(f"({SOME})"), tally, values)
        tally.done_until, tally.done_count = last, tally.done_count + count
    tally.is_finished = count < most
    return tally


def _count(session: Session, plan: Plan, settled: str, into: Tally, values: Mapping[str, Any]) -> None:
    asked = {**values, "moved_levels": _moved_levels(plan), "most": MOST_SURPRISES}
    parts = [f"(SELECT json_agg(row) FROM ({query}) AS row)" for query in (FLOWS, SURPRISES)]  # noqa: S608  # our own
    if plan.counts_a_time:  # ledgers are dear to look at: once for both
        flows, near = session.execute(text(f"WITH {settled} SELECT {', '.join(parts)}"), asked).one()
    else:  # two scans by several processes are quicker than one that all is kept of
        flows, near = (session.scalar(text(f"WITH {settled} SELECT {part}"), asked) for part in parts)
    for row in flows or []:
        into.counts[Group(row["tier"], row["tier_after"], row["is_pinned"], row["is_kept"], row["rise"])] += row["people"]
    rungs = sorted(plan.content.rungs, key=lambda rung: rung.threshold or 0)
    found = (Surprise(row["external_id"], row["points"], row["missing"], rungs[row["level"] - 1]) for row in near or [])
    into.near = _telling([*into.near, *found])


def _telling(near: Iterable[Surprise]) -> list[Surprise]:
    """The nearest of each tier in turn, as SURPRISES has them."""
    seen: Counter[str] = Counter()
    ranked = []
    for each in sorted(near, key=lambda each: each.missing):
        seen[each.rung.code] += 1
        ranked.append((seen[each.rung.code], each.missing, each.participant_id, each))
    return [each for *_, each in sorted(ranked, key=lambda row: row[:3])][:MOST_SURPRISES]


def _moved_levels(plan: Plan) -> Sequence[int]:
    """Levels of tiers that are new or begin elsewhere; all, if other points count than before."""
    was = {tier.number: tier.threshold for tier in plan.in_force}
    reached = enumerate(zip(plan.ladder.numbers, plan.ladder.thresholds, strict=True), start=1)
    return [level for level, (number, threshold) in reached if plan.counts_otherwise or was.get(number) != threshold]
