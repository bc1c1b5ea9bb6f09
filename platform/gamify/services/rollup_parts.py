"""The statements that make rollups: what a range of the ledger adds to each, and each of all of it.

A range is the entries, and the changes of tiers that no entry tells of, of :since ≤ t < :until; `rollups` runs them in order.
Everything is summed before :summed_until then. With a :dimension, a range is added to what is broken down by that alone.
"""

from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import TextClause, text

from gamify.services.measures import KEY, MEASURES, MOVEMENTS, QUARTER, RANGE, selected, step

MOST_WORDS = 1_000  # of a dimension; what comes later is "other"
LONGEST_WORD = 200  # characters
NO_WORD, OTHER_WORDS = -1, 0  # ids
REASONS = 0  # the dimension that is always there
NOBODY = -1  # where those come from who are new


class Part(NamedTuple):
    """The statements of one rollup: `add` a range to what is there, or `make` it anew from the beginning until :until."""

    tables: tuple[str, ...]
    add: TextClause
    make: TextClause
    is_of_days: bool = False  # of the tenant's zone


def _adding(table: str, measures: Iterable[str]) -> str:
    """The end of an INSERT that adds to rows which are there."""
    return f"DO UPDATE SET {', '.join(f'{name} = {table}.{name} + excluded.{name}' for name in measures)}"


QUARTERS = text(f"""
    INSERT INTO ledger_quarters (tenant_id, quarter, api_key_id, {", ".join(MEASURES)})
    SELECT :tenant_id, {QUARTER}, {KEY}, {selected(MEASURES)}
    FROM ledger_entries WHERE {RANGE}
    GROUP BY 2, 3 ORDER BY 2, 3
    ON CONFLICT (tenant_id, quarter, api_key_id) {_adding("ledger_quarters", MEASURES)}
""")

# Participants as they are now, with entries that are not summed yet, if there are any: then nobody looks at the standing.
_STAND = """
    INSERT INTO participant_standings AS s (tenant_id, participant_id, tier, balance, total_earned, last_entry_at)
    SELECT tenant_id, id, tier, balance, total_earned, last_entry_at
    FROM participants AS p WHERE tenant_id = :tenant_id {whose} ORDER BY id
"""
_MOVED = f"AND id IN (SELECT participant_id FROM ledger_entries WHERE {RANGE})"
STAND_MOVED = text(f"""
    WITH moved AS (
        {_STAND.format(whose=_MOVED)}
        ON CONFLICT (tenant_id, participant_id) DO UPDATE SET
            tier = excluded.tier, balance = excluded.balance, total_earned = excluded.total_earned,
            last_entry_at = excluded.last_entry_at
        RETURNING old.tier AS old_tier, old.balance AS old_balance, new.tier AS new_tier, new.balance AS new_balance
    ), change AS (
        SELECT old_tier AS tier, {step("old_balance")} AS step, -1 AS participants, -old_balance AS points
        FROM moved WHERE old_tier IS NOT NULL
        UNION ALL
        SELECT new_tier, {step("new_balance")}, 1, new_balance FROM moved
    ), sizes AS (
        INSERT INTO balance_standings AS b (tenant_id, step, participant_count, points)
        SELECT :tenant_id, step, sum(participants), sum(points) FROM change GROUP BY step ORDER BY step
        ON CONFLICT (tenant_id, step) DO UPDATE SET
            participant_count = b.participant_count + excluded.participant_count, points = b.points + excluded.points
    )
    INSERT INTO tier_standings AS t (tenant_id, tier, participant_count, points)
    SELECT :tenant_id, tier, sum(participants), sum(points) FROM change GROUP BY tier ORDER BY tier
    ON CONFLICT (tenant_id, tier) DO UPDATE SET
        participant_count = t.participant_count + excluded.participant_count, points = t.points + excluded.points
""")
STAND_ALL = text(f"""
    WITH stood AS (
        {_STAND.format(whose="")} RETURNING tier, balance
    ), sizes AS (
        INSERT INTO balance_standings (tenant_id, step, participant_count, points)
        SELECT :tenant_id, {step("balance")}, count(*), sum(balance) FROM stood GROUP BY 2
    )
    INSERT INTO tier_standings (tenant_id, tier, participant_count, points)
    SELECT :tenant_id, tier, count(*), sum(balance) FROM stood GROUP BY 2
""")

