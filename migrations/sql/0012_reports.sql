-- What reports add up: who was on which tier when, and which points moved there.

-- When a tier changes that no entry tells of. The caller holds the rollups, so nothing is dated into what they have summed,
-- whichever way the clock was set.
CREATE FUNCTION tier_instant(in_tenant bigint) RETURNS timestamptz LANGUAGE sql VOLATILE AS $$
    SELECT GREATEST(clock_timestamp(), (SELECT summed_until FROM rollup_progress WHERE tenant_id = in_tenant))
$$;

-- Everything that happened to tiers from one instant until another: entries, which stand on a tier and may lead to the next,
-- and the changes that no entry tells of (their type is null). `tier_past` is what the event before has left a participant on;
-- null for who was nobody until then. It may differ from `tier_before` of an entry: the tier they were on is gone.
-- Tiers are their numbers. Each event finds the one before it by the keys of both tables, however long ago that was.
CREATE FUNCTION tier_events(in_tenant bigint, in_since timestamptz, in_until timestamptz) RETURNS TABLE (
    created_at timestamptz, tier_past smallint, tier_before smallint, tier_after smallint,
    type text, points bigint, balance_before bigint, balance_after bigint
) LANGUAGE sql STABLE AS $$
    SELECT event.created_at, past.tier, COALESCE(event.tier_before, past.tier), event.tier_after,
           event.type, event.points, event.balance_before, event.balance_after
    FROM (
        SELECT e.participant_id, e.seq - 1 AS past_seq, 9223372036854775807 AS id, e.created_at,
               COALESCE(l.numbers[e.tier_before], 0::smallint) AS tier_before,
               COALESCE(l.numbers[e.tier_after], 0::smallint) AS tier_after,
               e.type, e.points, e.balance_after - e.points AS balance_before, e.balance_after
        FROM ledger_entries AS e LEFT JOIN ladders AS l ON l.tenant_id = in_tenant AND l.version = e.ladder_version
        WHERE e.tenant_id = in_tenant AND e.id >= first_entry_id(in_since) AND e.id < first_entry_id(in_until)
        UNION ALL
        SELECT c.participant_id, c.after_seq, c.id, c.at, NULL, c.number_after,
               NULL, NULL, COALESCE(e.balance_after, 0), COALESCE(e.balance_after, 0)
        FROM tier_changes AS c
        LEFT JOIN ledger_entries AS e ON e.tenant_id = in_tenant AND e.participant_id = c.participant_id AND e.seq = c.after_seq
        WHERE c.tenant_id = in_tenant AND c.at >= in_since AND c.at < in_until
    ) AS event
    LEFT JOIN LATERAL (
        SELECT COALESCE((
            SELECT c.number_after FROM tier_changes AS c
            WHERE c.tenant_id = in_tenant AND c.participant_id = event.participant_id AND c.after_seq = event.past_seq
                  AND c.id < event.id
            ORDER BY c.id DESC LIMIT 1
        ), (
            SELECT COALESCE(l.numbers[e.tier_after], 0::smallint)
            FROM ledger_entries AS e LEFT JOIN ladders AS l ON l.tenant_id = in_tenant AND l.version = e.ladder_version
            WHERE e.tenant_id = in_tenant AND e.participant_id = event.participant_id AND e.seq = event.past_seq
        )) AS tier
    ) AS past ON true
$$;

-- The same of everything before an instant, in one pass.
CREATE FUNCTION tier_events_before(in_tenant bigint, in_until timestamptz) RETURNS TABLE (
    created_at timestamptz, tier_past smallint, tier_before smallint, tier_after smallint,
    type text, points bigint, balance_before bigint, balance_after bigint
) LANGUAGE sql STABLE AS $$
    SELECT created_at, tier_past, COALESCE(tier_before, tier_past), tier_after, type, points, balance_before, balance_after
    FROM (
        SELECT event.*, lag(tier_after) OVER (PARTITION BY participant_id ORDER BY past_seq, id) AS tier_past
        FROM (
            SELECT e.participant_id, e.seq - 1 AS past_seq, 9223372036854775807 AS id, e.created_at,
                   COALESCE(l.numbers[e.tier_before], 0::smallint) AS tier_before,
                   COALESCE(l.numbers[e.tier_after], 0::smallint) AS tier_after,
                   e.type, e.points, e.balance_after - e.points AS balance_before, e.balance_after
            FROM ledger_entries AS e LEFT JOIN ladders AS l ON l.tenant_id = in_tenant AND l.version = e.ladder_version
            WHERE e.tenant_id = in_tenant
            UNION ALL
            SELECT c.participant_id, c.after_seq, c.id, c.at, NULL, c.number_after,
                   NULL, NULL, COALESCE(e.balance_after, 0), COALESCE(e.balance_after, 0)
            FROM tier_changes AS c
            LEFT JOIN ledger_entries AS e
                ON e.tenant_id = in_tenant AND e.participant_id = c.participant_id AND e.seq = c.after_seq
            WHERE c.tenant_id = in_tenant
        ) AS event
    ) AS chained
    WHERE created_at < in_until
$$;
