-- What a business calls its participants and knows of them, found by parts of their names; and their erasure.

-- Who has a fragment in their id or in their name; as in 0006_fragments.sql, with its owner's eyes.
CREATE OR REPLACE FUNCTION participants_like(in_tenant bigint, in_pattern text, in_most integer) RETURNS SETOF bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = public, pg_temp SET plan_cache_mode = force_custom_plan AS $$
BEGIN
    IF in_tenant IS DISTINCT FROM NULLIF(current_setting('app.tenant_id', true), '')::bigint THEN
        RETURN;
    END IF;
    RETURN QUERY
    (SELECT id FROM participants WHERE tenant_id = in_tenant AND external_id ILIKE in_pattern LIMIT in_most)
    UNION
    (SELECT participant_id FROM participant_details
     WHERE tenant_id = in_tenant AND display_name ILIKE in_pattern LIMIT in_most)
    LIMIT in_most;
END
$$;
CREATE POLICY fragments ON participant_details FOR SELECT TO CURRENT_USER USING (true);

-- Nothing written is ever changed but for two things: all of a tenant goes when it is deleted, and the words about a
-- participant who is erased: they become null and everything else stays what it was, to the byte.
CREATE OR REPLACE FUNCTION ledger_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF EXISTS (SELECT FROM tenants WHERE id = OLD.tenant_id AND status = 'deleting') THEN
            RETURN OLD;
        END IF;
    ELSIF TG_OP = 'UPDATE' THEN
        OLD.reason := NULL;
        OLD.metadata := NULL;
        IF NEW *= OLD AND EXISTS (
            SELECT FROM participants
            WHERE tenant_id = OLD.tenant_id AND id = OLD.participant_id AND erased_at IS NOT NULL
        ) THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'ledger entries are permanent' USING ERRCODE = 'restrict_violation';
END
$$;

-- Blank the words about an erased participant: in their entries (in_after, in_until], and in the changes of their tier
-- that came among these. The app may rewrite neither, so this acts as its owner; the trigger above has the last word.
CREATE FUNCTION participant_blank(in_tenant bigint, in_participant bigint, in_after bigint, in_until bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF in_tenant IS DISTINCT FROM NULLIF(current_setting('app.tenant_id', true), '')::bigint OR NOT EXISTS (
        SELECT FROM participants WHERE tenant_id = in_tenant AND id = in_participant AND erased_at IS NOT NULL
    ) THEN
        RETURN;
    END IF;
    UPDATE ledger_entries SET reason = NULL, metadata = NULL
    WHERE tenant_id = in_tenant AND participant_id = in_participant AND seq > in_after AND seq <= in_until
          AND (reason IS NOT NULL OR metadata IS NOT NULL);
    UPDATE tier_changes SET reason = NULL
    WHERE tenant_id = in_tenant AND participant_id = in_participant AND after_seq BETWEEN in_after AND in_until
          AND reason IS NOT NULL;
END
$$;
REVOKE EXECUTE ON FUNCTION participant_blank FROM PUBLIC;
GRANT EXECUTE ON FUNCTION participant_blank TO gamify_app;
