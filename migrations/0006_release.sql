-- What an entry of the log releases: the one way to a ciphertext for a reader.

SET LOCAL ROLE vault_etl_owner;

-- The ciphertexts that one committed intent names, once, to the login that wrote it, within 60 s. A masked
-- reveal is released like another: the masking is the client's.
CREATE FUNCTION public.audit_release(intent_seq bigint) RETURNS TABLE (field text, ciphertext bytea)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    entry public.audit_log;
BEGIN
    SELECT * INTO entry FROM public.audit_log WHERE seq = intent_seq;
    -- A row that is visible and not of this transaction is committed; a savepoint changes nothing,
    -- since written_by is the top transaction's id.
    IF NOT FOUND OR entry.written_by = pg_current_xact_id()
        OR entry.phase <> 'intent' OR entry.decision <> 'allowed'
        OR entry.action NOT IN ('reveal', 'reveal masked', 'quarantine show')
        OR entry.login <> session_user
        OR clock_timestamp() NOT BETWEEN entry.logged_at - interval '60 s' AND entry.logged_at + interval '60 s'
    THEN
        RAISE EXCEPTION 'no committed intent of this login releases this' USING ERRCODE = 'insufficient_privilege';
    END IF;
    BEGIN
        INSERT INTO public.audit_released (seq) VALUES (intent_seq);
    EXCEPTION WHEN unique_violation THEN
        RAISE EXCEPTION 'this intent has had its release' USING ERRCODE = 'insufficient_privilege';
    END;
    IF entry.action = 'quarantine show' THEN
        RETURN QUERY
            SELECT 'quarantine'::text, q.body_ciphertext
            FROM public.quarantine AS q
            WHERE q.record_id = entry.record_id AND 'quarantine' = ANY (entry.fields);
    ELSE
        RETURN QUERY
            SELECT sealed.field, sealed.ciphertext
            FROM public.user_logins AS r,
                LATERAL (VALUES ('ip', r.ip_ciphertext), ('device_id', r.device_id_ciphertext))
                    AS sealed (field, ciphertext)
            WHERE r.record_id = entry.record_id AND sealed.field = ANY (entry.fields);
    END IF;
END
$$;
REVOKE ALL ON FUNCTION public.audit_release(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.audit_release(bigint) TO vault_etl_reveal;
