-- The records, month by month, and the messages that could not be records.

SET LOCAL ROLE vault_etl_owner;

CREATE TABLE public.user_logins (
    record_id uuid NOT NULL,
    user_id text NOT NULL CHECK (char_length(user_id) BETWEEN 1 AND 128),
    device_type text NOT NULL CHECK (char_length(device_type) BETWEEN 1 AND 32),
    masked_ip uuid,
    masked_device_id uuid,
    next_masked_ip uuid,
    next_masked_device_id uuid,
    ip_ciphertext bytea,
    device_id_ciphertext bytea,
    token_generation smallint,
    next_token_generation smallint,
    locale text CHECK (char_length(locale) <= 32),
    app_version text CHECK (char_length(app_version) <= 32),
    create_date date NOT NULL,
    PRIMARY KEY (record_id)
) PARTITION BY RANGE (record_id);

COMMENT ON TABLE public.user_logins IS 'Login events. masked_* are tokens, *_ciphertext the sealed originals.';

CREATE INDEX user_logins_masked_ip ON public.user_logins (masked_ip)
    WHERE masked_ip IS NOT NULL;
CREATE INDEX user_logins_masked_device_id ON public.user_logins (masked_device_id)
    WHERE masked_device_id IS NOT NULL;
CREATE INDEX user_logins_next_masked_ip ON public.user_logins (next_masked_ip)
    WHERE next_masked_ip IS NOT NULL;
CREATE INDEX user_logins_next_masked_device_id ON public.user_logins (next_masked_device_id)
    WHERE next_masked_device_id IS NOT NULL;
CREATE INDEX user_logins_create_date ON public.user_logins (create_date);

-- The time 0: lines of a file whose day nobody knows.
CREATE TABLE public.user_logins_undated PARTITION OF public.user_logins
    FOR VALUES FROM ('00000000-0000-0000-0000-000000000000') TO ('00000000-0001-0000-0000-000000000000');

CREATE TABLE public.quarantine (
    record_id uuid PRIMARY KEY,
    reason_code text NOT NULL CHECK (reason_code ~ '^[a-z0-9_]{1,40}$'),
    path text NOT NULL CHECK (char_length(path) BETWEEN 1 AND 64),
    body_ciphertext bytea,
    quarantined_at timestamptz NOT NULL DEFAULT now(),
    -- How often the queue had handed the message out: many times, and it was not the message's fault alone.
    receive_count integer NOT NULL DEFAULT 1 CHECK (receive_count > 0)
);
COMMENT ON TABLE public.quarantine IS 'Messages that could not be records: why, where, and the sealed body.';
CREATE INDEX quarantine_quarantined_at ON public.quarantine (quarantined_at);

-- The first UUIDv7 of a moment: its milliseconds in the first 48 bits, zeros behind them.
CREATE FUNCTION public.first_record_id(moment timestamptz) RETURNS uuid
LANGUAGE sql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
    SELECT (lpad(to_hex((extract(epoch FROM moment) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
$$;
REVOKE ALL ON FUNCTION public.first_record_id(timestamptz) FROM PUBLIC;

-- Makes the partition of a month, if it is not there: CREATE and ATTACH, which lock out no loader.
-- `month` is any day of it; two years back to three months ahead.
CREATE FUNCTION public.ensure_partition(month date) RETURNS text
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
    RETURN partition_name;  -- another process was faster: its table, or that table's row type, is there
END
$$;
REVOKE ALL ON FUNCTION public.ensure_partition(date) FROM PUBLIC;

SELECT public.ensure_partition((now() AT TIME ZONE 'UTC' + make_interval(months => ahead))::date)
FROM generate_series(-2, 3) AS ahead;

-- What analysts see: tokens and plain columns.
CREATE VIEW public.user_logins_masked AS
SELECT record_id, user_id, device_type, masked_ip, masked_device_id, locale, app_version, create_date
FROM public.user_logins;

GRANT INSERT ON public.user_logins TO vault_etl_ingest;
GRANT INSERT (record_id, reason_code, path, body_ciphertext, receive_count) ON public.quarantine TO vault_etl_ingest;
GRANT SELECT (record_id) ON public.user_logins, public.quarantine TO vault_etl_ingest;
GRANT EXECUTE ON FUNCTION public.ensure_partition(date) TO vault_etl_ingest, vault_etl_re_encrypt;

-- Why and where, and nothing of a message. Of a record a reader sees what an entry of the log releases.
GRANT SELECT (record_id, reason_code, path, quarantined_at, receive_count) ON public.quarantine
    TO vault_etl_reveal;

-- What a rotation makes anew, and no plain column: whose event it was stands.
GRANT SELECT ON public.user_logins, public.quarantine TO vault_etl_re_encrypt;
GRANT UPDATE (
    masked_ip, masked_device_id, next_masked_ip, next_masked_device_id, ip_ciphertext,
    device_id_ciphertext, token_generation, next_token_generation
) ON public.user_logins TO vault_etl_re_encrypt;
GRANT UPDATE (body_ciphertext) ON public.quarantine TO vault_etl_re_encrypt;

GRANT SELECT ON public.user_logins_masked TO vault_etl_analyst;
GRANT SELECT (
    record_id, user_id, device_type, masked_ip, masked_device_id, locale, app_version, create_date
) ON public.user_logins TO vault_etl_analyst;

-- `quarantine retry` stores what passes today, and takes it out of quarantine, in one transaction.
GRANT INSERT ON public.user_logins TO vault_etl_re_encrypt;
GRANT DELETE ON public.quarantine TO vault_etl_re_encrypt;
