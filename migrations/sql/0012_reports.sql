-- What reports add up: who was on which tier when, and which points moved there.

-- Everything that happened to tiers from one instant until another: entries, which find a participant on a tier and may lead
-- to the next, and the changes that no entry tells of (their type is null). `tier_past` is where the event before has left the
-- participant; null for who was nobody until then. `tier_before` of an entry may be another: the tier they were on is gone.
-- Tiers are their numbers. A deduct moves nobody, and what it says of a tier that is gone, while the ladder waits for an award,
-- is where its holders will fall to; so it tells nothing ("silent"). Each event finds the last one before it that tells
-- something by the keys of both tables, however long ago that was.
CREATE FUNCTION tier_events(in_tenant bigint, in_since timestamptz, in_until timestamptz) RETURNS TABLE (
    created_at timestamptz, tier_past smallint, tier_before smallint, tier_after smallint,
    type text, points bigint, balance_before bigint, balance_after bigint
) LANGUAGE sql STABLE AS $$
    SELECT event.created_at, past.tier,
           CASE WHEN event.is_silent OR event.type IS NULL THEN past.tier
                ELSE COALESCE(l.numbers[event.level_before], 0::smallint) END,
           CASE WHEN event.is_silent THEN past.tier
                ELSE COALESCE(event.number_after, l.numbers[event.level_after], 0::smallint) END,
           event.type, event.points, event.balance_before, event.balance_after
    FROM (
        SELECT e.participant_id, e.seq - 1 AS past_seq, 9223372036854775807 AS id, e.created_at, e.ladder_version,
               e.type IN ('deduct', 'deduct_reversal') AND e.tier_before = e.tier_after AS is_silent,
               e.tier_before AS level_before, e.tier_after AS level_after, NULL::smallint AS number_after,
               e.type, e.points, e.balance_after - e.points AS balance_before, e.balance_after
        FROM ledger_entries AS e
        WHERE e.tenant_id = in_tenant AND e.id >= first_entry_id(in_since) AND e.id < first_entry_id(in_until)
        UNION ALL
        SELECT c.participant_id, c.after_seq, c.id, c.at, NULL, false, NULL, NULL, c.number_after,
               NULL, NULL, COALESCE(e.balance_after, 0), COALESCE(e.balance_after, 0)
        FROM tier_changes AS c
        LEFT JOIN ledger_entries AS e ON e.tenant_id = in_tenant AND e.participant_id = c.participant_id AND e.seq = c.after_seq
        WHERE c.tenant_id = in_tenant AND c.at >= in_since AND c.at < in_until
    ) AS event
    LEFT JOIN LATERAL (
        SELECT e.seq, e.tier_after AS level, e.ladder_version
        FROM ledger_entries AS e
        WHERE e.tenant_id = in_tenant AND e.participant_id = event.participant_id AND e.seq <= event.past_seq
              AND NOT (e.type IN ('deduct', 'deduct_reversal') AND e.tier_before = e.tier_after)
        ORDER BY e.seq DESC LIMIT 1
    ) AS entry ON true
    LEFT JOIN LATERAL (
        SELECT c.after_seq, c.number_after AS tier FROM tier_changes AS c
        WHERE c.tenant_id = in_tenant AND c.participant_id = event.participant_id
              AND (c.after_seq, c.id) < (event.past_seq, event.id)
        ORDER BY c.after_seq DESC, c.id DESC LIMIT 1
    ) AS change ON true
    LEFT JOIN ladders AS l ON l.tenant_id = in_tenant AND l.version = event.ladder_version
    LEFT JOIN ladders AS of_past ON of_past.tenant_id = in_tenant AND of_past.version = entry.ladder_version
    CROSS JOIN LATERAL (
        SELECT CASE WHEN change.after_seq >= COALESCE(entry.seq, 0) THEN change.tier
                    WHEN entry.seq IS NOT NULL THEN COALESCE(of_past.numbers[entry.level], 0::smallint) END AS tier
    ) AS past
$$;

-- The same of everything before an instant, in one pass.
CREATE FUNCTION tier_events_before(in_tenant bigint, in_until timestamptz) RETURNS TABLE (
    created_at timestamptz, tier_past smallint, tier_before smallint, tier_after smallint,
    type text, points bigint, balance_before bigint, balance_after bigint
) LANGUAGE sql STABLE AS $$
    WITH event AS (
        SELECT e.participant_id, e.seq - 1 AS past_seq, 9223372036854775807 AS id, e.created_at,
               e.type IN ('deduct', 'deduct_reversal') AND e.tier_before = e.tier_after AS is_silent,
               COALESCE(l.numbers[e.tier_before], 0::smallint) AS tier_before,
               COALESCE(l.numbers[e.tier_after], 0::smallint) AS tier_after,
               e.type, e.points, e.balance_after - e.points AS balance_before, e.balance_after
        FROM ledger_entries AS e LEFT JOIN ladders AS l ON l.tenant_id = in_tenant AND l.version = e.ladder_version
        WHERE e.tenant_id = in_tenant
        UNION ALL
        SELECT c.participant_id, c.after_seq, c.id, c.at, false, NULL, c.number_after,
               NULL, NULL, COALESCE(e.balance_after, 0), COALESCE(e.balance_after, 0)
        FROM tier_changes AS c
        LEFT JOIN ledger_entries AS e ON e.tenant_id = in_tenant AND e.participant_id = c.participant_id AND e.seq = c.after_seq
        WHERE c.tenant_id = in_tenant
    ), numbered AS (
        SELECT *, count(*) FILTER (WHERE NOT is_silent) OVER (PARTITION BY participant_id ORDER BY past_seq, id) AS n FROM event
    ), carried AS ( -- each one that tells something is followed by those that do not
        SELECT *, first_value(tier_after) OVER (PARTITION BY participant_id, n ORDER BY past_seq, id) AS tier FROM numbered
    ), chained AS (
        SELECT *, lag(tier) OVER (PARTITION BY participant_id ORDER BY past_seq, id) AS tier_past FROM carried
    )
    SELECT created_at, tier_past, CASE WHEN is_silent THEN tier_past ELSE COALESCE(tier_before, tier_past) END,
           CASE WHEN is_silent THEN tier_past ELSE tier_after END, type, points, balance_before, balance_after
    FROM chained
    WHERE created_at < in_until
$$;
