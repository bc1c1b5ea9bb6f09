-- Tiers that follow from more than a total: ladders put in force for everybody by and by, tiers kept or pinned, points
-- that count for a time only.
--
-- `participants.tier` is the number of a tier: a tenant's own number of a code, the same in every version of the ladder.
-- A ladder has `thresholds` and `numbers` by level, and `floors` by number: the level on this ladder of whoever holds that
-- number, which for a tier that is gone is the next one below that is left.
--
-- Nothing but the total has a say where the ladder counts all points ever earned, the row is not held (by a pin or a kept
-- tier) and the ladder is settled: everybody is where it puts them. Then ledger_post goes the short way. A ladder that is
-- not settled yet settles each participant before the first movement that comes along, or by tier_recalculate, whichever
-- is first; a row with the ladder's version is settled.

CREATE TYPE tier_settlement AS (level smallint, is_kept boolean);
CREATE TYPE tier_movement AS (level_before smallint, level_after smallint);

-- What a participant had ever earned before an instant, by one probe of the index on time.
CREATE FUNCTION earned_before(in_tenant bigint, in_participant bigint, in_at timestamptz) RETURNS bigint
LANGUAGE sql STABLE AS $$
    SELECT COALESCE((
        SELECT total_earned_after FROM ledger_entries
        WHERE tenant_id = in_tenant AND participant_id = in_participant AND created_at < in_at
        ORDER BY created_at DESC LIMIT 1
    ), 0)
$$;

-- The points that count towards tiers at an instant, of `in_total` ever earned: all; those of the last days; or those of
-- the calendar year and, in its first days, those of the year before where they are more.
CREATE FUNCTION qualifying_points(
    in_tenant bigint, in_ladder ladders, in_participant bigint, in_total bigint, in_at timestamptz
) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
DECLARE
    this_year timestamp; -- its first instant, by the ladder's clock
    before_year bigint;
    points bigint;
BEGIN
    IF in_ladder.basis = 'window' THEN
        RETURN GREATEST(
            in_total - earned_before(in_tenant, in_participant, in_at - in_ladder.window_days * interval '24 hours'), 0);
    ELSIF in_ladder.basis = 'year' THEN
        this_year := date_trunc('year', in_at AT TIME ZONE in_ladder.time_zone);
        before_year := earned_before(in_tenant, in_participant, this_year AT TIME ZONE in_ladder.time_zone);
        points := GREATEST(in_total - before_year, 0);
        IF in_at < (this_year + in_ladder.grace_days * interval '1 day') AT TIME ZONE in_ladder.time_zone THEN
            points := GREATEST(points, before_year - earned_before(
                in_tenant, in_participant, (this_year - interval '1 year') AT TIME ZONE in_ladder.time_zone));
        END IF;
        RETURN points;
    END IF;
    RETURN in_total;
END
$$;

CREATE FUNCTION tier_level(
    in_tenant bigint, in_ladder ladders, in_participant bigint, in_total bigint, in_at timestamptz
) RETURNS smallint LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN COALESCE(width_bucket(
        qualifying_points(in_tenant, in_ladder, in_participant, in_total, in_at), in_ladder.thresholds), 0);
END
$$;

-- The level that something holds a participant on; null if nothing does.
CREATE FUNCTION held_level(in_tenant bigint, in_ladder ladders, in_participant bigint, in_kind text) RETURNS smallint
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (
        SELECT COALESCE(in_ladder.floors[number], 0) FROM tier_holds
        WHERE tenant_id = in_tenant AND participant_id = in_participant AND kind = in_kind
    );
END
$$;

-- Where a ladder puts a participant who has `in_total` points: when it comes into force for them (`in_is_new`) those who
-- would fall keep their tier if that is its policy; else a tier kept before counts as much as one earned. A pin is above all.
CREATE FUNCTION tier_settle(
    in_tenant bigint, in_ladder ladders, in_holder participants, in_total bigint, in_at timestamptz, in_is_new boolean
) RETURNS tier_settlement LANGUAGE plpgsql STABLE AS $$
DECLARE
    earned smallint := tier_level(in_tenant, in_ladder, in_holder.id, in_total, in_at);
    held smallint := COALESCE(in_ladder.floors[in_holder.tier], 0);
    pinned smallint;
    kept smallint;
