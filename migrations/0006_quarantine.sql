-- A look at a quarantined body is released like a field of a record, and what passes today's rules moves.

SET LOCAL ROLE vault_etl_owner;

-- As in 0004, and the body of a quarantined message against an intent to show it.
CREATE OR REPLACE FUNCTION public.audit_release(intent_seq bigint) RETURNS TABLE (field text, ciphertext bytea)
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
        OR entry.action NOT IN ('reveal', 'quarantine show')
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

-- How often the queue had handed the message out: many times, and it was not the message's fault alone.
ALTER TABLE public.quarantine ADD COLUMN receive_count integer NOT NULL DEFAULT 1 CHECK (receive_count > 0);
GRANT INSERT (receive_count) ON public.quarantine TO vault_etl_ingest;
GRANT SELECT (receive_count) ON public.quarantine TO vault_etl_reveal;

-- As in 0003, and who is slower may also find the new table's row type there already.
-- Makes the partition of a month, if it is not there: CREATE and ATTACH, which lock out no loader.
-- `month` is any day of it; two years back to three months ahead.
CREATE OR REPLACE FUNCTION public.ensure_partition(month date) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    first_day timestamp := date_trunc('month', month::timestamp);
    this_month timestamp := date_trunc('month', now() AT TIME ZONE 'UTC');
    partition_name text := 'user_logins_' || to_char(first_day, 'YYYY_MM');
BEGIN
    IF first_day NOT BETWEEN this_month - interval '24 months' AND this_month + interval '3 months' THEN
        RAISE EXCEPTION 'a partition is made for 24 months back to 3 months ahead'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF to_regclass(format('public.%I', partition_name)) IS NULL THEN
        EXECUTE format(
            'CREATE TABLE public.%I (LIKE public.user_logins INCLUDING DEFAULTS INCLUDING CONSTRAINTS)',
            partition_name
        );
        EXECUTE format(
            'ALTER TABLE public.user_logins ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
            partition_name,
            public.first_record_id(first_day AT TIME ZONE 'UTC'),
            public.first_record_id((first_day + interval '1 month') AT TIME ZONE 'UTC')
        );
    END IF;
    RETURN partition_name;
EXCEPTION WHEN duplicate_table OR duplicate_object OR unique_violation THEN
    RETURN partition_name;  -- another process was faster
END
$$;

-- `quarantine retry` stores what passes today, and takes it out of quarantine, in one transaction.
GRANT INSERT ON public.user_logins TO vault_etl_re_encrypt;
GRANT DELETE ON public.quarantine TO vault_etl_re_encrypt;
GRANT EXECUTE ON FUNCTION public.ensure_partition(date) TO vault_etl_re_encrypt;
