\set participant random(1, 10000)
\set key_a random(1, 2147483647)
\set key_b random(1, 2147483647)
WITH holder AS (
    INSERT INTO participants AS held
        (tenant_id, external_id, balance, total_earned, total_spent, entry_count, tier, last_entry_at)
    VALUES (:tenant, 'user_' || :participant, 100, 100, 0, 1, 1, clock_timestamp())
    ON CONFLICT (tenant_id, external_id) DO UPDATE SET
        balance = held.balance + 100,
        total_earned = held.total_earned + 100,
        entry_count = held.entry_count + 1,
        tier = width_bucket(held.total_earned + 100, '{0,500,1500}'::bigint[]),
        last_entry_at = GREATEST(clock_timestamp(), held.last_entry_at + interval '1 us')
    RETURNING new.*, COALESCE(old.tier, 1) AS tier_before
), entry AS (
    INSERT INTO ledger_entries (
        tenant_id, participant_id, seq, id, type, points, balance_after, total_earned_after, total_spent_after,
        ladder_version, tier_before, tier_after, reason, idempotency_key, api_key_id, request_id, created_at)
    SELECT :tenant, id, entry_count, uuidv7(), 'award', 100, balance, total_earned, total_spent, 1, tier_before, tier,
           'Purchase completed', 'bare_' || :key_a || '_' || :key_b, 1, '0123456789abcdef0123456789abcdef', last_entry_at
    FROM holder
    RETURNING id, idempotency_key, balance_after
), decided AS (
    INSERT INTO idempotency_keys (tenant_id, key, fingerprint, entry_id)
    SELECT :tenant, idempotency_key, '\x000102030405060708090a0b0c0d0e0f', id FROM entry
)
SELECT id, balance_after FROM entry;
