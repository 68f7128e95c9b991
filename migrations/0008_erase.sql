-- Forgetting: the role erase holds no right to a table, and executes these two.

SET LOCAL ROLE vault_etl_owner;

-- What an erasure would take away now: of one record and the quarantined message of that id, or of all
-- records of a user. `matching` counts what is there, erased already or not.
CREATE FUNCTION public.erase_preview(record_id uuid, user_id text)
RETURNS TABLE (matching bigint, records bigint, bodies bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF num_nonnulls(record_id, user_id) <> 1 THEN
        RAISE EXCEPTION 'an erasure is of one record or of one user' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF record_id IS NULL THEN
        RETURN QUERY
            SELECT count(*), count(*) FILTER (WHERE num_nonnulls(
                r.masked_ip, r.masked_device_id, r.next_masked_ip, r.next_masked_device_id,
                r.ip_ciphertext, r.device_id_ciphertext, r.token_generation, r.next_token_generation
            ) > 0), 0::bigint
            FROM public.user_logins AS r WHERE r.user_id = erase_preview.user_id;
        RETURN;
    END IF;
    RETURN QUERY
        SELECT in_records.matching + in_quarantine.matching, in_records.full_rows, in_quarantine.full_rows
        FROM (
            SELECT count(*) AS matching, count(*) FILTER (WHERE num_nonnulls(
                r.masked_ip, r.masked_device_id, r.next_masked_ip, r.next_masked_device_id,
                r.ip_ciphertext, r.device_id_ciphertext, r.token_generation, r.next_token_generation
            ) > 0) AS full_rows
            FROM public.user_logins AS r WHERE r.record_id = erase_preview.record_id
        ) AS in_records,
        (
            SELECT count(*) AS matching, count(q.body_ciphertext) AS full_rows
            FROM public.quarantine AS q WHERE q.record_id = erase_preview.record_id
        ) AS in_quarantine;
END
$$;
REVOKE ALL ON FUNCTION public.erase_preview(uuid, text) FROM PUBLIC;

-- Tokens of every name, ciphertexts and bodies to NULL, and two entries that say so: all or nothing.
-- The rows stay, so that a message that comes again conflicts with them. No row comes back, and no entry
-- is made, if there is no such record or user.
CREATE FUNCTION public.erase(
    request_id uuid, actor text, host text, record_id uuid, user_id text, ticket text, reason text
) RETURNS TABLE (records bigint, bodies bigint, erased_at timestamptz, seq bigint, hash bytea)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s' AS $$
DECLARE
    fields text[] := ARRAY['device_id', 'ip'];
    erased_records bigint;
    erased_bodies bigint := 0;
    outcome public.audit_log;
BEGIN
    PERFORM public.short_transaction();
    -- As everybody who writes tokens or ciphertexts: a cut-over, and the end of a key, wait for it or it
    -- for them. What compares and swaps needs no more: it finds NULL, or is overwritten.
    LOCK TABLE public.key_fence IN ROW EXCLUSIVE MODE;
    IF num_nonnulls(record_id, user_id) <> 1 THEN
        RAISE EXCEPTION 'an erasure is of one record or of one user' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF record_id IS NOT NULL THEN
        fields := fields || 'quarantine'::text;
        -- Before the records: a retry that moves the message meanwhile is waited for, and what it stored
        -- is seen below.
        UPDATE public.quarantine AS q SET body_ciphertext = NULL
        WHERE q.record_id = erase.record_id AND q.body_ciphertext IS NOT NULL;
        GET DIAGNOSTICS erased_bodies = ROW_COUNT;
        UPDATE public.user_logins AS r SET
            masked_ip = NULL, masked_device_id = NULL, next_masked_ip = NULL, next_masked_device_id = NULL,
            ip_ciphertext = NULL, device_id_ciphertext = NULL, token_generation = NULL,
            next_token_generation = NULL
        WHERE r.record_id = erase.record_id AND num_nonnulls(
            r.masked_ip, r.masked_device_id, r.next_masked_ip, r.next_masked_device_id,
            r.ip_ciphertext, r.device_id_ciphertext, r.token_generation, r.next_token_generation
        ) > 0;
        GET DIAGNOSTICS erased_records = ROW_COUNT;
    ELSE
        UPDATE public.user_logins AS r SET
            masked_ip = NULL, masked_device_id = NULL, next_masked_ip = NULL, next_masked_device_id = NULL,
            ip_ciphertext = NULL, device_id_ciphertext = NULL, token_generation = NULL,
            next_token_generation = NULL
        WHERE r.user_id = erase.user_id AND num_nonnulls(
            r.masked_ip, r.masked_device_id, r.next_masked_ip, r.next_masked_device_id,
            r.ip_ciphertext, r.device_id_ciphertext, r.token_generation, r.next_token_generation
        ) > 0;
        GET DIAGNOSTICS erased_records = ROW_COUNT;
    END IF;
    IF erased_records + erased_bodies = 0
        AND (SELECT p.matching FROM public.erase_preview(record_id, user_id) AS p) = 0
    THEN
        RETURN;
    END IF;
    -- Last of all: the head of the log is locked from here to the commit. In a stricter level than READ
    -- COMMITTED, which would not see what was waited for above, this raises.
    PERFORM public.audit_write(
        request_id, 'intent', actor, host, 'erase', record_id, fields, NULL, ticket, reason, 'allowed', NULL
    );
    outcome := public.audit_write(
        request_id, 'outcome', actor, host, 'erase', record_id, fields, NULL, ticket,
        format('erased records: %s, quarantined bodies: %s', erased_records, erased_bodies), 'done', NULL
    );
    RETURN QUERY SELECT erased_records, erased_bodies, outcome.logged_at, outcome.seq, outcome.hash;
END
$$;
REVOKE ALL ON FUNCTION public.erase(uuid, text, text, uuid, text, text, text) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION public.erase_preview(uuid, text) TO vault_etl_erase;
GRANT EXECUTE ON FUNCTION public.erase(uuid, text, text, uuid, text, text, text) TO vault_etl_erase;
