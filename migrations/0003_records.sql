-- The records: one table by month of the record id, the analysts' view, and the guard of what a login writes.

SET LOCAL ROLE vault_etl_owner;

-- Its names are bound when it is created, so it needs no search_path. With one it could not be inlined (4.6 times slower).
CREATE FUNCTION vault_etl.ciphertext_key_id(ciphertext bytea) RETURNS bigint
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN ('x' || lpad(encode(substring(ciphertext FROM 2 FOR 4), 'hex'), 16, '0'))::bit(64)::bigint;
REVOKE ALL ON FUNCTION vault_etl.ciphertext_key_id(bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault_etl.ciphertext_key_id(bytea) TO vault_etl_re_encrypt;
COMMENT ON FUNCTION vault_etl.ciphertext_key_id(bytea) IS
    'Returns the key id of a ciphertext: bytes 1 to 4, big-endian (docs/formats.md).';

CREATE TABLE vault_etl.user_logins (
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
    create_date date NOT NULL CHECK (create_date BETWEEN '0001-01-01' AND '9999-12-31'),
    event_time timestamptz,
    PRIMARY KEY (record_id),
    CONSTRAINT event_time_is_of_the_day CHECK ((event_time AT TIME ZONE 'UTC')::date = create_date),
    CONSTRAINT tokens_of_one_generation CHECK (token_generation = 1),
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
COMMENT ON TABLE vault_etl.user_logins IS
    'Login events. masked_ip and masked_device_id are tokens made by the keys of token_generation, the columns '
    'next_… are tokens of a second generation beside them, and the columns …_ciphertext are the sealed '
    'originals. A cut-over swaps the names of the columns with and without next_. All eight are NULL after an '
    'erasure.';
COMMENT ON COLUMN vault_etl.user_logins.record_id IS
    'A UUIDv7 that is a function of the message (docs/formats.md). Its time names the partition.';
COMMENT ON COLUMN vault_etl.user_logins.create_date IS
    'The day (UTC) of the event. The limits are those of Python.';
COMMENT ON COLUMN vault_etl.user_logins.event_time IS
    'The moment that the event names. NULL if it names a day alone, or nothing.';
COMMENT ON CONSTRAINT ip_is_sealed ON vault_etl.user_logins IS
    'Ciphertext format 1: 0x01, and 32 bytes beside the padded text. At most 64 bytes of text, padded to 80. '
    'The memory of a reader rests on this limit.';
COMMENT ON CONSTRAINT device_id_is_sealed ON vault_etl.user_logins IS
    'Ciphertext format 1: 0x01, and 32 bytes beside the padded text. At most 256 code points of 4 bytes, padded '
    'to 1,040. The memory of a reader rests on this limit.';

-- The constraint tokens_of_one_generation keeps generations apart, since tokens of two generations join nothing. A cut-over
-- puts its own generation there. A month with tokens of another generation is not attached, and replication brings no such row.

CREATE INDEX user_logins_masked_ip ON vault_etl.user_logins (masked_ip)
    WHERE masked_ip IS NOT NULL;
CREATE INDEX user_logins_masked_device_id ON vault_etl.user_logins (masked_device_id)
    WHERE masked_device_id IS NOT NULL;
CREATE INDEX user_logins_next_masked_ip ON vault_etl.user_logins (next_masked_ip)
    WHERE next_masked_ip IS NOT NULL;
CREATE INDEX user_logins_next_masked_device_id ON vault_etl.user_logins (next_masked_device_id)
    WHERE next_masked_device_id IS NOT NULL;
CREATE INDEX user_logins_user_id ON vault_etl.user_logins (user_id);
COMMENT ON INDEX vault_etl.user_logins_user_id IS
    'For an erasure of a user, and for an access to the records of one.';
CREATE INDEX user_logins_create_date ON vault_etl.user_logins (create_date);

CREATE TABLE vault_etl.user_logins_undated PARTITION OF vault_etl.user_logins
    FOR VALUES FROM ('00000000-0000-0000-0000-000000000000') TO ('00000000-0001-0000-0000-000000000000')
    WITH (fillfactor = 80);
COMMENT ON TABLE vault_etl.user_logins_undated IS 'The time 0: lines of a file whose day is unknown.';

CREATE VIEW vault_etl.user_logins_masked AS
SELECT
    record_id, user_id, device_type, masked_ip, masked_device_id, locale, app_version, create_date, event_time
FROM vault_etl.user_logins;
COMMENT ON VIEW vault_etl.user_logins_masked IS
    'Records as analysts see them: tokens and plain columns, no ciphertext.';

GRANT INSERT ON vault_etl.user_logins TO vault_etl_ingest;
GRANT SELECT (record_id) ON vault_etl.user_logins TO vault_etl_ingest;

-- A rotation reads what it re-encrypts, and updates no plain column. No role changes tokens that are in use: an erasure
-- takes them away, and a cut-over lets those of next_… take their place.
GRANT SELECT ON vault_etl.user_logins TO vault_etl_re_encrypt;
GRANT UPDATE (
    next_masked_ip, next_masked_device_id, next_token_generation, ip_ciphertext, device_id_ciphertext
) ON vault_etl.user_logins TO vault_etl_re_encrypt;
-- `quarantine retry` stores what passes today.
GRANT INSERT ON vault_etl.user_logins TO vault_etl_re_encrypt;

GRANT SELECT ON vault_etl.user_logins_masked TO vault_etl_analyst;
GRANT SELECT (
    record_id, user_id, device_type, masked_ip, masked_device_id, locale, app_version, create_date, event_time
) ON vault_etl.user_logins TO vault_etl_analyst;

-- The guard. Whatever a login may INSERT or UPDATE, the database refuses rows that no worker of vault-etl writes: after
-- each statement a trigger checks all rows that it wrote. A login writes under active data keys of its own and of the right
-- field alone, and no row has tokens of a generation that is not in use. The error is 42501, which no value causes
-- (ingest would quarantine a row for others), so a worker that meets it stops.
--
-- Each trigger function takes the writer's lock of the fence first, in case the writer did not, and reads the keys in a
-- statement of its own, which sees what the lock was waited for. That needs READ COMMITTED. The lease of a key is compared
-- with the beginning of the transaction, so the guard accepts what the fence has accepted.
--
-- The owner is exempt, and so are the owner's functions, above all the erasure: WHEN is evaluated as the role that the
-- statement runs as. A restore and the apply of a replica run as the owner or fire no triggers.

CREATE FUNCTION vault_etl.user_logins_inserted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s' AS $$
DECLARE
    active smallint;
    pending smallint;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'rows are written in READ COMMITTED' USING ERRCODE = 'insufficient_privilege';
    END IF;
    LOCK TABLE vault_etl.key_fence IN ROW EXCLUSIVE MODE;
    active := (
        SELECT t.generation FROM vault_etl.data_keys AS t WHERE t.purpose = 'token' AND t.state = 'active' LIMIT 1
    );
    pending := (
        SELECT t.generation FROM vault_etl.data_keys AS t WHERE t.purpose = 'token' AND t.state = 'pending' LIMIT 1
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
        LEFT JOIN vault_etl.data_keys AS ip ON ip.key_id = vault_etl.ciphertext_key_id('\x01'::bytea || ip_key)
            AND ip.field = 'ip' AND ip.purpose = 'data' AND ip.state = 'active'
            AND ip.created_by = session_user AND ip.expires_at > now()
        LEFT JOIN vault_etl.data_keys AS device_id
            ON device_id.key_id = vault_etl.ciphertext_key_id('\x01'::bytea || device_id_key)
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
REVOKE ALL ON FUNCTION vault_etl.user_logins_inserted() FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.user_logins_inserted() IS
    'Refuses a new record without both tokens, both ciphertexts under keys of this login, and, while a '
    'generation is pending, its tokens in next_….';
CREATE TRIGGER user_logins_inserted AFTER INSERT ON vault_etl.user_logins
    REFERENCING NEW TABLE AS written FOR EACH STATEMENT
    WHEN (NOT pg_has_role(current_user, 'vault_etl_owner', 'USAGE'))
    EXECUTE FUNCTION vault_etl.user_logins_inserted();

CREATE FUNCTION vault_etl.user_logins_updated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s' AS $$
DECLARE
    pending smallint;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'rows are written in READ COMMITTED' USING ERRCODE = 'insufficient_privilege';
    END IF;
    LOCK TABLE vault_etl.key_fence IN ROW EXCLUSIVE MODE;
    pending := (
        SELECT t.generation FROM vault_etl.data_keys AS t WHERE t.purpose = 'token' AND t.state = 'pending' LIMIT 1
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
            SELECT FROM vault_etl.data_keys AS k
            WHERE k.key_id = vault_etl.ciphertext_key_id('\x01'::bytea || swapped.key) AND k.field = swapped.field
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
        RAISE EXCEPTION 'this login may not make this change of a record' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.user_logins_updated() FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.user_logins_updated() IS
    'Refuses to fill a value that was erased, and a ciphertext under a key that this login may not write under. '
    'Tokens in next_… are taken away, or are of the pending generation.';
CREATE TRIGGER user_logins_updated AFTER UPDATE ON vault_etl.user_logins
    REFERENCING OLD TABLE AS replaced NEW TABLE AS written FOR EACH STATEMENT
    WHEN (NOT pg_has_role(current_user, 'vault_etl_owner', 'USAGE'))
    EXECUTE FUNCTION vault_etl.user_logins_updated();
