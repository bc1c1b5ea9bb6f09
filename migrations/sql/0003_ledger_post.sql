-- One function writes awards and deducts, in place of ledger_award and ledger_deduct, which stay for processes of the
-- version before. Called outside a transaction it is one round trip and one commit.
--
-- It goes through its movements one by one, and each statement looks up one row by a whole key. That is no slower than
-- doing it in sets, and leaves the planner nothing to choose: plans are kept for the life of a connection, and one made
-- while a table was still empty joined in an order that read the whole table once it was not.
--
-- Locks are taken in one order everywhere, so that no two calls can wait for each other in a circle: participants by
-- ascending external id, then the tenant's ladder lock (shared), then idempotency keys ascending.
--
-- A key that another transaction is just writing makes the INSERT wait for it and fail with unique_violation;
-- the caller calls again and finds the key's outcome.

-- The same ids as before, without a subquery, so that calls are inlined.
CREATE OR REPLACE FUNCTION entry_id(at timestamptz) RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
    SELECT (lpad(to_hex(floor(extract(epoch FROM at) * 1000)::bigint), 12, '0')
            || '7' || lpad(to_hex(extract(microseconds FROM at)::integer % 1000 * 4096 / 1000), 3, '0')
            || substr(gen_random_uuid()::text, 20))::uuid
$$;

-- A movement as asked for, and by whom; the list comes as JSON, whose `metadata` are kept as they are spelt.
CREATE TYPE ledger_request AS (
    participant text,
    points bigint, -- positive: an award; negative: a deduct
    reason text,
    metadata json,
    key text,
    fingerprint bytea,
    api_key_id bigint,
    request_id text
);

-- What a key has decided before; null if nothing.
CREATE FUNCTION ledger_replay(in_tenant bigint, in_key text, in_fingerprint bytea) RETURNS ledger_outcome
LANGUAGE plpgsql STABLE AS $$
DECLARE
    known idempotency_keys;
    entry ledger_entries;
    replay ledger_outcome;
BEGIN
    SELECT * INTO known FROM idempotency_keys WHERE tenant_id = in_tenant AND key = in_key;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    replay.replayed := true;
    IF known.fingerprint <> in_fingerprint THEN
        replay.outcome := 'mismatched';
    ELSIF known.available IS NOT NULL THEN
        replay.outcome := 'refused';
        replay.available := known.available;
    ELSE
        SELECT * INTO entry FROM ledger_entries WHERE tenant_id = in_tenant AND id = known.entry_id;
        replay.outcome := 'recorded';
        replay.entry_id := entry.id;
        replay.balance_after := entry.balance_after;
        replay.tier_upgrade := tier_upgrade(in_tenant, entry.ladder_version, entry.tier_before, entry.tier_after);
    END IF;
    RETURN replay;
END
$$;

-- Write movements. An award creates a participant who has none yet. Awards of one participant apply in the order given;
-- deducts come after them, the smaller first, so that what is refused is more than what is then left.
CREATE FUNCTION ledger_post(in_tenant bigint, in_requests json) RETURNS SETOF ledger_outcome
LANGUAGE plpgsql AS $$
DECLARE
    asked record;
    available bigint;
    is_covered boolean;
    done ledger_outcome;
    ladder ladders;
    held_tier smallint;
    entry ledger_entries;
    entries ledger_entries[] := '{}';
    positions bigint[] := '{}'; -- of each entry, in the list asked for
    decided idempotency_keys[] := '{}';
