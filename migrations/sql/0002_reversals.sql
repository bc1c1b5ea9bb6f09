-- Reversals, and a participant's points at an instant. Same rules as in 0001: lock the participant, then (whoever may
-- change a tier) the ladder lock, then write the entry, then the idempotency key.

CREATE TYPE reversal_outcome AS (
    outcome text, -- recorded, mismatched, refused, missing, reversed (it was before) or irreversible (it is a reversal)
    entry_id uuid,
    participant text,
    points bigint,
    balance_after bigint,
    requested bigint, -- points of the entry to reverse
    available bigint, -- when refused
    replayed boolean
);

-- Reverse an award (take its points back from balance and total_earned) or a deduct (give them back, lower total_spent).
CREATE FUNCTION ledger_reverse(
    in_tenant bigint, in_entry uuid, in_partially boolean, in_reason text, in_metadata text,
    in_key text, in_fingerprint bytea, in_api_key bigint, in_request text
) RETURNS reversal_outcome LANGUAGE plpgsql AS $$
DECLARE
    done reversal_outcome;
    original ledger_entries;
    holder participants;
    taken bigint;
BEGIN
    PERFORM set_config('app.tenant_id', in_tenant::text, true);

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
            last_entry_at = GREATEST(clock_timestamp(), p.last_entry_at + interval '1 us')
        FROM ladder
        WHERE p.tenant_id = in_tenant AND p.id = holder.id
        RETURNING p.*, ladder.version, width_bucket(old.total_earned, ladder.thresholds) AS tier_before
    ), entry AS (
        INSERT INTO ledger_entries (
            tenant_id, participant_id, seq, id, type, points, balance_after, total_earned_after, total_spent_after,
            ladder_version, tier_before, tier_after, reason, metadata, idempotency_key, api_key_id, request_id, created_at,
            reverses)
        SELECT in_tenant, held.id, entry_count, entry_id(last_entry_at), original.type || '_reversal', done.points, balance,
               total_earned, total_spent, version, tier_before, tier, in_reason, in_metadata::json, in_key, in_api_key,
               in_request, last_entry_at, original.id
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

-- The first id an entry of instant `at` can have: ids hold the time to the microsecond, so a range of ids is a range of time.
CREATE FUNCTION first_entry_id(at timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT (lpad(to_hex(us / 1000), 12, '0') || '7' || lpad(to_hex(us % 1000 * 4096 / 1000), 3, '0') || '8000000000000000')::uuid
    FROM (SELECT (extract(epoch FROM at) * 1000000)::bigint AS us) AS instant
$$;

-- What a participant had at an instant: the last entry until then, by one probe of the index on its time.
CREATE FUNCTION points_at(in_tenant bigint, in_participant text, in_at timestamptz)
RETURNS TABLE (balance bigint, total_earned bigint, total_spent bigint) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('app.tenant_id', in_tenant::text, true);
    RETURN QUERY
    SELECT COALESCE(last.balance_after, 0), COALESCE(last.total_earned_after, 0), COALESCE(last.total_spent_after, 0)
    FROM participants AS p
    LEFT JOIN LATERAL (
        SELECT * FROM ledger_entries AS e
        WHERE e.tenant_id = in_tenant AND e.participant_id = p.id AND e.created_at <= in_at
        ORDER BY e.created_at DESC LIMIT 1
    ) AS last ON true
    WHERE p.tenant_id = in_tenant AND p.external_id = in_participant;
END
$$;
