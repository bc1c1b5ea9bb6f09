-- The ledger's own statements. Each function is one round trip and, called outside a transaction, one commit.
--
-- Both take a list of movements and write all of them, so that a single award, a batch and concurrent requests gathered
-- together are the same few statements.
-- Locks are taken in one order everywhere, so that no two calls can wait for each other in a circle: participants by
-- ascending external id, then the tenant's ladder lock (shared), then idempotency keys ascending.
--
-- A key that another transaction is just writing makes the INSERT wait for it and fail with unique_violation;
-- the caller calls again and finds the key's outcome.

-- A UUIDv7 (RFC 9562, section 5.7) whose time is `at` to the microsecond: 48 bits of milliseconds, the rest of the
-- microseconds in the 12 bits after the version, then random bits. Ids sort as their times do.
CREATE FUNCTION entry_id(at timestamptz) RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
    SELECT (lpad(to_hex(us / 1000), 12, '0') || '7' || lpad(to_hex(us % 1000 * 4096 / 1000), 3, '0')
            || substr(replace(gen_random_uuid()::text, '-', ''), 17))::uuid
    FROM (SELECT (extract(epoch FROM at) * 1000000)::bigint AS us) AS instant
$$;

-- A movement as asked for, and by whom; the list comes as JSON, whose `metadata` are kept as they are spelt.
CREATE TYPE ledger_movement AS (
    participant text,
    amount integer,
    reason text,
    metadata json,
    key text,
    fingerprint bytea,
    api_key_id bigint,
    request_id text
);

-- What one movement has led to. `outcome` is recorded, replayed (the key had decided this very request before),
-- mismatched (it had decided another) or refused (`available` points were too few; null entry).
CREATE TYPE ledger_outcome AS (
    n bigint,
    outcome text,
    entry_id uuid,
    balance_after bigint,
    tier_upgrade json,
    available bigint,
    replayed boolean
);

-- How the API tells of a tier reached; null if none was.
CREATE FUNCTION tier_upgrade(in_tenant bigint, in_version integer, tier_before smallint, tier_after smallint) RETURNS json
LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF tier_after <= tier_before THEN
        RETURN NULL;
    END IF;
    RETURN (
        SELECT json_build_object('code', reached.code, 'name', reached.name, 'level', reached.level,
                                 'previous_code', held.code, 'previous_level', held.level)
        FROM tiers AS reached
        LEFT JOIN tiers AS held ON held.tenant_id = in_tenant AND held.ladder_version = in_version AND held.level = tier_before
        WHERE reached.tenant_id = in_tenant AND reached.ladder_version = in_version AND reached.level = tier_after
    );
END
$$;

-- The outcomes of those keys that have decided something already.
CREATE FUNCTION ledger_known(in_tenant bigint, movements ledger_movement[]) RETURNS SETOF ledger_outcome
LANGUAGE sql STABLE AS $$
    SELECT asked.n,
           CASE WHEN known.fingerprint <> asked.fingerprint THEN 'mismatched'
                WHEN known.available IS NOT NULL THEN 'refused'
                ELSE 'recorded' END,
           entry.id, entry.balance_after,
           tier_upgrade(in_tenant, entry.ladder_version, entry.tier_before, entry.tier_after), known.available, true
    FROM unnest(movements) WITH ORDINALITY
         AS asked (participant, amount, reason, metadata, key, fingerprint, api_key_id, request_id, n)
    JOIN idempotency_keys AS known ON known.tenant_id = in_tenant AND known.key = asked.key
    LEFT JOIN ledger_entries AS entry ON entry.tenant_id = in_tenant AND entry.id = known.entry_id
$$;

-- Write awards, creating participants who have none yet. Those of the same participant apply in the order given.
CREATE FUNCTION ledger_award(in_tenant bigint, in_movements json) RETURNS SETOF ledger_outcome
LANGUAGE plpgsql AS $$
DECLARE
    movements ledger_movement[] := ARRAY(SELECT m FROM json_populate_recordset(NULL::ledger_movement, in_movements) AS m);
    known bigint[] := '{}'; -- positions of movements whose key has decided before
