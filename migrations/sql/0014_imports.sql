-- Histories that come from another system, with dates of their own, for participants who have no entries yet.
--
-- Whoever writes them holds the rollups of the tenant from before the first participant is locked until the end, and adds to
-- what is summed whatever is dated before its end (see gamify.services.rollup_late). Locks are taken in the ledger's order:
-- participants by ascending external id, the ladder (shared), idempotency keys ascending.

CREATE TYPE history_line AS (
    participant_id bigint, -- the internal one
    at timestamptz,
    points bigint, -- positive: an award; negative: a deduct, which is covered
    reason text,
    metadata json,
    key text,
    fingerprint bytea
);

-- Lock those who are named, making who is not there, and return the internal ids of those who have no entries.
CREATE FUNCTION history_people(in_tenant bigint, in_named text[]) RETURNS SETOF bigint LANGUAGE plpgsql AS $$
DECLARE
    named text;
    holder participants;
BEGIN
    FOR named IN SELECT name FROM unnest(in_named) AS name ORDER BY name COLLATE "C" LOOP
        INSERT INTO participants (tenant_id, external_id, balance, total_earned, total_spent, entry_count, tier, last_entry_at)
        VALUES (in_tenant, named, 0, 0, 0, 0, 0, clock_timestamp())
        ON CONFLICT (tenant_id, external_id) DO NOTHING
        RETURNING * INTO holder;
        IF NOT FOUND THEN
            SELECT * INTO holder FROM participants WHERE tenant_id = in_tenant AND external_id = named FOR NO KEY UPDATE;
        END IF;
        IF holder.entry_count = 0 THEN
            RETURN NEXT holder.id;
        END IF;
    END LOOP;
END
$$;

-- Who was registered before their history was there has stood on a tier since it began: their changes of tier are dated
-- before it. The app may not rewrite them, so this acts as its owner.
CREATE FUNCTION history_predate(in_tenant bigint, in_participant bigint, in_at timestamptz) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF in_tenant IS DISTINCT FROM NULLIF(current_setting('app.tenant_id', true), '')::bigint OR NOT EXISTS (
        SELECT FROM participants WHERE tenant_id = in_tenant AND id = in_participant AND entry_count = 0
    ) THEN
        RETURN;
    END IF;
    UPDATE tier_changes SET at = LEAST(at, in_at)
    WHERE tenant_id = in_tenant AND participant_id = in_participant AND after_seq = 0;
END
$$;
REVOKE EXECUTE ON FUNCTION history_predate FROM PUBLIC;
GRANT EXECUTE ON FUNCTION history_predate TO gamify_app;

-- Write whole histories of participants whom history_people has returned. Lines of a participant apply in the order of
-- their times, equal ones in the order given and a microsecond apart. Tiers are where ledger_post would have put them on the
-- ladder in force.
CREATE FUNCTION history_write(in_tenant bigint, in_lines history_line[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    whose record;
    line history_line;
    ladder ladders;
    holder participants;
    is_plain boolean; -- nothing but the total has a say
    entry ledger_entries;
    entries ledger_entries[] := '{}';
    moved tier_movement;
    decided idempotency_keys[] := '{}';
BEGIN
    PERFORM pg_advisory_xact_lock_shared(1, hashint8(in_tenant)); -- as in ledger_post
    SELECT * INTO ladder FROM ladders WHERE tenant_id = in_tenant ORDER BY version DESC LIMIT 1;

    FOR whose IN
        SELECT participant_id, min(at) AS first_at,
               array_agg(ROW(participant_id, at, points, reason, metadata, key, fingerprint)::history_line ORDER BY at, n) AS lines
        FROM unnest(in_lines) WITH ORDINALITY AS asked (participant_id, at, points, reason, metadata, key, fingerprint, n)
        GROUP BY participant_id
    LOOP
        SELECT * INTO holder FROM participants WHERE tenant_id = in_tenant AND id = whose.participant_id;
        IF holder.ladder_version > 0 THEN
            PERFORM history_predate(in_tenant, holder.id, whose.first_at);
        END IF;
        is_plain := ladder.version IS NULL OR ladder.basis = 'lifetime' AND NOT holder.is_held
            AND (ladder.is_settled OR holder.ladder_version IN (0, ladder.version));
        entry := NULL;
        entry.tenant_id := in_tenant;
        entry.participant_id := holder.id;
        entry.seq := 0;
        entry.balance_after := 0;
        entry.total_earned_after := 0;
        entry.total_spent_after := 0;
        entry.ladder_version := ladder.version;
        entry.tier_after := COALESCE(width_bucket(0, ladder.thresholds), 0);
        FOREACH line IN ARRAY whose.lines LOOP
            entry.seq := entry.seq + 1;
            entry.created_at := GREATEST(line.at, entry.created_at + interval '1 us');
            entry.id := entry_id(entry.created_at);
            entry.type := CASE WHEN line.points > 0 THEN 'award' ELSE 'deduct' END;
            entry.points := line.points;
            entry.balance_after := entry.balance_after + line.points;
            entry.total_earned_after := entry.total_earned_after + GREATEST(line.points, 0);
            entry.total_spent_after := entry.total_spent_after - LEAST(line.points, 0);
            entry.reason := line.reason;
            entry.metadata := line.metadata;
            entry.idempotency_key := line.key;
            IF is_plain THEN
                entry.tier_before := entry.tier_after;
                entry.tier_after := COALESCE(width_bucket(entry.total_earned_after, ladder.thresholds), 0);
            ELSE
                moved := tier_after_movement(in_tenant, ladder, entry);
                entry.tier_before := moved.level_before;
                entry.tier_after := moved.level_after;
            END IF;
            IF ladder.basis <> 'lifetime' THEN -- what the next entry counts
                INSERT INTO ledger_entries SELECT entry.*;
            ELSE
                entries := entries || entry;
            END IF;
            IF line.key IS NOT NULL THEN
                decided := decided || (in_tenant, line.key, line.fingerprint, entry.id, NULL, NULL, now())::idempotency_keys;
            END IF;
        END LOOP;
        UPDATE participants AS p SET
            balance = entry.balance_after,
            total_earned = entry.total_earned_after,
            total_spent = entry.total_spent_after,
            entry_count = entry.seq,
            last_entry_at = entry.created_at,
            created_at = LEAST(p.created_at, whose.first_at),
            tier = CASE WHEN is_plain THEN COALESCE(ladder.numbers[entry.tier_after], 0) ELSE p.tier END,
            ladder_version = COALESCE(ladder.version, p.ladder_version)
        WHERE p.tenant_id = in_tenant AND p.id = holder.id;
    END LOOP;
    INSERT INTO ledger_entries SELECT * FROM unnest(entries);
    INSERT INTO idempotency_keys SELECT * FROM unnest(decided) ORDER BY key COLLATE "C";
END
$$;

-- As tier_events_before, of some participants.
CREATE FUNCTION tier_events_of(in_tenant bigint, in_people bigint[], in_until timestamptz) RETURNS TABLE (
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
        WHERE e.tenant_id = in_tenant AND e.participant_id = ANY (in_people)
        UNION ALL
        SELECT c.participant_id, c.after_seq, c.id, c.at, false, NULL, c.number_after,
               NULL, NULL, COALESCE(e.balance_after, 0), COALESCE(e.balance_after, 0)
        FROM tier_changes AS c
        LEFT JOIN ledger_entries AS e ON e.tenant_id = in_tenant AND e.participant_id = c.participant_id AND e.seq = c.after_seq
        WHERE c.tenant_id = in_tenant AND c.participant_id = ANY (in_people)
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
