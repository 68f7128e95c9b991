-- The records, month by month, and the messages that could not be records.

SET LOCAL ROLE vault_etl_owner;

-- The key id of a ciphertext: bytes 1 to 4, big-endian (docs/formats.md). Its names are bound here and
-- now, so it needs no search_path of its own, with which it could not be inlined (4.6 times slower).
CREATE FUNCTION public.ciphertext_key_id(ciphertext bytea) RETURNS bigint
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN ('x' || lpad(encode(substring(ciphertext FROM 2 FOR 4), 'hex'), 16, '0'))::bit(64)::bigint;
REVOKE ALL ON FUNCTION public.ciphertext_key_id(bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.ciphertext_key_id(bytea) TO vault_etl_re_encrypt;

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
    -- The days that Python knows.
    create_date date NOT NULL CHECK (create_date BETWEEN '0001-01-01' AND '9999-12-31'),
    -- When the event says that it was; NULL if it names a day alone, or nothing.
    event_time timestamptz,
    PRIMARY KEY (record_id),
    CONSTRAINT event_time_is_of_the_day CHECK ((event_time AT TIME ZONE 'UTC')::date = create_date),
    -- Tokens of two generations join nothing. A cut-over puts the next generation here, and no month is attached, and no
    -- row comes in by replication, that was written under another one.
    CONSTRAINT tokens_of_one_generation CHECK (token_generation = 1),
    -- Ciphertext format 1 (docs/formats.md): 0x01, and 32 bytes more beside the padded text. At most 64 bytes
    -- of text, padded to 80; 256 code points of 4 bytes, padded to 1,040. A reader's memory rests on these.
    CONSTRAINT ip_is_sealed CHECK (
        substring(ip_ciphertext FOR 1) = '\x01'::bytea
        AND octet_length(ip_ciphertext) >= 49 AND octet_length(ip_ciphertext) <= 113
        AND octet_length(ip_ciphertext) % 16 = 1
    ),
    CONSTRAINT device_id_is_sealed CHECK (
        substring(device_id_ciphertext FOR 1) = '\x01'::bytea
        AND octet_length(device_id_ciphertext) >= 49 AND octet_length(device_id_ciphertext) <= 1073
        AND octet_length(device_id_ciphertext) % 16 = 1
    )
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
-- An erasure, and a look, of a user.
CREATE INDEX user_logins_user_id ON public.user_logins (user_id);
CREATE INDEX user_logins_create_date ON public.user_logins (create_date);

-- The time 0: lines of a file whose day nobody knows.
CREATE TABLE public.user_logins_undated PARTITION OF public.user_logins
    FOR VALUES FROM ('00000000-0000-0000-0000-000000000000') TO ('00000000-0001-0000-0000-000000000000')
    WITH (fillfactor = 80);

CREATE TABLE public.quarantine (
    record_id uuid PRIMARY KEY,
    reason_code text NOT NULL CHECK (reason_code ~ '^[a-z0-9_]{1,40}$'),
    path text NOT NULL CHECK (char_length(path) BETWEEN 1 AND 64),
    body_ciphertext bytea,
    quarantined_at timestamptz NOT NULL DEFAULT now(),
    -- How often the queue had handed the message out: many times, and it was not the message's fault alone.
    receive_count integer NOT NULL DEFAULT 1 CHECK (receive_count > 0),
    -- Which file the line is of, as its record id is made of it (0011_file_sources.sql); NULL: a message of a queue.
    source_id uuid,
    -- As in user_logins; a message of the queue, or a line of a file, has 1 MiB at most.
    CONSTRAINT body_is_sealed CHECK (
        substring(body_ciphertext FOR 1) = '\x01'::bytea
        AND octet_length(body_ciphertext) >= 49 AND octet_length(body_ciphertext) <= 1048625
        AND octet_length(body_ciphertext) % 16 = 1
    )
);
COMMENT ON TABLE public.quarantine IS 'Messages that could not be records: why, where, and the sealed body.';
CREATE INDEX quarantine_quarantined_at ON public.quarantine (quarantined_at);

-- Whether a message matches all that is not NULL: `source` is a file's source_id, or `queue`. Inlined, so indexes serve it.
CREATE FUNCTION public.quarantine_matches(
    its_reason_code text, its_quarantined_at timestamptz, its_source_id uuid,
    reason_code text, since timestamptz, until timestamptz, source text
) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (reason_code IS NULL OR its_reason_code = reason_code)
    AND (since IS NULL OR its_quarantined_at >= since) AND (until IS NULL OR its_quarantined_at < until)
    AND (source IS NULL OR coalesce(its_source_id::text, 'queue') = source);
REVOKE ALL ON FUNCTION public.quarantine_matches(
    text, timestamptz, uuid, text, timestamptz, timestamptz, text
) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.quarantine_matches(text, timestamptz, uuid, text, timestamptz, timestamptz, text)
    TO vault_etl_reveal, vault_etl_re_encrypt;

-- The first UUIDv7 of a moment: its milliseconds in the first 48 bits, zeros behind them.
CREATE FUNCTION public.first_record_id(moment timestamptz) RETURNS uuid
LANGUAGE sql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
    SELECT (lpad(to_hex((extract(epoch FROM moment) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
$$;
REVOKE ALL ON FUNCTION public.first_record_id(timestamptz) FROM PUBLIC;

-- Which record ids go to which partition, whoever made it and whatever its name: bounds decide. A partition whose
-- DETACH CONCURRENTLY is under way takes no rows.
CREATE FUNCTION public.partition_ranges()
RETURNS TABLE (partition text, first uuid, until uuid, detaching boolean)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT
        c.relname::text, coalesce(bounds[2], '00000000-0000-0000-0000-000000000000')::uuid,
        coalesce(bounds[4], 'ffffffff-ffff-ffff-ffff-ffffffffffff')::uuid, i.inhdetachpending
    FROM pg_inherits AS i
    JOIN pg_class AS c ON c.oid = i.inhrelid,
        LATERAL regexp_match(
            pg_get_expr(c.relpartbound, c.oid),
            $bounds$FROM \((MINVALUE|'([0-9a-f-]{36})')\) TO \((MAXVALUE|'([0-9a-f-]{36})')\)$bounds$
        ) AS bounds
    WHERE i.inhparent = 'public.user_logins'::regclass AND bounds IS NOT NULL
$$;
REVOKE ALL ON FUNCTION public.partition_ranges() FROM PUBLIC;

-- Months that take no rows any more: what is sent in one is quarantined as `month_closed`, and no partition is made
-- for it. The rows of a detached one are in the table `partition` of the schema vault_etl_detached. One that is archived
-- has its rows in the archive alone; one that is dropped has none.
CREATE TABLE public.closed_months (
    first uuid PRIMARY KEY,
    until uuid NOT NULL,
    partition text NOT NULL,
    closed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    dropped_at timestamptz,
    -- Where its archive is, an absolute path or s3://bucket/prefix; the SHA-256 of the manifest; when it was recorded.
    archive text CHECK (archive ~ '^(/|s3://)' AND char_length(archive) <= 300),
    archive_sha256 bytea CHECK (octet_length(archive_sha256) = 32),
    archived_at timestamptz,
    -- The first and the last day that its rows name; NULL while nothing has looked, or if it has no rows.
    earliest date,
    latest date,
    -- From when the rows of detached_changes count: another one whenever they are deleted or a table is made, and no second time.
    epoch uuid NOT NULL DEFAULT gen_random_uuid(),
    CONSTRAINT some_ids CHECK (first < until),
    CONSTRAINT whole_archive CHECK (num_nonnulls(archive, archive_sha256, archived_at) IN (0, 3)),
    CONSTRAINT nothing_of_a_dropped_one CHECK (dropped_at IS NULL OR archive IS NULL)
);
COMMENT ON TABLE public.closed_months IS
    'Ranges of record ids that are detached, archived or dropped: nothing is stored there.';
-- Not where an archive is: the function unattached_months says that to who may know.
GRANT SELECT (first, until) ON public.closed_months TO vault_etl_ingest, vault_etl_re_encrypt;

-- What an erasure could not take out of the archive of a closed month: of one record, or of all records of a user. A
-- restore applies it in the transaction that makes the table; a new archive of the month deletes it.
CREATE TABLE public.archived_erasures (
    first uuid NOT NULL REFERENCES public.closed_months ON DELETE CASCADE,
    record_id uuid,
    user_id text,
    erased_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT of_a_record_or_of_a_user CHECK (num_nonnulls(record_id, user_id) = 1),
    CONSTRAINT each_once UNIQUE NULLS NOT DISTINCT (first, record_id, user_id)
);
COMMENT ON TABLE public.archived_erasures IS 'What was erased and is in an archive all the same: a restore applies it.';

-- A row for each statement that changed rows of a detached month since its archive was recorded: an archive that is to be
-- recorded, or that a drop relies on, is of the rows that are there now if no row came in, in the same epoch of the month. No
-- two statements wait for each other.
CREATE TABLE public.detached_changes (
    first uuid NOT NULL REFERENCES public.closed_months ON DELETE CASCADE,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE public.detached_changes IS 'Changes of the rows of detached months that are not in their archives.';

-- The table of a partition, attached or not; NULL if there is none. One in `public` is that of a closed month until
-- `partitions detach` has put it away, which comes before any archive: later it is another table of the month's name.
CREATE FUNCTION public.partition_table(partition text) RETURNS regclass
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(
        to_regclass(format('vault_etl_detached.%I', $1)),
        CASE WHEN NOT EXISTS (
            SELECT FROM public.closed_months AS m WHERE m.partition = $1 AND m.archive IS NOT NULL
        ) THEN to_regclass(format('public.%I', $1)) END
    )
$$;
REVOKE ALL ON FUNCTION public.partition_table(text) FROM PUBLIC;

-- Makes the partition of a month, if it is not there: CREATE and ATTACH, which lock out no loader.
-- `month` is any day of it; two years back to three months ahead. The name of the partition that holds the month or a
-- part of it; NULL if there is none and none is made: the month is closed, or a table of its name is not attached.
CREATE FUNCTION public.ensure_partition(month date) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    first_day timestamp := date_trunc('month', month::timestamp);
    this_month timestamp := date_trunc('month', now() AT TIME ZONE 'UTC');
    partition_name text := 'user_logins_' || to_char(first_day, 'YYYY_MM');
    first_id uuid;
    end_id uuid;
    -- Looked for first: of a table that another process makes and attaches meanwhile, the bounds are seen below.
    is_there boolean := to_regclass(format('public.%I', partition_name)) IS NOT NULL;
BEGIN
    IF (first_day BETWEEN this_month - interval '24 months' AND this_month + interval '3 months') IS NOT TRUE THEN
        RAISE EXCEPTION 'a partition is made for 24 months back to 3 months ahead'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    first_id := public.first_record_id(first_day AT TIME ZONE 'UTC');
    end_id := public.first_record_id((first_day + interval '1 month') AT TIME ZONE 'UTC');
    IF EXISTS (SELECT FROM public.partition_ranges() AS r WHERE r.first < end_id AND r.until > first_id) THEN
        RETURN (
            SELECT r.partition FROM public.partition_ranges() AS r
            WHERE r.first < end_id AND r.until > first_id AND NOT r.detaching ORDER BY r.first LIMIT 1
        );
    END IF;
    IF is_there OR EXISTS (SELECT FROM public.closed_months AS m WHERE m.first < end_id AND m.until > first_id) THEN
        RETURN NULL;
    END IF;
    EXECUTE format(
        'CREATE TABLE public.%I (LIKE public.user_logins INCLUDING DEFAULTS INCLUDING CONSTRAINTS)'
        ' WITH (fillfactor = 80)',  -- room for the fifth of its rows that a rotation updates at once
        partition_name
    );
    EXECUTE format(
        'ALTER TABLE public.user_logins ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
        partition_name, first_id, end_id
    );
    RETURN partition_name;
-- Another process was faster: its table, that table's row type, or a partition with these bounds is there.
EXCEPTION WHEN duplicate_table OR duplicate_object OR unique_violation OR invalid_object_definition THEN
    RETURN (
        SELECT r.partition FROM public.partition_ranges() AS r
        WHERE r.first < end_id AND r.until > first_id AND NOT r.detaching ORDER BY r.first LIMIT 1
    );
END
$$;
REVOKE ALL ON FUNCTION public.ensure_partition(date) FROM PUBLIC;

SELECT public.ensure_partition((now() AT TIME ZONE 'UTC' + make_interval(months => ahead))::date)
FROM generate_series(-2, 3) AS ahead;

-- What analysts see: tokens and plain columns.
CREATE VIEW public.user_logins_masked AS
SELECT
    record_id, user_id, device_type, masked_ip, masked_device_id, locale, app_version, create_date, event_time
FROM public.user_logins;

GRANT INSERT ON public.user_logins TO vault_etl_ingest;
GRANT INSERT (record_id, reason_code, path, body_ciphertext, receive_count, source_id) ON public.quarantine
    TO vault_etl_ingest;
GRANT SELECT (record_id) ON public.user_logins, public.quarantine TO vault_etl_ingest;
GRANT EXECUTE ON FUNCTION public.ensure_partition(date) TO vault_etl_ingest, vault_etl_re_encrypt;
GRANT EXECUTE ON FUNCTION public.partition_ranges(), public.first_record_id(timestamptz) TO
    vault_etl_ingest, vault_etl_reveal, vault_etl_rotate, vault_etl_re_encrypt, vault_etl_erase, vault_etl_audit,
    vault_etl_analyst;

-- Why and where, and nothing of a message. Of a record a reader sees what an entry of the log releases.
GRANT SELECT (record_id, reason_code, path, quarantined_at, receive_count, source_id) ON public.quarantine
    TO vault_etl_reveal;

-- What a rotation makes again, and no plain column. Tokens that are in use are changed by nobody: an erasure
-- takes them away, a cut-over lets those of next_* take their place.
GRANT SELECT ON public.user_logins, public.quarantine TO vault_etl_re_encrypt;
GRANT UPDATE (
    next_masked_ip, next_masked_device_id, next_token_generation, ip_ciphertext, device_id_ciphertext
) ON public.user_logins TO vault_etl_re_encrypt;
GRANT UPDATE (body_ciphertext) ON public.quarantine TO vault_etl_re_encrypt;

GRANT SELECT ON public.user_logins_masked TO vault_etl_analyst;
GRANT SELECT (
    record_id, user_id, device_type, masked_ip, masked_device_id, locale, app_version, create_date, event_time
) ON public.user_logins TO vault_etl_analyst;

-- `quarantine retry` stores what passes today, and takes it out of quarantine, in one transaction.
GRANT INSERT ON public.user_logins TO vault_etl_re_encrypt;
GRANT DELETE ON public.quarantine TO vault_etl_re_encrypt;

-- What no worker of ours writes is refused, whatever the login may INSERT or UPDATE: after each statement the
-- rows that it wrote are looked at together. Nobody writes under a key that is not active, not of that field,
-- or another login's, and no row has tokens of a generation that is not in use. 42501 is no value's fault
-- (records/write_batch.py would quarantine a row for that), so a worker of ours that meets it stops.
--
-- Each of them takes the writer's lock of the fence first, for whoever did not, and looks in a statement of its
-- own: that sees what the lock was waited for, in READ COMMITTED and no stricter level. A key's lease is compared
-- with the beginning of the transaction, so that what the fence has let pass is not refused here.
--
-- The owner is exempt, and so are its functions, above all the erasure: the triggers' WHEN is asked as whoever
-- the statement runs as. A restore and a replica's apply are the owner's or fire no triggers.

-- New records: both tokens, both ciphertexts, and the twins of the tokens while a generation is pending.
CREATE FUNCTION public.user_logins_inserted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s' AS $$
DECLARE
    active smallint;
    pending smallint;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'rows are written in READ COMMITTED' USING ERRCODE = 'insufficient_privilege';
    END IF;
    LOCK TABLE public.key_fence IN ROW EXCLUSIVE MODE;
    active := (
        SELECT t.generation FROM public.data_keys AS t WHERE t.purpose = 'token' AND t.state = 'active' LIMIT 1
    );
    pending := (
        SELECT t.generation FROM public.data_keys AS t WHERE t.purpose = 'token' AND t.state = 'pending' LIMIT 1
    );
    IF EXISTS (
        SELECT FROM (
            SELECT DISTINCT
                substring(ip_ciphertext FROM 2 FOR 4) AS ip_key,
                substring(device_id_ciphertext FROM 2 FOR 4) AS device_id_key,
                token_generation, next_token_generation,
                num_nonnulls(masked_ip, masked_device_id) AS tokens,
                num_nonnulls(next_masked_ip, next_masked_device_id) AS next_tokens
            FROM written
        ) AS kinds
        LEFT JOIN public.data_keys AS ip ON ip.key_id = public.ciphertext_key_id('\x01'::bytea || ip_key)
            AND ip.field = 'ip' AND ip.purpose = 'data' AND ip.state = 'active'
            AND ip.created_by = session_user AND ip.expires_at > now()
        LEFT JOIN public.data_keys AS device_id
            ON device_id.key_id = public.ciphertext_key_id('\x01'::bytea || device_id_key)
            AND device_id.field = 'device_id' AND device_id.purpose = 'data' AND device_id.state = 'active'
            AND device_id.created_by = session_user AND device_id.expires_at > now()
        WHERE ip.key_id IS NULL OR device_id.key_id IS NULL
            OR token_generation IS DISTINCT FROM active OR next_token_generation IS DISTINCT FROM pending
            OR tokens <> 2 OR next_tokens <> CASE WHEN pending IS NULL THEN 0 ELSE 2 END
    ) THEN
        RAISE EXCEPTION 'a record is not under keys that this login may write under'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION public.user_logins_inserted() FROM PUBLIC;

-- A ciphertext is replaced by another one, and what was erased is not filled again. Next tokens are taken away,
-- or are of the pending generation.
CREATE FUNCTION public.user_logins_updated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s' AS $$
DECLARE
    pending smallint;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'rows are written in READ COMMITTED' USING ERRCODE = 'insufficient_privilege';
    END IF;
    LOCK TABLE public.key_fence IN ROW EXCLUSIVE MODE;
    pending := (
        SELECT t.generation FROM public.data_keys AS t WHERE t.purpose = 'token' AND t.state = 'pending' LIMIT 1
    );
    IF EXISTS (
        SELECT FROM (
            SELECT DISTINCT
                substring(w.ip_ciphertext FROM 2 FOR 4) AS key, 'ip' AS field, o.ip_ciphertext IS NULL AS was_erased
            FROM written AS w JOIN replaced AS o USING (record_id)
            WHERE w.ip_ciphertext IS DISTINCT FROM o.ip_ciphertext
            UNION ALL
            SELECT DISTINCT
                substring(w.device_id_ciphertext FROM 2 FOR 4), 'device_id', o.device_id_ciphertext IS NULL
            FROM written AS w JOIN replaced AS o USING (record_id)
            WHERE w.device_id_ciphertext IS DISTINCT FROM o.device_id_ciphertext
        ) AS swapped
        WHERE was_erased OR NOT EXISTS (
            SELECT FROM public.data_keys AS k
            WHERE k.key_id = public.ciphertext_key_id('\x01'::bytea || swapped.key) AND k.field = swapped.field
                AND k.purpose = 'data' AND k.state = 'active' AND k.created_by = session_user
                AND k.expires_at > now()
        )
    ) OR EXISTS (
        SELECT FROM written AS w JOIN replaced AS o USING (record_id)
        WHERE (w.next_masked_ip, w.next_masked_device_id, w.next_token_generation)
                IS DISTINCT FROM (o.next_masked_ip, o.next_masked_device_id, o.next_token_generation)
            AND num_nonnulls(w.next_masked_ip, w.next_masked_device_id, w.next_token_generation) > 0
            AND ((w.next_token_generation = pending) IS NOT TRUE OR o.token_generation IS NULL)
    ) THEN
        RAISE EXCEPTION 'a record is not changed so by this login' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION public.user_logins_updated() FROM PUBLIC;

CREATE FUNCTION public.quarantine_inserted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s' AS $$
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'rows are written in READ COMMITTED' USING ERRCODE = 'insufficient_privilege';
    END IF;
    LOCK TABLE public.key_fence IN ROW EXCLUSIVE MODE;
    IF EXISTS (
        SELECT FROM (SELECT DISTINCT substring(body_ciphertext FROM 2 FOR 4) AS key FROM written) AS used
        WHERE NOT EXISTS (
            SELECT FROM public.data_keys AS k
            WHERE k.key_id = public.ciphertext_key_id('\x01'::bytea || used.key) AND k.field = 'quarantine'
                AND k.purpose = 'data' AND k.state = 'active' AND k.created_by = session_user
                AND k.expires_at > now()
        )
    ) THEN
        RAISE EXCEPTION 'a body is not under a key that this login may write under'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION public.quarantine_inserted() FROM PUBLIC;

CREATE FUNCTION public.quarantine_updated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s' AS $$
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'rows are written in READ COMMITTED' USING ERRCODE = 'insufficient_privilege';
    END IF;
    LOCK TABLE public.key_fence IN ROW EXCLUSIVE MODE;
    IF EXISTS (
        SELECT FROM written AS w JOIN replaced AS o USING (record_id)
        WHERE w.body_ciphertext IS DISTINCT FROM o.body_ciphertext AND (
            o.body_ciphertext IS NULL
            OR NOT EXISTS (
                SELECT FROM public.data_keys AS k
                WHERE k.key_id = public.ciphertext_key_id(w.body_ciphertext)
                    AND k.field = 'quarantine' AND k.purpose = 'data' AND k.state = 'active' AND k.created_by = session_user
                    AND k.expires_at > now()
            )
        )
    ) THEN
        RAISE EXCEPTION 'a body is not changed so by this login' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION public.quarantine_updated() FROM PUBLIC;

CREATE TRIGGER user_logins_inserted AFTER INSERT ON public.user_logins
    REFERENCING NEW TABLE AS written FOR EACH STATEMENT
    WHEN (NOT pg_has_role(current_user, 'vault_etl_owner', 'USAGE'))
    EXECUTE FUNCTION public.user_logins_inserted();
CREATE TRIGGER user_logins_updated AFTER UPDATE ON public.user_logins
    REFERENCING OLD TABLE AS replaced NEW TABLE AS written FOR EACH STATEMENT
    WHEN (NOT pg_has_role(current_user, 'vault_etl_owner', 'USAGE'))
    EXECUTE FUNCTION public.user_logins_updated();
CREATE TRIGGER quarantine_inserted AFTER INSERT ON public.quarantine
    REFERENCING NEW TABLE AS written FOR EACH STATEMENT
    WHEN (NOT pg_has_role(current_user, 'vault_etl_owner', 'USAGE'))
    EXECUTE FUNCTION public.quarantine_inserted();
CREATE TRIGGER quarantine_updated AFTER UPDATE ON public.quarantine
    REFERENCING OLD TABLE AS replaced NEW TABLE AS written FOR EACH STATEMENT
    WHEN (NOT pg_has_role(current_user, 'vault_etl_owner', 'USAGE'))
    EXECUTE FUNCTION public.quarantine_updated();