# Movements by the tier that they found a participant on, and moves from tier to tier; see migrations/sql/0012_reports.sql.
FLOWS = f"(VALUES (COALESCE(tier_past, {NOBODY}), tier_before, balance_before), (tier_before, tier_after, balance_after))"
FLOW = f"""
    CROSS JOIN LATERAL (
        SELECT COALESCE(tier_from, {NOBODY}) AS tier_from, tier_to, moved FROM {FLOWS} AS flow (tier_from, tier_to, moved)
    ) AS flow
    WHERE flow.tier_from <> flow.tier_to
"""
FLOW_MEASURES = {"participant_count": "count(*)", "points": "sum(moved)"}
_TIERS = f"""
    WITH event AS MATERIALIZED (SELECT * FROM {{events}}), moving AS (
        INSERT INTO tier_quarters (tenant_id, quarter, tier, {", ".join(MOVEMENTS)})
        SELECT :tenant_id, {QUARTER}, tier_before, {selected(MOVEMENTS)}
        FROM event WHERE type IS NOT NULL
        GROUP BY 2, 3 ORDER BY 2, 3
        ON CONFLICT (tenant_id, quarter, tier) {_adding("tier_quarters", MOVEMENTS)}
    )
    INSERT INTO tier_flow_quarters (tenant_id, quarter, tier_from, tier_to, participant_count, points)
    SELECT :tenant_id, {QUARTER}, flow.tier_from, flow.tier_to, {", ".join(FLOW_MEASURES.values())}
    FROM event {FLOW}
    GROUP BY 2, 3, 4 ORDER BY 2, 3, 4
    ON CONFLICT (tenant_id, quarter, tier_from, tier_to) {_adding("tier_flow_quarters", FLOW_MEASURES)}
"""
ADD_TIERS = text(_TIERS.format(events="tier_events(:tenant_id, :since, :until)"))
MAKE_TIERS = text(_TIERS.format(events="tier_events_before(:tenant_id, :until)"))

# A reason, or what a member of the metadata says that is a dimension; and before which instant it is summed, or is to be.
DIMENSIONS = f"""(
    SELECT {REASONS} AS number, NULL AS metadata_key, CAST(:summed_until AS timestamptz) AS until
    WHERE CAST(:dimension AS smallint) IS NULL
    UNION ALL
    SELECT number, metadata_key, CASE WHEN is_ready OR number = :dimension THEN :summed_until ELSE done_until END
    FROM dimensions WHERE tenant_id = :tenant_id AND (CAST(:dimension AS smallint) IS NULL OR number = :dimension)
)"""
WORD = "CASE WHEN d.metadata_key IS NULL THEN e.reason ELSE e.metadata ->> d.metadata_key END"
WORD_ID = f"COALESCE(w.id, CASE WHEN {WORD} IS NULL THEN {NO_WORD} ELSE {OTHER_WORDS} END)"
SAID = f"""
    FROM {{entries}} AS e JOIN {DIMENSIONS} AS d ON e.created_at < d.until
    LEFT JOIN words AS w ON w.tenant_id = :tenant_id AND w.dimension = d.number AND w.word = {WORD}
"""
_ENTRIES = f"(SELECT * FROM ledger_entries WHERE {RANGE})"
NEW_WORDS = text(f"""
    INSERT INTO words (tenant_id, dimension, word)
    SELECT :tenant_id, dimension, word
    FROM (
        SELECT d.number AS dimension, {WORD} AS word,
               row_number() OVER (PARTITION BY d.number ORDER BY count(*) DESC, {WORD}) AS n
        {SAID.format(entries=_ENTRIES)}
        WHERE w.id IS NULL AND char_length({WORD}) <= {LONGEST_WORD}
        GROUP BY d.number, {WORD}
    ) AS said
    WHERE n <= {MOST_WORDS} - (SELECT count(*) FROM words AS w WHERE w.tenant_id = :tenant_id AND w.dimension = said.dimension)
    ORDER BY dimension, n
    ON CONFLICT DO NOTHING
""")
ADD_WORDS = text(f"""
    INSERT INTO word_quarters (tenant_id, quarter, dimension, word_id, {", ".join(MOVEMENTS)})
    SELECT :tenant_id, {QUARTER}, d.number, {WORD_ID}, {selected(MOVEMENTS)}
    {SAID.format(entries=_ENTRIES)}
    GROUP BY 2, 3, 4 ORDER BY 2, 3, 4
    ON CONFLICT (tenant_id, quarter, dimension, word_id) {_adding("word_quarters", MOVEMENTS)}
""")