BEGIN
    PERFORM set_config('app.tenant_id', in_tenant::text, true);

    RETURN QUERY SELECT * FROM ledger_known(in_tenant, movements);
    IF FOUND THEN
        SELECT array_agg(k.n) INTO known FROM ledger_known(in_tenant, movements) AS k;
    END IF;

    INSERT INTO participants AS held
        (tenant_id, external_id, balance, total_earned, total_spent, entry_count, tier, last_entry_at)
    SELECT in_tenant, participant, sum(amount), sum(amount), 0, count(*), 0, clock_timestamp()
    FROM unnest(movements) WITH ORDINALITY
         AS asked (participant, amount, reason, metadata, key, fingerprint, api_key_id, request_id, n)
    WHERE asked.n <> ALL (known)
    GROUP BY participant
    ORDER BY participant COLLATE "C"
    ON CONFLICT (tenant_id, external_id) DO UPDATE SET
        balance = held.balance + excluded.balance,
        total_earned = held.total_earned + excluded.total_earned,
        entry_count = held.entry_count + excluded.entry_count,
        -- Under the row's lock, so time never runs backwards within a participant; a microsecond apart at least.
        last_entry_at = GREATEST(clock_timestamp(), held.last_entry_at + excluded.entry_count * interval '1 us');

    -- Whoever puts another ladder in force re-evaluates everybody and takes this lock alone before the end: movements
    -- that have read the old ladder are committed by then and looked at again; the rest wait here and read the new one.
    PERFORM pg_advisory_xact_lock_shared(1, hashint8(in_tenant));

    -- A new statement sees what was committed while this call waited for locks: above all a ladder published meanwhile.
    -- The rows locked above now hold the totals AFTER these awards, so each award counts back from there.
    RETURN QUERY
    WITH ladder AS (
        SELECT version, thresholds
        FROM (VALUES (true)) AS one_row
        LEFT JOIN LATERAL (SELECT * FROM ladders WHERE tenant_id = in_tenant ORDER BY version DESC LIMIT 1) AS newest ON true
    ), award AS MATERIALIZED (
        SELECT asked.*, p.id AS participant_id, p.total_spent, p.tier,
               row_number() OVER later - 1 AS entries_to_come,
               p.entry_count - (row_number() OVER later - 1) AS seq,
               p.balance - (sum(amount) OVER later - amount) AS balance_after,
               p.total_earned - (sum(amount) OVER later - amount) AS total_earned_after,
               p.last_entry_at - (row_number() OVER later - 1) * interval '1 us' AS created_at
        FROM unnest(movements) WITH ORDINALITY
             AS asked (participant, amount, reason, metadata, key, fingerprint, api_key_id, request_id, n)
        JOIN participants AS p ON p.tenant_id = in_tenant AND p.external_id = asked.participant
        WHERE asked.n <> ALL (known)
        WINDOW later AS (PARTITION BY asked.participant ORDER BY asked.n DESC)
    ), entry AS (
        INSERT INTO ledger_entries (
            tenant_id, participant_id, seq, id, type, points, balance_after, total_earned_after, total_spent_after,
            ladder_version, tier_before, tier_after, reason, metadata, idempotency_key, api_key_id, request_id, created_at)
        SELECT in_tenant, award.participant_id, seq, entry_id(created_at), 'award', amount, award.balance_after,
               total_earned_after, total_spent, ladder.version,
               COALESCE(width_bucket(total_earned_after - amount, ladder.thresholds), 0),
               COALESCE(width_bucket(total_earned_after, ladder.thresholds), 0),
               reason, metadata, key, api_key_id, request_id, created_at
        FROM award CROSS JOIN ladder
        RETURNING participant_id, seq, id, ledger_entries.balance_after, ladder_version, tier_before, tier_after
    ), decided AS (
        INSERT INTO idempotency_keys (tenant_id, key, fingerprint, entry_id)
        SELECT in_tenant, award.key, award.fingerprint, entry.id
        FROM award JOIN entry USING (participant_id, seq)
        WHERE award.key IS NOT NULL
        ORDER BY award.key COLLATE "C"
    ), lifted AS (
        UPDATE participants AS p SET tier = entry.tier_after
        FROM award JOIN entry USING (participant_id, seq)
        WHERE award.entries_to_come = 0 AND award.tier <> entry.tier_after
              AND p.tenant_id = in_tenant AND p.id = award.participant_id
    )
    SELECT award.n, 'recorded', entry.id, entry.balance_after,
           tier_upgrade(in_tenant, ladder_version, tier_before, tier_after), NULL::bigint, false
    FROM award JOIN entry USING (participant_id, seq);
END
$$;

-- Write deducts. Those of the same participant that arrive together have no order of their own; the smaller goes first,
-- so that what is refused is more than what is then left.
CREATE FUNCTION ledger_deduct(in_tenant bigint, in_movements json) RETURNS SETOF ledger_outcome
LANGUAGE plpgsql AS $$
DECLARE
    movements ledger_movement[] := ARRAY(SELECT m FROM json_populate_recordset(NULL::ledger_movement, in_movements) AS m);
    known bigint[] := '{}'; -- positions of movements whose key has decided before
