-- Changes of tiers that no entry tells of, as in 0011_locked_recalculation.sql and 0007_ladders.sql but for when they happen.
CREATE OR REPLACE FUNCTION tier_recalculate(in_tenant bigint, in_after bigint, in_until bigint, in_cause text) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    ladder ladders;
    locked bigint[];
    holder participants;
    settled tier_settlement;
    instant timestamptz;
    moved_count bigint := 0;
BEGIN
    SELECT * INTO ladder FROM ladders WHERE tenant_id = in_tenant ORDER BY version DESC LIMIT 1;
    SELECT array_agg(id) INTO locked FROM (
        SELECT p.id FROM participants AS p
        WHERE p.tenant_id = in_tenant AND p.id > in_after AND p.id <= in_until AND tier_is_due(in_tenant, ladder, p, in_cause)
        ORDER BY p.external_id
        FOR NO KEY UPDATE
    ) AS due;
    IF ladder.basis = 'lifetime' AND in_cause = 'published' THEN
        moved_count := tier_put_plain(in_tenant, ladder, locked, tier_instant(in_tenant, NULL));
    END IF;
    FOR holder IN
        SELECT p.* FROM unnest(locked) AS due (id) JOIN participants AS p ON p.tenant_id = in_tenant AND p.id = due.id
        WHERE tier_is_due(in_tenant, ladder, p, in_cause)
    LOOP
        instant := tier_instant(in_tenant, holder.last_entry_at);
        settled := tier_settle(in_tenant, ladder, holder, holder.total_earned, instant, in_cause = 'published');
        moved_count := moved_count + tier_put(
            in_tenant, ladder, holder, settled, instant, in_cause, holder.entry_count, false, NULL, NULL)::integer;
    END LOOP;
    PERFORM standings_follow(in_tenant, in_after, in_until);
    RETURN moved_count;
END
$$;

CREATE OR REPLACE FUNCTION tier_catch_up(in_tenant bigint, in_participant bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    ladder ladders;
    holder participants;
    settled tier_settlement;
    instant timestamptz;
BEGIN
    SELECT * INTO holder FROM participants WHERE tenant_id = in_tenant AND id = in_participant FOR NO KEY UPDATE;
    PERFORM pg_advisory_xact_lock_shared(1, hashint8(in_tenant));
    SELECT * INTO ladder FROM ladders WHERE tenant_id = in_tenant ORDER BY version DESC LIMIT 1;
    IF NOT (ladder.is_settled OR holder.ladder_version = ladder.version) THEN
        instant := tier_instant(in_tenant, holder.last_entry_at);
        settled := tier_settle(in_tenant, ladder, holder, holder.total_earned, instant, true);
        PERFORM tier_put(
            in_tenant, ladder, holder, settled, instant, 'published', holder.entry_count, false, NULL, NULL);
        PERFORM standings_follow(in_tenant, in_participant - 1, in_participant);
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION tier_reevaluate(in_tenant bigint, in_participant bigint, in_cause text, in_reason text, in_changed_by text)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    ladder ladders;
    holder participants;
    settled tier_settlement;
    instant timestamptz;
BEGIN
    SELECT * INTO holder FROM participants WHERE tenant_id = in_tenant AND id = in_participant FOR NO KEY UPDATE;
    PERFORM pg_advisory_xact_lock_shared(1, hashint8(in_tenant));
    SELECT * INTO ladder FROM ladders WHERE tenant_id = in_tenant ORDER BY version DESC LIMIT 1;
    holder.is_held := true; -- or was until now
    instant := tier_instant(in_tenant, holder.last_entry_at);
    settled := tier_settle(in_tenant, ladder, holder, holder.total_earned, instant, false);
    PERFORM tier_put(in_tenant, ladder, holder, settled, instant, in_cause, holder.entry_count, false,
                     in_reason, in_changed_by);
    PERFORM standings_follow(in_tenant, in_participant - 1, in_participant);
END
$$;