# The words in a person's entries, before these are blanked: what they have moved is without a word from then on.
_OF_PERSON = """(
    SELECT * FROM ledger_entries
    WHERE tenant_id = :tenant_id AND participant_id = :participant_id AND seq > :after AND seq <= :until
          AND id < first_entry_id(:summed_until)
)"""
_WORDLESS = f"""
    SELECT {QUARTER} AS quarter, d.number AS dimension, w.id AS word_id, {WORD_ID} AS old_id, {selected(MOVEMENTS)}
    {SAID.format(entries=_OF_PERSON)}
    WHERE {WORD} IS NOT NULL
    GROUP BY 1, 2, 3, 4
"""
BLANK_WORDS = (
    text(f"""
        WITH gone AS ({_WORDLESS}), moved AS (
            SELECT quarter, dimension, old_id AS word_id, {", ".join(f"-{name} AS {name}" for name in MOVEMENTS)} FROM gone
            UNION ALL
            SELECT quarter, dimension, {NO_WORD}, {", ".join(f"sum({name})" for name in MOVEMENTS)} FROM gone GROUP BY 1, 2
        )
        INSERT INTO word_quarters (tenant_id, quarter, dimension, word_id, {", ".join(MOVEMENTS)})
        SELECT :tenant_id, quarter, dimension, word_id, {", ".join(MOVEMENTS)} FROM moved ORDER BY 2, 3, 4
        ON CONFLICT (tenant_id, quarter, dimension, word_id) {_adding("word_quarters", MOVEMENTS)}
    """),
    text(f"""
        WITH gone AS ({_WORDLESS})
        DELETE FROM word_quarters AS q USING gone
        WHERE q.tenant_id = :tenant_id AND q.quarter = gone.quarter AND q.dimension = gone.dimension AND q.word_id = gone.old_id
              AND {" AND ".join(f"q.{name} = 0" for name in MOVEMENTS if name.endswith("_count"))}
    """),
    text(f"""
        WITH gone AS ({_WORDLESS})
        UPDATE words AS w SET word = NULL
        WHERE w.tenant_id = :tenant_id AND w.id IN (SELECT word_id FROM gone)
              AND NOT EXISTS (SELECT FROM word_quarters AS q WHERE q.tenant_id = :tenant_id AND q.word_id = w.id)
    """),
)