BEGIN
    PERFORM set_config('app.tenant_id', in_tenant::text, true);

    RETURN QUERY SELECT * FROM ledger_known(in_tenant, movements);
    IF FOUND THEN
        SELECT array_agg(k.n) INTO known FROM ledger_known(in_tenant, movements) AS k;
    END IF;

    PERFORM FROM participants
    WHERE tenant_id = in_tenant AND external_id IN (SELECT participant FROM unnest(movements))
    ORDER BY external_id
    FOR NO KEY UPDATE;

    PERFORM pg_advisory_xact_lock_shared(1, hashint8(in_tenant));

    RETURN QUERY
    WITH ladder AS (
        SELECT version, COALESCE(thresholds, '{}') AS thresholds
        FROM (VALUES (true)) AS one_row
        LEFT JOIN LATERAL (SELECT * FROM ladders WHERE tenant_id = in_tenant ORDER BY version DESC LIMIT 1) AS newest ON true
    ), deduct AS MATERIALIZED (
        SELECT *, balance_before >= running AS is_covered, row_number() OVER smaller AS k
        FROM (
            SELECT asked.*, p.id AS participant_id, COALESCE(p.balance, 0) AS balance_before, p.total_earned,
                   p.total_spent, p.entry_count, p.last_entry_at, sum(amount) OVER smaller AS running,
                   width_bucket(p.total_earned, (SELECT thresholds FROM ladder)) AS tier
            FROM unnest(movements) WITH ORDINALITY
                 AS asked (participant, amount, reason, metadata, key, fingerprint, api_key_id, request_id, n)
            LEFT JOIN participants AS p ON p.tenant_id = in_tenant AND p.external_id = asked.participant
            WHERE asked.n <> ALL (known)
            WINDOW smaller AS (PARTITION BY asked.participant ORDER BY asked.amount, asked.n)
        ) AS summed
        WINDOW smaller AS (PARTITION BY participant ORDER BY amount, n)
    ), total AS (
        SELECT participant, sum(amount) FILTER (WHERE is_covered) AS amount, count(*) FILTER (WHERE is_covered) AS entries,
               -- All entries of this call a microsecond apart, none before the one that came last.
               GREATEST(clock_timestamp(), max(last_entry_at) + count(*) * interval '1 us') AS last_entry_at
        FROM deduct GROUP BY participant
    ), spent AS (
        UPDATE participants AS p SET
            balance = p.balance - total.amount,
            total_spent = p.total_spent + total.amount,
            entry_count = p.entry_count + total.entries,
            tier = width_bucket(p.total_earned, ladder.thresholds), -- another, only if the ladder has just changed
            last_entry_at = total.last_entry_at
        FROM total CROSS JOIN ladder
        WHERE p.tenant_id = in_tenant AND p.external_id = total.participant AND total.entries > 0
    ), entry AS (
        INSERT INTO ledger_entries (
            tenant_id, participant_id, seq, id, type, points, balance_after, total_earned_after, total_spent_after,
            ladder_version, tier_before, tier_after, reason, metadata, idempotency_key, api_key_id, request_id, created_at)
        SELECT in_tenant, participant_id, entry_count + k, entry_id(at), 'deduct', -deduct.amount, balance_before - running,
               total_earned, total_spent + running, ladder.version, tier, tier,
               reason, metadata, key, api_key_id, request_id, at
        FROM deduct JOIN total USING (participant) CROSS JOIN ladder
        CROSS JOIN LATERAL (SELECT total.last_entry_at - (total.entries - k) * interval '1 us') AS instant (at)
        WHERE is_covered
        RETURNING participant_id, seq, id, ledger_entries.balance_after
    ), outcome AS (
        SELECT deduct.n, deduct.key, deduct.fingerprint, entry.*,
               CASE WHEN NOT is_covered THEN balance_before - COALESCE(total.amount, 0) END AS available
        FROM deduct JOIN total USING (participant)
        LEFT JOIN entry ON entry.participant_id = deduct.participant_id AND entry.seq = deduct.entry_count + deduct.k
    ), decided AS (
        INSERT INTO idempotency_keys (tenant_id, key, fingerprint, entry_id, available)
        SELECT in_tenant, key, fingerprint, id, available
        FROM outcome WHERE key IS NOT NULL ORDER BY key COLLATE "C"
    )
    SELECT n, CASE WHEN available IS NULL THEN 'recorded' ELSE 'refused' END, id, balance_after, NULL::json, available, false
    FROM outcome;
END
$$;

-- What a key may do, and its tenant. The key's digest has led to both numbers.
CREATE FUNCTION caller_of(in_tenant bigint, in_key bigint)
RETURNS TABLE (scopes text[], key_limit bigint, tenant_limit bigint, status text, expires_at timestamptz, revoked_at timestamptz)
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('app.tenant_id', in_tenant::text, true);
    RETURN QUERY
    SELECT key.scopes, key.rate_limit, tenant.rate_limit, tenant.status, key.expires_at, key.revoked_at
    FROM api_keys AS key JOIN tenants AS tenant ON tenant.id = key.tenant_id
    WHERE key.tenant_id = in_tenant AND key.id = in_key;
END
$$;

-- What a participant has; no row for one who was never awarded anything.
CREATE FUNCTION points_of(in_tenant bigint, in_participant text)
RETURNS TABLE (balance bigint, total_earned bigint, total_spent bigint) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('app.tenant_id', in_tenant::text, true);
    RETURN QUERY
    SELECT p.balance, p.total_earned, p.total_spent FROM participants AS p
    WHERE p.tenant_id = in_tenant AND p.external_id = in_participant;
END
$$;

-- Nothing written is ever changed, not even by the tables' owner.
CREATE FUNCTION ledger_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'ledger entries are permanent' USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON ledger_entries
    FOR EACH ROW EXECUTE FUNCTION ledger_is_append_only();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON ledger_entries
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_append_only();
