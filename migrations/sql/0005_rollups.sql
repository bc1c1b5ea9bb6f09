-- Movements by people, and entries whose time the rollups can rely on.
--
-- Rollups sum the ledger up to an instant, and add what came later when they are read. No entry may turn up behind that
-- instant afterwards, however long its transaction took and whichever way the clock was set. So:
--   * who writes entries holds lock 2 of the tenant (shared) until the end of its transaction, and after taking it
--     reads `planned_until`: its entries are not dated before that;
--   * who sums commits a new `planned_until` first, then waits until all who hold lock 2 at that moment are gone, and
--     only then sums up to it. Nobody ever waits for the one who sums.

ALTER TYPE ledger_request ADD ATTRIBUTE user_id bigint; -- the person who asked, in place of a key

-- Write movements. An award creates a participant who has none yet. Awards of one participant apply in the order given;
-- deducts come after them, the smaller first, so that what is refused is more than what is then left.
CREATE OR REPLACE FUNCTION ledger_post(in_tenant bigint, in_requests json) RETURNS SETOF ledger_outcome
LANGUAGE plpgsql AS $$
DECLARE
    asked record;
    available bigint;
    is_covered boolean;
    done ledger_outcome;
    ladder ladders;
    earliest timestamptz; -- before which no entry may be dated
    held_tier smallint;
    entry ledger_entries;
    entries ledger_entries[] := '{}';
    positions bigint[] := '{}'; -- of each entry, in the list asked for
    decided idempotency_keys[] := '{}';
BEGIN
    PERFORM set_config('app.tenant_id', in_tenant::text, true);
    -- Entries are dated under this lock; see above.
    PERFORM pg_advisory_xact_lock_shared(2, hashint8(in_tenant));
    SELECT planned_until INTO earliest FROM rollup_progress WHERE tenant_id = in_tenant;

    FOR asked IN
        SELECT *
        FROM ROWS FROM (json_populate_recordset(NULL::ledger_request, in_requests)) WITH ORDINALITY
             AS request (participant, points, reason, metadata, key, fingerprint, api_key_id, request_id, user_id, n)
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
            VALUES (in_tenant, asked.participant, asked.points, asked.points, 0, 1, 0, GREATEST(clock_timestamp(), earliest))
            ON CONFLICT (tenant_id, external_id) DO UPDATE SET
                balance = p.balance + excluded.balance,
                total_earned = p.total_earned + excluded.total_earned,
                entry_count = p.entry_count + 1,
                -- Under the row's lock, so time never runs backwards within a participant; a microsecond apart at least.
                last_entry_at = GREATEST(clock_timestamp(), earliest, p.last_entry_at + interval '1 us')
            RETURNING in_tenant, p.id, p.entry_count, entry_id(p.last_entry_at), 'award', asked.points,
                      p.balance, p.total_earned, p.total_spent, NULL, p.tier, NULL, asked.reason, asked.metadata,
                      asked.key, asked.api_key_id, asked.request_id, p.last_entry_at, NULL,
                      asked.user_id
            INTO entry;
        ELSE
            LOOP
                UPDATE participants AS p SET
                    balance = p.balance + asked.points,
                    total_spent = p.total_spent - asked.points,
                    entry_count = p.entry_count + 1,
                    last_entry_at = GREATEST(clock_timestamp(), earliest, p.last_entry_at + interval '1 us')
                WHERE p.tenant_id = in_tenant AND p.external_id = asked.participant AND p.balance >= -asked.points
                RETURNING in_tenant, p.id, p.entry_count, entry_id(p.last_entry_at), 'deduct', asked.points,
                          p.balance, p.total_earned, p.total_spent, NULL, p.tier, NULL, asked.reason, asked.metadata,
                          asked.key, asked.api_key_id, asked.request_id, p.last_entry_at, NULL,
                      asked.user_id
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

DROP FUNCTION ledger_reverse;
-- Reverse an award (take its points back from balance and total_earned) or a deduct (give them back, lower total_spent).
CREATE FUNCTION ledger_reverse(
    in_tenant bigint, in_entry uuid, in_partially boolean, in_reason text, in_metadata text,
    in_key text, in_fingerprint bytea, in_api_key bigint, in_request text, in_user bigint DEFAULT NULL
) RETURNS reversal_outcome LANGUAGE plpgsql AS $$
DECLARE
    done reversal_outcome;
    original ledger_entries;
    holder participants;
    earliest timestamptz; -- before which no entry may be dated