# Who is active: the first entry of a day knows when the one before it was, by the clock of the zone, and when the very first.
ACTIVITY = """
    SELECT at, past_at, (begun.created_at AT TIME ZONE :zone) AS begun_at
    FROM (
        SELECT entry.*, (past.created_at AT TIME ZONE :zone) AS past_at
        FROM (
            SELECT participant_id, min(seq) AS seq, min(created_at AT TIME ZONE :zone) AS at FROM ledger_entries
            WHERE tenant_id = :tenant_id AND id >= first_entry_id({since}) AND id < first_entry_id({until})
            GROUP BY participant_id, (created_at AT TIME ZONE :zone)::date
        ) AS entry
        LEFT JOIN LATERAL (
            SELECT created_at FROM ledger_entries
            WHERE tenant_id = :tenant_id AND participant_id = entry.participant_id AND seq = entry.seq - 1
        ) AS past ON true
        WHERE past.created_at IS NULL OR (past.created_at AT TIME ZONE :zone)::date < at::date
        OFFSET 0 -- before the very first is looked for, which few need
    ) AS entry
    CROSS JOIN LATERAL (
        SELECT created_at FROM ledger_entries
        WHERE tenant_id = :tenant_id AND participant_id = entry.participant_id AND seq = 1
    ) AS begun
"""
ACTIVITY_BEFORE = """
    SELECT (created_at AT TIME ZONE :zone) AS at, (lag(created_at) OVER past AT TIME ZONE :zone) AS past_at,
           (first_value(created_at) OVER past AT TIME ZONE :zone) AS begun_at
    FROM ledger_entries WHERE tenant_id = :tenant_id AND id < first_entry_id({until})
    WINDOW past AS (PARTITION BY participant_id ORDER BY seq)
"""
COHORT = "date_trunc('month', begun_at)::date"
ACTIVE = {
    f"{unit}_count": f"count(*) FILTER (WHERE past_at IS NULL OR date_trunc('{unit}', past_at) < date_trunc('{unit}', at))"
    for unit in ("day", "week", "month")
}
_ACTIVITY = f"""
    INSERT INTO activity_days (tenant_id, day, cohort, {", ".join(ACTIVE)})
    SELECT :tenant_id, at::date, {COHORT}, {selected(ACTIVE)}
    FROM ({{entries}}) AS entry
    WHERE past_at IS NULL OR past_at::date < at::date
    GROUP BY 2, 3 ORDER BY 2, 3
    ON CONFLICT (tenant_id, day, cohort) {_adding("activity_days", ACTIVE)}
"""
ADD_ACTIVITY = text(_ACTIVITY.format(entries=ACTIVITY.format(since=":since", until=":until")))
MAKE_ACTIVITY = text(_ACTIVITY.format(entries=ACTIVITY_BEFORE.format(until=":until")))

SIZE_MEASURES = {"award_count": "count(*)", "points": "sum(points)"}
ADD_SIZES = text(f"""
    INSERT INTO award_size_days (tenant_id, day, step, award_count, points)
    SELECT :tenant_id, (created_at AT TIME ZONE :zone)::date, {step("points")}, {", ".join(SIZE_MEASURES.values())}
    FROM ledger_entries WHERE {RANGE} AND type = 'award'
    GROUP BY 2, 3 ORDER BY 2, 3
    ON CONFLICT (tenant_id, day, step) {_adding("award_size_days", SIZE_MEASURES)}
""")

# Tiers come before standings, for these are what participants are now.
PARTS = (
    Part(("ledger_quarters",), QUARTERS, QUARTERS),
    Part(("tier_quarters", "tier_flow_quarters"), ADD_TIERS, MAKE_TIERS),
    Part(("words",), NEW_WORDS, NEW_WORDS),
    Part(("word_quarters",), ADD_WORDS, ADD_WORDS),
    Part(("activity_days",), ADD_ACTIVITY, MAKE_ACTIVITY, is_of_days=True),
    Part(("award_size_days",), ADD_SIZES, ADD_SIZES, is_of_days=True),
    Part(("participant_standings", "tier_standings", "balance_standings"), STAND_MOVED, STAND_ALL),
)
ENLIST = text("""
    WITH stood AS (
        INSERT INTO participant_standings (tenant_id, participant_id, tier, balance, total_earned, last_entry_at)
        VALUES (:tenant_id, :participant_id, :tier, 0, 0, :beginning)
        RETURNING tier
    ), size AS (
        INSERT INTO balance_standings AS b (tenant_id, step, participant_count, points) SELECT :tenant_id, 0, 1, 0 FROM stood
        ON CONFLICT (tenant_id, step) DO UPDATE SET participant_count = b.participant_count + 1
    )
    INSERT INTO tier_standings AS t (tenant_id, tier, participant_count, points) SELECT :tenant_id, tier, 1, 0 FROM stood
    ON CONFLICT (tenant_id, tier) DO UPDATE SET participant_count = t.participant_count + 1
""")