BEGIN
    PERFORM set_config('app.tenant_id', in_tenant::text, true);

    FOR asked IN
        SELECT *
        FROM ROWS FROM (json_populate_recordset(NULL::ledger_request, in_requests)) WITH ORDINALITY
             AS request (participant, points, reason, metadata, key, fingerprint, api_key_id, request_id, n)
        ORDER BY participant COLLATE "C", LEAST(points, 0) DESC, n
    LOOP
        IF asked.key IS NOT NULL THEN
            done := ledger_replay(in_tenant, asked.key, asked.fingerprint);
            IF done.outcome IS NOT NULL THEN
                done.n := asked.n;
                RETURN NEXT done;
                CONTINUE;
            END IF;
        END IF;

        -- Lock the row and move its points. The entry still has the tier held before; see below.
        IF asked.points > 0 THEN
            INSERT INTO participants AS p
                (tenant_id, external_id, balance, total_earned, total_spent, entry_count, tier, last_entry_at)
            VALUES (in_tenant, asked.participant, asked.points, asked.points, 0, 1, 0, clock_timestamp())
            ON CONFLICT (tenant_id, external_id) DO UPDATE SET
                balance = p.balance + excluded.balance,
                total_earned = p.total_earned + excluded.total_earned,
                entry_count = p.entry_count + 1,
                -- Under the row's lock, so time never runs backwards within a participant; a microsecond apart at least.
                last_entry_at = GREATEST(clock_timestamp(), p.last_entry_at + interval '1 us')
            RETURNING in_tenant, p.id, p.entry_count, entry_id(p.last_entry_at), 'award', asked.points,
                      p.balance, p.total_earned, p.total_spent, NULL, p.tier, NULL, asked.reason, asked.metadata,
                      asked.key, asked.api_key_id, asked.request_id, p.last_entry_at, NULL
            INTO entry;
        ELSE
            LOOP
                UPDATE participants AS p SET
                    balance = p.balance + asked.points,
                    total_spent = p.total_spent - asked.points,
                    entry_count = p.entry_count + 1,
                    last_entry_at = GREATEST(clock_timestamp(), p.last_entry_at + interval '1 us')
                WHERE p.tenant_id = in_tenant AND p.external_id = asked.participant AND p.balance >= -asked.points
                RETURNING in_tenant, p.id, p.entry_count, entry_id(p.last_entry_at), 'deduct', asked.points,
                          p.balance, p.total_earned, p.total_spent, NULL, p.tier, NULL, asked.reason, asked.metadata,
                          asked.key, asked.api_key_id, asked.request_id, p.last_entry_at, NULL
                INTO entry;
                is_covered := FOUND;
                EXIT WHEN is_covered;
                -- A refusal tells what there is, under the lock. If that has become enough meanwhile, deduct after all.
                SELECT p.balance INTO available FROM participants AS p
                WHERE p.tenant_id = in_tenant AND p.external_id = asked.participant
                FOR NO KEY UPDATE;
                EXIT WHEN NOT FOUND OR available < -asked.points;
            END LOOP;
            IF NOT is_covered THEN
                available := COALESCE(available, 0);
                done := (asked.n, 'refused', NULL, NULL, NULL, available, false);
                RETURN NEXT done;
                IF asked.key IS NOT NULL THEN
                    decided := decided
                        || (in_tenant, asked.key, asked.fingerprint, NULL, available, NULL, now())::idempotency_keys;
                END IF;
                CONTINUE;
            END IF;
        END IF;
        entries := entries || entry;
        positions := positions || asked.n;
        IF asked.key IS NOT NULL THEN
            decided := decided || (in_tenant, asked.key, asked.fingerprint, entry.id, NULL, NULL, now())::idempotency_keys;
        END IF;
    END LOOP;

    IF cardinality(entries) > 0 THEN
        -- Whoever puts another ladder in force re-evaluates everybody and takes this lock alone before the end: movements
        -- that have read the old ladder are committed by then and looked at again; the rest wait here and read the new one.
        PERFORM pg_advisory_xact_lock_shared(1, hashint8(in_tenant));
        SELECT * INTO ladder FROM ladders WHERE tenant_id = in_tenant ORDER BY version DESC LIMIT 1;

        FOR i IN 1 .. cardinality(entries) LOOP
            entry := entries[i];
            held_tier := entry.tier_before;
            entry.ladder_version := ladder.version;
            entry.tier_before := COALESCE(
                width_bucket(entry.total_earned_after - GREATEST(entry.points, 0), ladder.thresholds), 0);
            entry.tier_after := COALESCE(width_bucket(entry.total_earned_after, ladder.thresholds), 0);
            entries[i] := entry;
            IF entry.tier_after <> held_tier THEN
                UPDATE participants SET tier = entry.tier_after WHERE tenant_id = in_tenant AND id = entry.participant_id;
            END IF;
            done := (positions[i], 'recorded', entry.id, entry.balance_after, NULL, NULL, false);
            IF entry.tier_after > entry.tier_before THEN
                done.tier_upgrade := tier_upgrade(in_tenant, ladder.version, entry.tier_before, entry.tier_after);
            END IF;
            RETURN NEXT done;
        END LOOP;
        INSERT INTO ledger_entries SELECT * FROM unnest(entries);
    END IF;
    IF cardinality(decided) > 0 THEN
        INSERT INTO idempotency_keys SELECT * FROM unnest(decided) ORDER BY key COLLATE "C";
    END IF;
END
$$;

-- A page of a participant's entries, newest first, after `in_skipped` newer ones; all its rows carry the number of all
-- entries. Past the end there is one row without an entry, and none at all for an unknown participant.
-- Entries are numbered without a gap, so any page is one range of the primary key.
CREATE FUNCTION history_of(in_tenant bigint, in_participant text, in_skipped bigint, in_size integer)
RETURNS TABLE (
    total bigint, id uuid, type text, points bigint, reason text, metadata text, balance_after bigint,
    created_at timestamptz, reverses uuid, reversed_by uuid
) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('app.tenant_id', in_tenant::text, true);
    RETURN QUERY
    SELECT p.entry_count, page.*
    FROM participants AS p
    LEFT JOIN LATERAL (
        SELECT e.id, e.type, e.points, e.reason, e.metadata::text, e.balance_after, e.created_at, e.reverses,
               (SELECT r.id FROM ledger_entries AS r WHERE r.tenant_id = in_tenant AND r.reverses = e.id)
        FROM ledger_entries AS e
        WHERE e.tenant_id = in_tenant AND e.participant_id = p.id AND e.seq <= p.entry_count - in_skipped
        ORDER BY e.seq DESC
        LIMIT in_size
    ) AS page ON true
    WHERE p.tenant_id = in_tenant AND p.external_id = in_participant;
END
$$;
