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
--% for event in events

CREATE TABLE vault_etl.{{ event.name }} (
    record_id uuid NOT NULL,
    --% for column in event.plain if column.required
    {{ column.name }} {{ column.type }} NOT NULL{{ column.check }},
    --% endfor
    --% for token in event.tokens + event.next_tokens
    {{ token }} uuid,
    --% endfor
    --% for ciphertext in event.ciphertexts
    {{ ciphertext }} bytea,
    --% endfor
    token_generation smallint,
    next_token_generation smallint,
    --% for column in event.plain if not column.required
    {{ column.name }} {{ column.type }}{{ " NOT NULL" if column.is_day }}{{ column.check }},
    --% if column.moment
    {{ column.moment }} timestamptz,
    --% endif
    --% endfor
    PRIMARY KEY (record_id),
    --% for column in event.plain if column.moment
    CONSTRAINT {{ column.moment.plus("_is_of_the_day") }} CHECK (({{ column.moment }} AT TIME ZONE 'UTC')::date = {{ column.name }}),
    --% endfor
    --% for value in event.personal
    CONSTRAINT {{ value.name.plus("_is_sealed") }} CHECK (
        substring({{ value.ciphertext }} FOR 1) = '\x01'::bytea
        AND octet_length({{ value.ciphertext }}) >= 49 AND octet_length({{ value.ciphertext }}) <= {{ value.max_octets }}
        AND octet_length({{ value.ciphertext }}) % 16 = 1
    ),
    --% endfor
    CONSTRAINT tokens_of_one_generation CHECK (token_generation = 1)
) PARTITION BY RANGE (record_id);
COMMENT ON TABLE vault_etl.{{ event.name }} IS
    'Records of an event. {{ event.tokens | join(", ") }} are tokens made by the keys of token_generation, the columns '
    'next_… are tokens of a second generation beside them, and the columns …_ciphertext are the sealed '
    'originals. A cut-over swaps the names of the columns with and without next_. All of them are NULL after an '
    'erasure.';
COMMENT ON COLUMN vault_etl.{{ event.name }}.record_id IS
    'A UUIDv7 that is a function of the message (docs/formats.md). Its time names the partition.';
COMMENT ON COLUMN vault_etl.{{ event.name }}.{{ event.day }} IS
    'The day (UTC) of the event. The limits are those of Python.';
--% for column in event.plain if column.moment
COMMENT ON COLUMN vault_etl.{{ event.name }}.{{ column.moment }} IS
    'The moment that the event names. NULL if it names a day alone, or nothing.';
--% endfor
--% for value in event.personal
COMMENT ON CONSTRAINT {{ value.name.plus("_is_sealed") }} ON vault_etl.{{ event.name }} IS
    'Ciphertext format 1: 0x01, and 32 bytes beside the padded text. At most {{ value.max_bytes }} bytes of text, padded to {{ value.max_octets - 33 }}. '
    'The memory of a reader rests on this limit.';
--% endfor

-- The constraint tokens_of_one_generation keeps generations apart, since tokens of two generations join nothing. A cut-over
-- puts its own generation there. A month with tokens of another generation is not attached, and replication brings no such row.

--% for token in event.tokens + event.next_tokens
CREATE INDEX {{ event.name.plus("_" ~ token.raw) }} ON vault_etl.{{ event.name }} ({{ token }})
    WHERE {{ token }} IS NOT NULL;
--% endfor
CREATE INDEX {{ event.name.plus("_" ~ event.subject.raw) }} ON vault_etl.{{ event.name }} ({{ event.subject }});
COMMENT ON INDEX vault_etl.{{ event.name.plus("_" ~ event.subject.raw) }} IS
    'For an erasure of a user, and for an access to the records of one.';
CREATE INDEX {{ event.name.plus("_" ~ event.day.raw) }} ON vault_etl.{{ event.name }} ({{ event.day }});

CREATE TABLE vault_etl.{{ event.name.plus("_undated") }} PARTITION OF vault_etl.{{ event.name }}
    FOR VALUES FROM ('00000000-0000-0000-0000-000000000000') TO ('00000000-0001-0000-0000-000000000000')
    WITH (fillfactor = 80);
COMMENT ON TABLE vault_etl.{{ event.name.plus("_undated") }} IS 'The time 0: lines of a file whose day is unknown.';

CREATE VIEW vault_etl.{{ event.name.plus("_masked") }} AS
SELECT
    {{ event.shown | join(", ") }}
FROM vault_etl.{{ event.name }};
COMMENT ON VIEW vault_etl.{{ event.name.plus("_masked") }} IS
    'Records as analysts see them: tokens and plain columns, no ciphertext.';

