-- A recalculation puts in place those whom it has locked, and nobody else. While a ladder is being replaced, a movement that
-- has read the older one may make a participant due who was not when rows were locked; whoever replaces looks for them later.

DROP FUNCTION tier_put_plain;

-- The same as tier_settle and tier_put for all of those whom nothing but their total and their tier have a say about, in one
-- statement; their rows are locked. Returns how many moved.
CREATE FUNCTION tier_put_plain(in_tenant bigint, in_ladder ladders, in_locked bigint[], in_at timestamptz)
RETURNS bigint LANGUAGE sql AS $$
    WITH due AS (
        SELECT p.id, tier, entry_count, GREATEST(in_at, last_entry_at) AS at, COALESCE(in_ladder.floors[tier], 0) AS held,
               width_bucket(total_earned, in_ladder.thresholds) AS earned,
               in_ladder.falling = 'keep' OR in_ladder.falling = 'keep_until' AND in_at < in_ladder.kept_until AS is_spared
        FROM unnest(in_locked) AS locked (id) JOIN participants AS p ON p.tenant_id = in_tenant AND p.id = locked.id
        WHERE NOT is_held AND ladder_version <> in_ladder.version
              AND tier <> COALESCE(in_ladder.numbers[width_bucket(total_earned, in_ladder.thresholds)], 0)
    ), settled AS MATERIALIZED (
        SELECT id, tier, entry_count, at, is_spared AND held > earned AS is_kept,
               COALESCE(in_ladder.numbers[CASE WHEN is_spared THEN GREATEST(earned, held) ELSE earned END], 0) AS number
        FROM due
    ), kept AS (
        INSERT INTO tier_holds (tenant_id, participant_id, kind, number, until)
        SELECT in_tenant, id, 'keep', number, in_ladder.kept_until FROM settled WHERE is_kept
    ), told AS (
        INSERT INTO tier_changes (tenant_id, participant_id, after_seq, at, cause, ladder_version, number_before, number_after, is_kept)
        SELECT in_tenant, id, entry_count, at, 'published', in_ladder.version, tier, number, is_kept
        FROM settled WHERE number <> tier OR is_kept
    ), put AS (
        UPDATE participants AS p SET tier = s.number, ladder_version = in_ladder.version, is_held = s.is_kept
        FROM settled AS s WHERE p.tenant_id = in_tenant AND p.id = s.id
    )
    SELECT count(*) FILTER (WHERE number <> tier) FROM settled
$$;

-- When a tier changes that no entry tells of: not before the participant's last entry, nor, whichever way the clock was set,
-- within what is summed; the caller holds the rollups.
CREATE OR REPLACE FUNCTION tier_instant(in_tenant bigint, in_last_entry_at timestamptz) RETURNS timestamptz LANGUAGE sql VOLATILE AS $$
    SELECT GREATEST(clock_timestamp(), in_last_entry_at, (SELECT summed_until FROM rollup_progress WHERE tenant_id = in_tenant))
$$;

-- Put participants of a range of ids, (in_after, in_until], where the ladder in force has them: all who are not settled on
-- it ('published'), or all whose points have run out ('requalified'). Standings follow; the caller holds the rollups.
-- Rows are locked first, in the ledger's order. Returns how many moved.
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

-- As in 0007_ladders.sql, but for when changes happen.
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
