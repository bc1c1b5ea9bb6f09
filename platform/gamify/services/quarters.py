"""Reading rollups of quarters of an hour between any instants, exact at any moment.

What is rolled up, the ledger's tail that is not yet, and the quarters in which a period begins or ends are added in one
statement, hence of one snapshot.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from sqlalchemy import TextClause, text
from sqlalchemy.orm import Session

from gamify.services.measures import BEGINNING, QUARTER, selected

A_QUARTER = timedelta(minutes=15)
END = datetime.max.replace(tzinfo=UTC) - timedelta(days=1)  # some quarters before the last instant there is

SUMMED = """summed AS (
    SELECT COALESCE(max(summed_until), TIMESTAMPTZ 'epoch') AS until FROM rollup_progress WHERE tenant_id = :tenant_id
)"""
ENTRIES = """(
    SELECT * FROM ledger_entries WHERE tenant_id = :tenant_id AND id >= first_entry_id({since}) AND id < first_entry_id({until})
) AS e"""
CUT = "<> ALL (CAST(:cut AS timestamptz[]))"
N = "width_bucket({at}, CAST(:edges AS timestamptz[]))"


@dataclass(frozen=True)
class Rollup:
    """A table of quarters, and how to make its rows of a range of the ledger.

    `groups` and `measures` are its columns with the expressions that make them of `source`, whose rows have a `created_at`;
    `which` says which rows of the table are wanted, and `whose` which of the source. What the table does not have under that
    name is in `stored`, with what it is of a row.
    """

    table: str
    measures: Mapping[str, str]
    groups: Mapping[str, str]
    source: str = ENTRIES
    which: str = "true"
    whose: str = "true"
    stored: Mapping[str, str] = field(default_factory=dict)

    def statement(self) -> TextClause:
        """The query of sums by period (the first column, from 1) and group."""
        groups = "".join(f", {name}" for name in self.groups)
        kept = "".join(f", {self.stored.get(name, name)} AS {name}" for name in (*self.groups, *self.measures))
        made = "".join(f", {expression} AS {name}" for name, expression in self.groups.items())
        made = f"{N.format(at='created_at')} AS n{made}, {selected(self.measures)}"
        numbers = ", ".join(str(n + 1) for n in range(len(self.groups) + 1))
        tail = self.source.format(since="(SELECT GREATEST(until, :first) FROM summed)", until=":last")
        edge = self.source.format(since="GREATEST(quarter, :first)", until="LEAST(quarter + interval '15 minutes', :last)")
        return text(f"""
            WITH {SUMMED}
            SELECT part.n{groups}, {", ".join(f"sum(part.{name})::bigint" for name in self.measures)}
            FROM (
                SELECT {N.format(at="quarter")} AS n{kept}
                FROM {self.table}
                WHERE tenant_id = :tenant_id AND quarter >= :first AND quarter < :last AND quarter {CUT} AND {self.which}
                UNION ALL
                SELECT {made} FROM {tail} WHERE {QUARTER} {CUT} AND {self.whose} GROUP BY {numbers}
                UNION ALL
                SELECT {made}
                FROM unnest(CAST(:cut AS timestamptz[])) AS quarter
                -- Planned by itself, as the small range that it is; a join would read the whole ledger.
                CROSS JOIN LATERAL (SELECT * FROM {edge} WHERE {self.whose} OFFSET 0) AS entry
                GROUP BY {numbers}
            ) AS part
            GROUP BY part.n{groups}
        """)


def between(
    session: Session, tenant_id: int, statement: TextClause, edges: Sequence[datetime], **values: Any
) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """Yield rows of a rollup's statement for each period between one of the ascending `edges` and the next.

    Each is the number of the period, from 0, and its group and measures. An edge belongs to what comes after it. Quarters in
    which an edge lies are read from the ledger, all others from the rollups.
    """
    instants = [min(max(edge.astimezone(UTC), BEGINNING), END) for edge in edges]
    distinct = sorted(set(instants))
    numbers = {pair: n for n, pair in enumerate(pairwise(instants))}
    values |= {
        "tenant_id": tenant_id,
        "edges": distinct,
        "first": distinct[0],
        "last": distinct[-1],
        "cut": sorted({start for edge in distinct if (start := _quarter(edge)) != edge}),
    }
    for n, *row in session.execute(statement, values):
        if (number := numbers.get((distinct[n - 1], distinct[n]))) is not None:  # or the edges do not ascend: nothing is between
            yield number, tuple(row)


def _quarter(instant: datetime) -> datetime:
    """The beginning of the quarter of an hour that an instant is in."""
    return instant - (instant - BEGINNING) % A_QUARTER