BEGIN
    IF in_holder.is_held THEN
        pinned := held_level(in_tenant, in_ladder, in_holder.id, 'pin');
        kept := held_level(in_tenant, in_ladder, in_holder.id, 'keep');
    END IF;
    IF pinned IS NOT NULL THEN
        RETURN (pinned, kept IS NOT NULL AND NOT in_is_new); -- a new ladder decides anew what is kept
    ELSIF NOT in_is_new THEN
        RETURN (GREATEST(earned, kept), COALESCE(kept > earned, false));
    ELSIF in_ladder.falling = 'keep' OR in_ladder.falling = 'keep_until' AND in_at < in_ladder.kept_until THEN
        RETURN (GREATEST(earned, held), held > earned);
    END IF;
    RETURN (earned, false);
END
$$;

-- Put a participant, whose row is locked, where tier_settle says; return whether they moved. Their history tells of every
-- move, and of every tier that begins or ceases to be kept, but for what the entry after it tells (`in_is_told` elsewhere).
CREATE FUNCTION tier_put(
    in_tenant bigint, in_ladder ladders, in_holder participants, in_settled tier_settlement, in_at timestamptz,
    in_cause text, in_after_seq bigint, in_is_told boolean, in_reason text, in_changed_by text
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    number_after smallint := COALESCE(in_ladder.numbers[in_settled.level], 0);
    is_pinned boolean := in_holder.is_held AND EXISTS (
        SELECT FROM tier_holds WHERE tenant_id = in_tenant AND participant_id = in_holder.id AND kind = 'pin');
    was_kept boolean := in_holder.is_held AND EXISTS (
        SELECT FROM tier_holds WHERE tenant_id = in_tenant AND participant_id = in_holder.id AND kind = 'keep');
BEGIN
    IF in_settled.is_kept AND NOT is_pinned AND in_cause = 'published' THEN
        INSERT INTO tier_holds AS h (tenant_id, participant_id, kind, number, until)
        VALUES (in_tenant, in_holder.id, 'keep', number_after, in_ladder.kept_until)
        ON CONFLICT (tenant_id, participant_id, kind) DO UPDATE SET number = excluded.number, until = excluded.until;
    ELSIF was_kept AND NOT in_settled.is_kept THEN
        DELETE FROM tier_holds WHERE tenant_id = in_tenant AND participant_id = in_holder.id AND kind = 'keep';
    END IF;
    UPDATE participants SET
        tier = number_after,
        ladder_version = in_ladder.version,
        is_held = is_pinned OR in_settled.is_kept
    WHERE tenant_id = in_tenant AND id = in_holder.id;
    IF NOT in_is_told AND (number_after <> in_holder.tier OR in_settled.is_kept <> was_kept
                           OR in_cause NOT IN ('published', 'requalified')) THEN
        INSERT INTO tier_changes (
            tenant_id, participant_id, after_seq, at, cause, ladder_version, number_before, number_after, is_kept, reason, changed_by)
        VALUES (in_tenant, in_holder.id, in_after_seq, in_at, in_cause, in_ladder.version, in_holder.tier,
                number_after, in_settled.is_kept, in_reason, in_changed_by);
    END IF;
    RETURN number_after <> in_holder.tier;
END
$$;

-- The levels before and after a movement, on the ladder in force, and the row brought there: the long way, for whom more
-- than the total has a say. The row is locked; of the entry all is set but its levels.
CREATE FUNCTION tier_after_movement(in_tenant bigint, in_ladder ladders, in_entry ledger_entries) RETURNS tier_movement
LANGUAGE plpgsql AS $$
DECLARE
    holder participants;
    earned_by_it bigint := CASE WHEN in_entry.type IN ('award', 'award_reversal') THEN in_entry.points ELSE 0 END;
    moved tier_movement;
    settled tier_settlement;
    pinned smallint;
    kept smallint;
    earned smallint;
    is_settled boolean;
    was_kept boolean;
    number_after smallint;
BEGIN
    IF in_ladder IS NULL OR in_ladder.version IS NULL THEN
        RETURN (0, 0);
    END IF;
    SELECT * INTO holder FROM participants WHERE tenant_id = in_tenant AND id = in_entry.participant_id;
    moved.level_before := COALESCE(in_ladder.floors[holder.tier], 0);
    -- Where everybody is settled, whoever stands elsewhere has been locked by this very movement meanwhile.
    is_settled := holder.ladder_version = in_ladder.version OR in_ladder.is_settled AND NOT holder.is_held AND (
        in_ladder.basis <> 'lifetime' OR holder.tier = COALESCE(
            in_ladder.numbers[width_bucket(in_entry.total_earned_after - earned_by_it, in_ladder.thresholds)], 0));
    IF in_entry.seq = 1 AND holder.ladder_version = 0 THEN -- whom this entry has made, nothing of before holds
        is_settled := true;
        moved.level_before := COALESCE(width_bucket(0, in_ladder.thresholds), 0);
    ELSIF NOT is_settled AND in_ladder.effect = 'next_award' AND earned_by_it = 0 THEN
        moved.level_after := moved.level_before; -- waits for an award
        RETURN moved;
    ELSIF NOT is_settled THEN
        was_kept := held_level(in_tenant, in_ladder, holder.id, 'keep') IS NOT NULL;
        settled := tier_settle(
            in_tenant, in_ladder, holder, in_entry.total_earned_after - earned_by_it, in_entry.created_at, true);
        PERFORM tier_put(in_tenant, in_ladder, holder, settled, in_entry.created_at, 'published', in_entry.seq - 1,
                         in_ladder.effect = 'next_award', NULL, NULL);
        IF in_ladder.effect = 'now' THEN
            moved.level_before := settled.level;
        END IF;
        SELECT * INTO holder FROM participants WHERE tenant_id = in_tenant AND id = in_entry.participant_id;
    END IF;

    IF holder.is_held THEN
        pinned := held_level(in_tenant, in_ladder, holder.id, 'pin');
        kept := held_level(in_tenant, in_ladder, holder.id, 'keep');
    END IF;
    earned := tier_level(in_tenant, in_ladder, holder.id, in_entry.total_earned_after, in_entry.created_at);
    IF pinned IS NOT NULL THEN
        moved.level_after := pinned;
    ELSIF in_ladder.basis = 'lifetime' OR in_entry.type = 'award_reversal' THEN
        moved.level_after := GREATEST(earned, kept);
    ELSIF in_entry.type = 'award' THEN -- points that have run out take a tier only when everybody is qualified anew
        moved.level_after := GREATEST(earned, COALESCE(settled.level, moved.level_before));
    ELSE
        moved.level_after := COALESCE(settled.level, moved.level_before);
    END IF;
    IF kept <= earned THEN -- what was kept is earned
        DELETE FROM tier_holds WHERE tenant_id = in_tenant AND participant_id = holder.id AND kind = 'keep';
        kept := NULL;
    END IF;
    number_after := COALESCE(in_ladder.numbers[moved.level_after], 0);
    UPDATE participants SET
        tier = number_after, ladder_version = in_ladder.version, is_held = pinned IS NOT NULL OR kept IS NOT NULL
    WHERE tenant_id = in_tenant AND id = holder.id;
    IF in_ladder.effect = 'next_award' AND was_kept <> (kept IS NOT NULL) THEN -- which the entry does not tell
        INSERT INTO tier_changes (tenant_id, participant_id, after_seq, at, cause, ladder_version, number_before, number_after, is_kept)
        VALUES (in_tenant, holder.id, in_entry.seq, in_entry.created_at, 'published', in_ladder.version,
                number_after, number_after, kept IS NOT NULL);
    END IF;
    RETURN moved;
END
$$;

-- Whether a ladder in force has to look at a participant of a recalculation: who is not settled on it ('published'), or
-- whose points may have run out ('requalified'), unless they are where it has them anyway.
CREATE FUNCTION tier_is_due(in_tenant bigint, in_ladder ladders, in_holder participants, in_cause text) RETURNS boolean
LANGUAGE sql AS $$ -- not called stable for the sake of the clock: so it becomes a part of what asks
    SELECT CASE WHEN in_cause = 'published' THEN in_holder.ladder_version <> in_ladder.version
                ELSE in_ladder.is_settled OR in_holder.ladder_version = in_ladder.version END
       AND CASE WHEN in_ladder.basis = 'lifetime' AND NOT in_holder.is_held
                THEN in_holder.tier <> COALESCE(
                    in_ladder.numbers[width_bucket(in_holder.total_earned, in_ladder.thresholds)], 0)
                ELSE in_holder.is_held OR in_holder.tier <> COALESCE(in_ladder.numbers[tier_level(
                    in_tenant, in_ladder, in_holder.id, in_holder.total_earned, clock_timestamp())], 0) END
$$;

-- The same as tier_settle and tier_put for all of a range whom nothing but their total and their tier have a say about, in
-- one statement; their rows are locked. Returns how many moved.
CREATE FUNCTION tier_put_plain(in_tenant bigint, in_ladder ladders, in_after bigint, in_until bigint, in_at timestamptz)
RETURNS bigint LANGUAGE sql AS $$
    WITH due AS (
        SELECT id, tier, entry_count, COALESCE(in_ladder.floors[tier], 0) AS held,
               width_bucket(total_earned, in_ladder.thresholds) AS earned,
               in_ladder.falling = 'keep' OR in_ladder.falling = 'keep_until' AND in_at < in_ladder.kept_until AS is_spared
        FROM participants
        WHERE tenant_id = in_tenant AND id > in_after AND id <= in_until AND NOT is_held AND ladder_version <> in_ladder.version
              AND tier <> COALESCE(in_ladder.numbers[width_bucket(total_earned, in_ladder.thresholds)], 0)
    ), settled AS MATERIALIZED (
        SELECT id, tier, entry_count, is_spared AND held > earned AS is_kept,
               COALESCE(in_ladder.numbers[CASE WHEN is_spared THEN GREATEST(earned, held) ELSE earned END], 0) AS number
        FROM due
    ), kept AS (
        INSERT INTO tier_holds (tenant_id, participant_id, kind, number, until)
        SELECT in_tenant, id, 'keep', number, in_ladder.kept_until FROM settled WHERE is_kept
    ), told AS (
        INSERT INTO tier_changes (tenant_id, participant_id, after_seq, at, cause, ladder_version, number_before, number_after, is_kept)
        SELECT in_tenant, id, entry_count, in_at, 'published', in_ladder.version, tier, number, is_kept
        FROM settled WHERE number <> tier OR is_kept
    ), put AS (
        UPDATE participants AS p SET tier = s.number, ladder_version = in_ladder.version, is_held = s.is_kept
        FROM settled AS s WHERE p.tenant_id = in_tenant AND p.id = s.id
    )
    SELECT count(*) FILTER (WHERE number <> tier) FROM settled
$$;

-- Put participants of a range of ids, (in_after, in_until], where the ladder in force has them: all who are not settled on
-- it ('published'), or all whose points have run out ('requalified'). Standings follow; the caller holds the rollups.
-- Rows are locked first, in the ledger's order. Returns how many moved.
CREATE FUNCTION tier_recalculate(in_tenant bigint, in_after bigint, in_until bigint, in_cause text) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    ladder ladders;
    holder participants;
    settled tier_settlement;
    instant timestamptz;
    moved_count bigint := 0;
BEGIN
    SELECT * INTO ladder FROM ladders WHERE tenant_id = in_tenant ORDER BY version DESC LIMIT 1;
    PERFORM FROM participants AS p
    WHERE p.tenant_id = in_tenant AND p.id > in_after AND p.id <= in_until AND tier_is_due(in_tenant, ladder, p, in_cause)
    ORDER BY p.external_id
    FOR NO KEY UPDATE;
    IF ladder.basis = 'lifetime' AND in_cause = 'published' THEN
        moved_count := tier_put_plain(in_tenant, ladder, in_after, in_until, clock_timestamp());
    END IF;
    FOR holder IN
        SELECT p.* FROM participants AS p
        WHERE p.tenant_id = in_tenant AND p.id > in_after AND p.id <= in_until AND tier_is_due(in_tenant, ladder, p, in_cause)
        ORDER BY p.external_id
        FOR NO KEY UPDATE
    LOOP
        instant := clock_timestamp();
        settled := tier_settle(in_tenant, ladder, holder, holder.total_earned, instant, in_cause = 'published');
        moved_count := moved_count + tier_put(
            in_tenant, ladder, holder, settled, instant, in_cause, holder.entry_count, false, NULL, NULL)::integer;
    END LOOP;
    PERFORM standings_follow(in_tenant, in_after, in_until);
    RETURN moved_count;
END
$$;

-- Settle one participant on the ladder in force, which decides from what they hold by then, before what holds them changes.
CREATE FUNCTION tier_catch_up(in_tenant bigint, in_participant bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    ladder ladders;
    holder participants;
    settled tier_settlement;
    instant timestamptz := clock_timestamp();
BEGIN
    SELECT * INTO holder FROM participants WHERE tenant_id = in_tenant AND id = in_participant FOR NO KEY UPDATE;
    PERFORM pg_advisory_xact_lock_shared(1, hashint8(in_tenant));
    SELECT * INTO ladder FROM ladders WHERE tenant_id = in_tenant ORDER BY version DESC LIMIT 1;
    IF NOT (ladder.is_settled OR holder.ladder_version = ladder.version) THEN
        settled := tier_settle(in_tenant, ladder, holder, holder.total_earned, instant, true);
        PERFORM tier_put(
            in_tenant, ladder, holder, settled, instant, 'published', holder.entry_count, false, NULL, NULL);
        PERFORM standings_follow(in_tenant, in_participant - 1, in_participant);
    END IF;
END
$$;

-- Look anew where one participant, who has been caught up with, stands, after what holds them has changed.
CREATE FUNCTION tier_reevaluate(in_tenant bigint, in_participant bigint, in_cause text, in_reason text, in_changed_by text)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    ladder ladders;
    holder participants;
    settled tier_settlement;
    instant timestamptz := clock_timestamp();
BEGIN
    SELECT * INTO holder FROM participants WHERE tenant_id = in_tenant AND id = in_participant FOR NO KEY UPDATE;
    PERFORM pg_advisory_xact_lock_shared(1, hashint8(in_tenant));
    SELECT * INTO ladder FROM ladders WHERE tenant_id = in_tenant ORDER BY version DESC LIMIT 1;
    holder.is_held := true; -- or was until now
    settled := tier_settle(in_tenant, ladder, holder, holder.total_earned, instant, false);
    PERFORM tier_put(in_tenant, ladder, holder, settled, instant, in_cause, holder.entry_count, false,
                     in_reason, in_changed_by);
    PERFORM standings_follow(in_tenant, in_participant - 1, in_participant);
END
$$;

-- Standings of a range of participants take over tiers that no entry tells of; the caller holds the rollups.
CREATE FUNCTION standings_follow(in_tenant bigint, in_after bigint, in_until bigint) RETURNS void
LANGUAGE sql AS $$
    WITH moved AS (
        UPDATE participant_standings AS s SET tier = p.tier
        FROM participants AS p
        WHERE p.tenant_id = in_tenant AND p.id > in_after AND p.id <= in_until
              AND s.tenant_id = in_tenant AND s.participant_id = p.id AND s.tier <> p.tier
        RETURNING old.tier AS old_tier, new.tier AS new_tier, new.balance
    ), change AS (
        SELECT old_tier AS tier, -1 AS participants, -balance AS points FROM moved
        UNION ALL
        SELECT new_tier, 1, balance FROM moved
    )
    INSERT INTO tier_standings AS t (tenant_id, tier, participant_count, points)
    SELECT in_tenant, tier, sum(participants), sum(points) FROM change GROUP BY tier ORDER BY tier
    ON CONFLICT (tenant_id, tier) DO UPDATE SET
        participant_count = t.participant_count + excluded.participant_count, points = t.points + excluded.points
$$;

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
    moved tier_movement;
    held_number smallint;
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

        -- Lock the row and move its points. The entry still says of tiers what the row does: ladder, tier, is it held; see below.
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
                      p.balance, p.total_earned, p.total_spent, p.ladder_version, p.tier, p.is_held::integer, asked.reason, asked.metadata,
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
                          p.balance, p.total_earned, p.total_spent, p.ladder_version, p.tier, p.is_held::integer, asked.reason, asked.metadata,
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
            held_number := entry.tier_before;
            entry.tier_before := COALESCE(
                width_bucket(entry.total_earned_after - GREATEST(entry.points, 0), ladder.thresholds), 0);
            IF entry.tier_after = 1 OR ladder.basis <> 'lifetime' OR NOT (entry.seq = 1 AND entry.ladder_version = 0) AND (
                NOT (ladder.is_settled OR entry.ladder_version = ladder.version)
                OR held_number <> COALESCE(ladder.numbers[entry.tier_before], 0)
            ) THEN -- more than the total has a say
                moved := tier_after_movement(in_tenant, ladder, entry);
                entry.tier_before := moved.level_before;
                entry.tier_after := moved.level_after;
            ELSE
                entry.tier_after := COALESCE(width_bucket(entry.total_earned_after, ladder.thresholds), 0);
                IF held_number <> COALESCE(ladder.numbers[entry.tier_after], 0)
                   OR NOT ladder.is_settled AND entry.ladder_version <> ladder.version THEN -- whom this entry has made
                    UPDATE participants
                    SET tier = COALESCE(ladder.numbers[entry.tier_after], 0), ladder_version = ladder.version
                    WHERE tenant_id = in_tenant AND id = entry.participant_id;
                END IF;
            END IF;
            entry.ladder_version := ladder.version;
            entries[i] := entry;
            done := (positions[i], 'recorded', entry.id, entry.balance_after, NULL, NULL, false);
            IF entry.tier_after > entry.tier_before THEN
                done.tier_upgrade := tier_upgrade(in_tenant, ladder.version, entry.tier_before, entry.tier_after);
            END IF;
            RETURN NEXT done;
            IF ladder.basis <> 'lifetime' THEN -- what the next entry counts
                INSERT INTO ledger_entries SELECT entry.*;
            END IF;
        END LOOP;
        IF ladder.basis = 'lifetime' OR ladder.basis IS NULL THEN
            INSERT INTO ledger_entries SELECT * FROM unnest(entries);
        END IF;
    END IF;
    IF cardinality(decided) > 0 THEN
        INSERT INTO idempotency_keys SELECT * FROM unnest(decided) ORDER BY key COLLATE "C";
    END IF;
END
$$;

-- Reverse an award (take its points back from balance and total_earned) or a deduct (give them back, lower total_spent).
CREATE OR REPLACE FUNCTION ledger_reverse(
    in_tenant bigint, in_entry uuid, in_partially boolean, in_reason text, in_metadata text,
    in_key text, in_fingerprint bytea, in_api_key bigint, in_request text, in_user bigint DEFAULT NULL
) RETURNS reversal_outcome LANGUAGE plpgsql AS $$
DECLARE
    done reversal_outcome;
    original ledger_entries;
    holder participants;
    earliest timestamptz; -- before which no entry may be dated
    ladder ladders;
    made ledger_entries; -- the entry to be, as far as tiers ask
    moved tier_movement;
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
    SELECT * INTO ladder FROM ladders WHERE tenant_id = in_tenant ORDER BY version DESC LIMIT 1;
    made.participant_id := holder.id;
    made.seq := holder.entry_count + 1;
    made.type := original.type || '_reversal';
    made.points := done.points;
    made.total_earned_after := holder.total_earned + CASE WHEN original.type = 'award' THEN done.points ELSE 0 END;
    made.created_at := GREATEST(clock_timestamp(), earliest, holder.last_entry_at + interval '1 us');
    moved := tier_after_movement(in_tenant, ladder, made);

    WITH held AS (
        UPDATE participants AS p SET
            balance = p.balance + done.points,
            total_earned = made.total_earned_after,
            total_spent = p.total_spent - CASE WHEN original.type = 'deduct' THEN done.points ELSE 0 END,
            entry_count = made.seq,
            last_entry_at = made.created_at
        WHERE p.tenant_id = in_tenant AND p.id = holder.id
        RETURNING p.*
    ), entry AS (
        INSERT INTO ledger_entries (
            tenant_id, participant_id, seq, id, type, points, balance_after, total_earned_after, total_spent_after,
            ladder_version, tier_before, tier_after, reason, metadata, idempotency_key, api_key_id, request_id, created_at,
            reverses, user_id)
        SELECT in_tenant, held.id, entry_count, entry_id(last_entry_at), original.type || '_reversal', done.points, balance,
               total_earned, total_spent, ladder.version, moved.level_before, moved.level_after, in_reason, in_metadata::json,
               in_key, in_api_key, in_request, last_entry_at, original.id, in_user
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