GRANT INSERT ON vault_etl.{{ event.name }} TO vault_etl_ingest;
GRANT SELECT (record_id) ON vault_etl.{{ event.name }} TO vault_etl_ingest;

-- A rotation reads what it re-encrypts, and updates no plain column. No role changes tokens that are in use: an erasure
-- takes them away, and a cut-over lets those of next_… take their place.
GRANT SELECT ON vault_etl.{{ event.name }} TO vault_etl_re_encrypt;
GRANT UPDATE (
    {{ event.next_tokens | join(", ") }}, next_token_generation, {{ event.ciphertexts | join(", ") }}
) ON vault_etl.{{ event.name }} TO vault_etl_re_encrypt;
-- `quarantine retry` stores what passes today.
GRANT INSERT ON vault_etl.{{ event.name }} TO vault_etl_re_encrypt;

GRANT SELECT ON vault_etl.{{ event.name.plus("_masked") }} TO vault_etl_analyst;
GRANT SELECT (
    {{ event.shown | join(", ") }}
) ON vault_etl.{{ event.name }} TO vault_etl_analyst;
--% endfor

-- The guard. Whatever a login may INSERT or UPDATE, the database refuses rows that no worker of vault-etl writes: after
-- each statement a trigger checks all rows that it wrote. A login writes under active data keys of its own and of the right
-- field alone, and no row has tokens of a generation that is not in use. The error is 42501, which no value causes
-- (ingest would quarantine a row for others), so a worker that meets it stops.
--
-- Each trigger function takes the writer's lock of the fence first, in case the writer did not, and reads the keys in a
-- statement of its own, which sees what the lock was waited for. That needs READ COMMITTED. The lease of a key is compared
-- with the beginning of the transaction, so the guard accepts what the fence has accepted.
--
-- Variables begin with `_`, which no declared column does.
--
-- The owner is exempt, and so are the owner's functions, above all the erasure: WHEN is evaluated as the role that the
-- statement runs as. A restore and the apply of a replica run as the owner or fire no triggers.
--% for event in events

CREATE FUNCTION vault_etl.{{ event.name.plus("_inserted") }}() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s' AS $$
DECLARE
    _active smallint;
    _pending smallint;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'rows are written in READ COMMITTED' USING ERRCODE = 'insufficient_privilege';
    END IF;
    LOCK TABLE vault_etl.key_fence IN ROW EXCLUSIVE MODE;
    _active := (
        SELECT t.generation FROM vault_etl.data_keys AS t WHERE t.purpose = 'token' AND t.state = 'active' LIMIT 1
    );
    _pending := (
        SELECT t.generation FROM vault_etl.data_keys AS t WHERE t.purpose = 'token' AND t.state = 'pending' LIMIT 1
    );
    IF EXISTS (
        SELECT FROM (
            SELECT DISTINCT
                --% for value in event.personal
                substring(w.{{ value.ciphertext }} FROM 2 FOR 4) AS {{ value.name.plus("_key") }},
                --% if not value.required
                num_nonnulls({{ value.tokens | prefixed("w.") }}) AS {{ value.name.plus("_has") }},
                num_nonnulls({{ value.next_tokens | prefixed("w.") }}) AS {{ value.name.plus("_has_next") }},
                --% endif
                --% endfor
                --% if event.required
                num_nonnulls({{ event.required_tokens | prefixed("w.") }}) AS tokens,
                num_nonnulls({{ event.required_next_tokens | prefixed("w.") }}) AS next_tokens,
                --% endif
                w.token_generation, w.next_token_generation
            FROM written AS w
        ) AS kinds
        --% for value in event.personal
        LEFT JOIN vault_etl.data_keys AS of_{{ value.name.raw }}
            ON of_{{ value.name.raw }}.key_id = vault_etl.ciphertext_key_id('\x01'::bytea || kinds.{{ value.name.plus("_key") }})
            AND of_{{ value.name.raw }}.field = {{ value.field | literal }} AND of_{{ value.name.raw }}.purpose = 'data'
            AND of_{{ value.name.raw }}.state = 'active' AND of_{{ value.name.raw }}.created_by = session_user
            AND of_{{ value.name.raw }}.expires_at > now()
        --% endfor
        WHERE kinds.token_generation IS DISTINCT FROM _active OR kinds.next_token_generation IS DISTINCT FROM _pending
            --% if event.required
            OR kinds.tokens <> {{ event.required_tokens | length }}
            OR kinds.next_tokens <> CASE WHEN _pending IS NULL THEN 0 ELSE {{ event.required_tokens | length }} END
            --% endif
            --% for value in event.personal
            --% if value.required
            OR of_{{ value.name.raw }}.key_id IS NULL
            --% else
            OR (of_{{ value.name.raw }}.key_id IS NULL AND kinds.{{ value.name.plus("_key") }} IS NOT NULL)
            OR kinds.{{ value.name.plus("_has") }}
                <> CASE WHEN kinds.{{ value.name.plus("_key") }} IS NULL THEN 0 ELSE {{ value.tokens | length }} END
            OR kinds.{{ value.name.plus("_has_next") }} <> CASE
                WHEN kinds.{{ value.name.plus("_key") }} IS NULL OR _pending IS NULL THEN 0 ELSE {{ value.tokens | length }}
            END
            --% endif
            --% endfor
    ) THEN
        RAISE EXCEPTION 'a record is not under keys that this login may write under'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.{{ event.name.plus("_inserted") }}() FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.{{ event.name.plus("_inserted") }}() IS
    'Refuses a new record without the tokens and the ciphertext of a required value, and one that has a part of an '
    'optional value. Ciphertexts are under keys of this login. While a generation is pending, each value has its '
    'tokens in next_….';