BEGIN
    PERFORM set_config('app.tenant_id', in_tenant::text, true);
    PERFORM pg_advisory_xact_lock_shared(2, hashint8(in_tenant)); -- as in ledger_post
    SELECT planned_until INTO earliest FROM rollup_progress WHERE tenant_id = in_tenant;

    SELECT CASE WHEN known.fingerprint <> in_fingerprint THEN 'mismatched'
                WHEN known.available IS NOT NULL THEN 'refused'
                ELSE 'recorded' END,
           entry.id, p.external_id, entry.points, entry.balance_after, abs(reversed.points), known.available, true
    INTO done
    FROM idempotency_keys AS known
    LEFT JOIN ledger_entries AS entry ON entry.tenant_id = in_tenant AND entry.id = known.entry_id
    LEFT JOIN ledger_entries AS reversed ON reversed.tenant_id = in_tenant AND reversed.id = in_entry
    LEFT JOIN participants AS p ON p.tenant_id = in_tenant AND p.id = entry.participant_id
    WHERE known.tenant_id = in_tenant AND known.key = in_key;
    IF FOUND THEN
        RETURN done;
    END IF;

    done.replayed := false;
    SELECT * INTO original FROM ledger_entries WHERE tenant_id = in_tenant AND id = in_entry;
    IF original IS NULL THEN
        done.outcome := 'missing';
        RETURN done;
    ELSIF original.reverses IS NOT NULL THEN
        done.outcome := 'irreversible';
        RETURN done;
    END IF;

    SELECT * INTO holder FROM participants
    WHERE tenant_id = in_tenant AND id = original.participant_id FOR NO KEY UPDATE;
    done.participant := holder.external_id;
    done.requested := abs(original.points);
    IF EXISTS (SELECT FROM ledger_entries WHERE tenant_id = in_tenant AND reverses = in_entry) THEN
        done.outcome := 'reversed';
        RETURN done;
    END IF;

    done.points := -original.points;
    IF holder.balance + done.points < 0 THEN
        IF NOT in_partially OR holder.balance = 0 THEN
            done.outcome := 'refused';
            done.available := holder.balance;
            INSERT INTO idempotency_keys (tenant_id, key, fingerprint, available)
            SELECT in_tenant, in_key, in_fingerprint, done.available WHERE in_key IS NOT NULL;
            RETURN done;
        END IF;
        done.points := -holder.balance;
    END IF;

    PERFORM pg_advisory_xact_lock_shared(1, hashint8(in_tenant));
    WITH ladder AS (
        SELECT version, COALESCE(thresholds, '{}') AS thresholds
        FROM (VALUES (true)) AS one_row
        LEFT JOIN LATERAL (SELECT * FROM ladders WHERE tenant_id = in_tenant ORDER BY version DESC LIMIT 1) AS newest ON true
    ), held AS (
        UPDATE participants AS p SET
            balance = p.balance + done.points,
            total_earned = p.total_earned + CASE WHEN original.type = 'award' THEN done.points ELSE 0 END,
            total_spent = p.total_spent - CASE WHEN original.type = 'deduct' THEN done.points ELSE 0 END,
            entry_count = p.entry_count + 1,
            tier = width_bucket(p.total_earned + CASE WHEN original.type = 'award' THEN done.points ELSE 0 END, ladder.thresholds),
            last_entry_at = GREATEST(clock_timestamp(), earliest, p.last_entry_at + interval '1 us')
        FROM ladder
        WHERE p.tenant_id = in_tenant AND p.id = holder.id
        RETURNING p.*, ladder.version, width_bucket(old.total_earned, ladder.thresholds) AS tier_before
    ), entry AS (
        INSERT INTO ledger_entries (
            tenant_id, participant_id, seq, id, type, points, balance_after, total_earned_after, total_spent_after,
            ladder_version, tier_before, tier_after, reason, metadata, idempotency_key, api_key_id, request_id, created_at,
            reverses, user_id)
        SELECT in_tenant, held.id, entry_count, entry_id(last_entry_at), original.type || '_reversal', done.points, balance,
               total_earned, total_spent, version, tier_before, tier, in_reason, in_metadata::json, in_key, in_api_key,
               in_request, last_entry_at, original.id, in_user
        FROM held
        RETURNING id, ledger_entries.balance_after
    ), decided AS (
        INSERT INTO idempotency_keys (tenant_id, key, fingerprint, entry_id)
        SELECT in_tenant, in_key, in_fingerprint, entry.id FROM entry WHERE in_key IS NOT NULL
    )
    SELECT 'recorded', entry.id, entry.balance_after INTO done.outcome, done.entry_id, done.balance_after FROM entry;
    RETURN done;
END
$$;

-- Whoever is writing entries of a tenant right now, by transaction.
CREATE FUNCTION ledger_writers(in_tenant bigint) RETURNS SETOF text LANGUAGE sql STABLE AS $$
    SELECT virtualtransaction FROM pg_locks
    WHERE locktype = 'advisory' AND classid = 2 AND objsubid = 2 AND granted
          AND objid = ((hashint8(in_tenant)::bigint + 4294967296) % 4294967296)::oid
          AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
$$;
