"""Rises: how long participants were on a tier before they came to a higher one by a movement, told of the newest."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

from gamify.services.measures import BEGINNING
from gamify.services.quarters import END
from gamify.services.reports.span import Span

MOST = 5_000  # rises looked at: each asks for what was before it
SHARES = (0.25, 0.5, 0.75)  # the quartiles

# An entry comes after the changes of tiers that follow the entry before it, so of two ways to a tier the later one is that with
# the higher `seq`, and on a par the change. Their times need not tell: clocks are set back.
RISES = text("""
    WITH found AS MATERIALIZED (
        SELECT participant_id, seq, id, created_at, ladder_version, tier_before, tier_after
        FROM ledger_entries
        WHERE tenant_id = :tenant_id AND id >= first_entry_id(:since) AND id < first_entry_id(:until) AND tier_after > tier_before
        ORDER BY id DESC LIMIT :most + 1
    ), newest AS (
        SELECT * FROM found ORDER BY id DESC LIMIT :most
    )
    SELECT COALESCE(l.numbers[newest.tier_before], 0), COALESCE(l.numbers[newest.tier_after], 0), count(*),
           percentile_cont(CAST(:shares AS float8[])) WITHIN GROUP (
               ORDER BY GREATEST(extract(epoch FROM newest.created_at - came.at), 0)::float8 / 86400
           ),
           (SELECT count(*) FROM found)
    FROM newest
    LEFT JOIN ladders AS l ON l.tenant_id = :tenant_id AND l.version = newest.ladder_version
    CROSS JOIN LATERAL (
        SELECT COALESCE((
            SELECT at FROM (
                (
                    SELECT seq, 0 AS is_change, created_at AS at FROM ledger_entries
                    WHERE tenant_id = :tenant_id AND participant_id = newest.participant_id AND seq < newest.seq
                          AND tier_before <> tier_after
                    ORDER BY seq DESC LIMIT 1
                ) UNION ALL (
                    SELECT after_seq, 1, at FROM tier_changes
                    WHERE tenant_id = :tenant_id AND participant_id = newest.participant_id AND after_seq < newest.seq
                          AND (number_before <> number_after OR cause = 'registered')
                    ORDER BY after_seq DESC, id DESC LIMIT 1
                )
            ) AS way
            ORDER BY seq DESC, is_change DESC LIMIT 1
        ), (
            SELECT created_at FROM ledger_entries
            WHERE tenant_id = :tenant_id AND participant_id = newest.participant_id AND seq = 1
        )) AS at
    ) AS came
    GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2
""")


class Rise(NamedTuple):
    """Rises from one tier to another, and the days on the first that half of them, and a quarter and three, took at most.

    Tiers are numbers; 0: none.
    """

    tier_from: int
    tier_to: int
    number: int
    lower_quartile: float
    median: float
    upper_quartile: float


class Rises(NamedTuple):
    """What `newest` has found: the most frequent first."""

    rises: Sequence[Rise]
    is_sample: bool  # whether there are older ones in the span, which were not looked at


def newest(session: Session, tenant_id: int, span: Span, *, most: int = MOST) -> Rises:
    """Return the newest rises of a span, `most` at most, and how long their participants had been on the tier before.

    That is since the movement, or the change that no movement tells of, which brought them there; since their first entry if
    none did. Who was put on another tier because theirs is gone has been there since they came to that one.
    """
    since, until = (min(max(instant, BEGINNING), END) for instant in (span.since, span.until))  # ids begin and end there
    values = {"tenant_id": tenant_id, "since": since, "until": until, "most": most, "shares": list(SHARES)}
    rows = session.execute(RISES, values).all()
    rises = [Rise(before, after, number, *quartiles) for before, after, number, quartiles, _ in rows]
    return Rises(rises, is_sample=bool(rows) and rows[0][-1] > most)