CREATE TRIGGER {{ event.name.plus("_inserted") }} AFTER INSERT ON vault_etl.{{ event.name }}
    REFERENCING NEW TABLE AS written FOR EACH STATEMENT
    WHEN (NOT pg_has_role(current_user, 'vault_etl_owner', 'USAGE'))
    EXECUTE FUNCTION vault_etl.{{ event.name.plus("_inserted") }}();

CREATE FUNCTION vault_etl.{{ event.name.plus("_updated") }}() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s' AS $$
DECLARE
    _pending smallint;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'rows are written in READ COMMITTED' USING ERRCODE = 'insufficient_privilege';
    END IF;
    LOCK TABLE vault_etl.key_fence IN ROW EXCLUSIVE MODE;
    _pending := (
        SELECT t.generation FROM vault_etl.data_keys AS t WHERE t.purpose = 'token' AND t.state = 'pending' LIMIT 1
    );
    IF EXISTS (
        SELECT FROM (
            SELECT DISTINCT
                --% for value in event.personal
                w.{{ value.ciphertext }} IS DISTINCT FROM o.{{ value.ciphertext }} AS {{ value.name.plus("_changed") }},
                CASE WHEN w.{{ value.ciphertext }} IS DISTINCT FROM o.{{ value.ciphertext }}
                    AND o.{{ value.ciphertext }} IS NOT NULL THEN substring(w.{{ value.ciphertext }} FROM 2 FOR 4)
                END AS {{ value.name.plus("_key") }},
                --% endfor
                ({{ event.next_tokens | prefixed("w.") }}, w.next_token_generation)
                        IS DISTINCT FROM ({{ event.next_tokens | prefixed("o.") }}, o.next_token_generation)
                    AND num_nonnulls({{ event.next_tokens | prefixed("w.") }}, w.next_token_generation) > 0
                    AND ((w.next_token_generation = _pending) IS NOT TRUE OR o.token_generation IS NULL)
                    AS has_wrong_tokens
            FROM written AS w JOIN replaced AS o USING (record_id)
        ) AS kinds
        --% for value in event.personal
        LEFT JOIN vault_etl.data_keys AS of_{{ value.name.raw }}
            ON of_{{ value.name.raw }}.key_id = vault_etl.ciphertext_key_id('\x01'::bytea || kinds.{{ value.name.plus("_key") }})
            AND of_{{ value.name.raw }}.field = {{ value.field | literal }} AND of_{{ value.name.raw }}.purpose = 'data'
            AND of_{{ value.name.raw }}.state = 'active' AND of_{{ value.name.raw }}.created_by = session_user
            AND of_{{ value.name.raw }}.expires_at > now()
        --% endfor
        WHERE kinds.has_wrong_tokens
            --% for value in event.personal
            OR (kinds.{{ value.name.plus("_changed") }} AND of_{{ value.name.raw }}.key_id IS NULL)
            --% endfor
    ) THEN
        RAISE EXCEPTION 'this login may not make this change of a record' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.{{ event.name.plus("_updated") }}() FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.{{ event.name.plus("_updated") }}() IS
    'Refuses to fill a value that was erased, and a ciphertext under a key that this login may not write under. '
    'Tokens in next_… are taken away, or are of the pending generation.';
CREATE TRIGGER {{ event.name.plus("_updated") }} AFTER UPDATE ON vault_etl.{{ event.name }}
    REFERENCING OLD TABLE AS replaced NEW TABLE AS written FOR EACH STATEMENT
    WHEN (NOT pg_has_role(current_user, 'vault_etl_owner', 'USAGE'))
    EXECUTE FUNCTION vault_etl.{{ event.name.plus("_updated") }}();
--% endfor
