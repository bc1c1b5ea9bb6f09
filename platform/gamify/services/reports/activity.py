"""Behaviour: who is active and for how long after their first entry, how large awards and balances are.

Days are those of the tenant's own zone, for who has counted on a day cannot count on another one as well.
"""

from collections.abc import Sequence
from datetime import date
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

from gamify.services.figures import MOVED
from gamify.services.measures import STEPS, step
from gamify.services.quarters import END, SUMMED
from gamify.services.reports.span import BEGINS, Span
from gamify.services.rollup_parts import ACTIVE, ACTIVITY, COHORT, SIZE_MEASURES

_TAIL = "(SELECT until FROM summed)"
DAYS = text(f"""
    WITH {SUMMED}
    SELECT day, cohort, {", ".join(f"sum({name})::bigint AS {name}" for name in ACTIVE)}
    FROM (
        SELECT day, cohort, {", ".join(ACTIVE)} FROM activity_days
        WHERE tenant_id = :tenant_id AND day >= :first AND day <= :last
        UNION ALL
        SELECT at::date, {COHORT}, {", ".join(ACTIVE.values())}
        FROM ({ACTIVITY.format(since=_TAIL, until=":end")}) AS entry
        WHERE (past_at IS NULL OR past_at::date < at::date) AND at::date >= :first AND at::date <= :last
        GROUP BY 1, 2
    ) AS part
    GROUP BY day, cohort ORDER BY day, cohort
""")
AWARD_SIZES = text(f"""
    WITH {SUMMED}
    SELECT step, {", ".join(f"sum({name})::bigint AS {name}" for name in SIZE_MEASURES)}
    FROM (
        SELECT step, award_count, points FROM award_size_days WHERE tenant_id = :tenant_id AND day >= :first AND day <= :last
        UNION ALL
        SELECT {step("points")}, {", ".join(SIZE_MEASURES.values())}
        FROM ledger_entries
        WHERE tenant_id = :tenant_id AND id >= first_entry_id({_TAIL}) AND id < first_entry_id(:end) AND type = 'award'
              AND (created_at AT TIME ZONE :zone)::date BETWEEN :first AND :last
        GROUP BY 1
    ) AS part
    GROUP BY step ORDER BY step
""")
# As in `figures`: standings, with those in place who have moved since.
BALANCES = text(f"""
    WITH {SUMMED}, {MOVED}
    SELECT step, sum(participant_count)::bigint, sum(points)::bigint
    FROM (
        SELECT step, participant_count, points FROM balance_standings WHERE tenant_id = :tenant_id
        UNION ALL
        SELECT {step("s.balance")}, -1, -s.balance FROM moved CROSS JOIN LATERAL (
            SELECT balance FROM participant_standings WHERE tenant_id = :tenant_id AND participant_id = moved.id OFFSET 0
        ) AS s
        UNION ALL
        SELECT {step("p.balance")}, 1, p.balance FROM moved CROSS JOIN LATERAL (
            SELECT balance FROM participants WHERE tenant_id = :tenant_id AND id = moved.id OFFSET 0
        ) AS p
    ) AS part
    GROUP BY step HAVING sum(participant_count) <> 0 ORDER BY step
""")


class Bar(NamedTuple):
    """How many there are of a size: from `least` points until below `above` (None: without end), and what they come to."""

    least: int
    above: int | None
    number: int
    points: int


class Cohort(NamedTuple):
    """Those whose first entry was in a month: how many, and how many of them were active in each month from then on."""

    month: date
    size: int
    active: Sequence[int]


def active(session: Session, tenant_id: int, span: Span) -> list[tuple[date, int]]:
    """Return how many participants have an entry in each day, week or month that touches a span, by its first day."""
    begin = BEGINS[span.unit]
    counts = {begin(period.first): 0 for period in span.periods}
    whole = Span(begin(span.first), span.last, span.unit, span.zone)
    for row in session.execute(DAYS, _values(tenant_id, whole)).mappings():
        counts[begin(row["day"])] += row[f"{span.unit}_count"]
    return sorted(counts.items())


def cohorts(session: Session, tenant_id: int, span: Span) -> list[Cohort]:
    """Return those who began in each month of a span, and who of them came back, month by month until the span's last."""
    begin = BEGINS["month"]
    whole = Span(begin(span.first), span.last, "month", span.zone)
    months = [period.first for period in whole.periods]
    counts = {(cohort, month): 0 for cohort in months for month in months if month >= cohort}
    for row in session.execute(DAYS, _values(tenant_id, whole)).mappings():
        if (at := (row["cohort"], begin(row["day"]))) in counts:
            counts[at] += row["month_count"]
    return [
        Cohort(cohort, counts[cohort, cohort], [counts[cohort, month] for month in months if month >= cohort])
        for cohort in months
    ]


def award_sizes(session: Session, tenant_id: int, span: Span) -> list[Bar]:
    """Return how many awards of a span there are of each size, without gaps from the smallest to the largest."""
    return _bars(session.execute(AWARD_SIZES, _values(tenant_id, span)))


def balances(session: Session, tenant_id: int) -> list[Bar]:
    """Return how many participants have balances of each size now, without gaps from the smallest to the largest."""
    return _bars(session.execute(BALANCES, {"tenant_id": tenant_id}))


def _values(tenant_id: int, span: Span) -> dict[str, object]:
    return {"tenant_id": tenant_id, "first": span.first, "last": span.last, "zone": str(span.zone), "end": END}


def _bars(rows: object) -> list[Bar]:
    found = {row[0]: (row[1], row[2]) for row in rows}  # type: ignore[attr-defined]  # rows of three numbers
    if not found:
        return []
    bounds = (0, *STEPS, None)
    return [Bar(bounds[n] or 0, bounds[n + 1], *found.get(n, (0, 0))) for n in range(min(found), max(found) + 1)]
