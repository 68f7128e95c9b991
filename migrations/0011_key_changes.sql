-- Changes of keys. Each change of a row of data_keys and the entry of the log that names it are one transaction. A login adds
-- active data keys by itself (0002_keys.sql); everything else that may happen to a key is a function here, or in
-- 0012_key_ends.sql.

SET LOCAL ROLE vault_etl_owner;

CREATE TABLE vault_etl.key_changes (
    seq bigint NOT NULL REFERENCES vault_etl.audit_log,
    key_id bigint NOT NULL,
    purpose text NOT NULL,
    field text NOT NULL,
    generation smallint,
    state text NOT NULL,
    fingerprint bytea NOT NULL,
    wrapped_key_sha256 bytea CHECK (length(wrapped_key_sha256) = 32),
    kms_key_arn text NOT NULL,
    PRIMARY KEY (key_id, seq)
);
COMMENT ON TABLE vault_etl.key_changes IS
    'What a key was after each change, under the seq of its entry, whose ticket is the SHA-256 of these rows '
    '(docs/formats.md).';
CREATE INDEX key_changes_seq ON vault_etl.key_changes (seq);
CREATE TRIGGER audit_is_append_only BEFORE UPDATE OR DELETE ON vault_etl.key_changes
    FOR EACH ROW EXECUTE FUNCTION vault_etl.audit_is_append_only();
CREATE TRIGGER audit_is_never_truncated BEFORE TRUNCATE ON vault_etl.key_changes
    FOR EACH STATEMENT EXECUTE FUNCTION vault_etl.audit_is_append_only();
GRANT SELECT ON vault_etl.key_changes TO vault_etl_audit;

CREATE FUNCTION vault_etl.unexplained_keys(key_ids bigint[]) RETURNS TABLE (key_id bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
        SELECT k.key_id
        FROM vault_etl.data_keys AS k
        LEFT JOIN LATERAL (
            SELECT * FROM vault_etl.key_changes AS c WHERE c.key_id = k.key_id ORDER BY c.seq DESC LIMIT 1
        ) AS said ON true
        WHERE (key_ids IS NULL OR k.key_id = ANY (key_ids)) AND CASE
            WHEN said.key_id IS NULL THEN (k.purpose, k.state) <> ('data', 'active')
            ELSE (k.purpose, k.field, k.generation, k.state, k.fingerprint, k.kms_key_arn, sha256(k.wrapped_key))
                IS DISTINCT FROM (
                    said.purpose, said.field, said.generation, said.state, said.fingerprint, said.kms_key_arn,
                    said.wrapped_key_sha256
                )
        END
        UNION
        SELECT c.key_id FROM vault_etl.key_changes AS c
        WHERE (key_ids IS NULL OR c.key_id = ANY (key_ids))
            AND NOT EXISTS (SELECT FROM vault_etl.data_keys AS k WHERE k.key_id = c.key_id)
        ORDER BY key_id;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.unexplained_keys(bigint[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault_etl.unexplained_keys(bigint[])
    TO vault_etl_ingest, vault_etl_reveal, vault_etl_rotate, vault_etl_re_encrypt, vault_etl_audit;
COMMENT ON FUNCTION vault_etl.unexplained_keys(bigint[]) IS
    'Returns the keys, of these ids or of all, that differ from what the log says: the newest entry does not '
    'name what the row holds, or no entry does, or the row is missing. A data key that was not changed since a '
    'login added it has no entry.';

CREATE FUNCTION vault_etl.key_change_write(
    action text, request_id uuid, actor text, host text, reason text, key_ids bigint[]
) RETURNS vault_etl.audit_log
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    became vault_etl.key_changes[];
    digest text;
    fields text[];
    intent vault_etl.audit_log;
BEGIN
    became := ARRAY(
        SELECT ROW(
            0, k.key_id, k.purpose, k.field, k.generation, k.state, k.fingerprint, sha256(k.wrapped_key), k.kms_key_arn
        )::vault_etl.key_changes
        FROM vault_etl.data_keys AS k WHERE k.key_id = ANY (key_ids)
    );
    SELECT
        encode(sha256(convert_to(E'vault-etl/1/key-changes\n' || string_agg(concat_ws(
            ' ', k.key_id, k.purpose, k.field, coalesce(k.generation::text, '-'), k.state,
            encode(k.fingerprint, 'hex'), coalesce(encode(k.wrapped_key_sha256, 'hex'), '-'), k.kms_key_arn
        ) || E'\n', '' ORDER BY k.key_id), 'UTF8')), 'hex'),
        coalesce(array_agg(DISTINCT k.field) FILTER (WHERE k.field <> 'source'), '{}')
    INTO digest, fields
    FROM unnest(became) AS k;
    intent := vault_etl.audit_write(
        request_id, 'intent', actor, host, action, NULL::uuid, fields, NULL, digest, reason, 'allowed', NULL
    );
    INSERT INTO vault_etl.key_changes (
        seq, key_id, purpose, field, generation, state, fingerprint, wrapped_key_sha256, kms_key_arn
    )
    SELECT
        intent.seq, k.key_id, k.purpose, k.field, k.generation, k.state, k.fingerprint, k.wrapped_key_sha256,
        k.kms_key_arn
    FROM unnest(became) AS k;
    RETURN vault_etl.audit_write(
        request_id, 'outcome', actor, host, action, NULL::uuid, fields, NULL, digest, reason, 'done', NULL
    );
END
$$;
REVOKE ALL ON FUNCTION vault_etl.key_change_write(text, uuid, text, text, text, bigint[]) FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.key_change_write(text, uuid, text, text, text, bigint[]) IS
    'Puts what these keys are now on the record: two entries, and a row for each key under the seq of the '
    'first. Called last in a transaction, which holds the turn to write the log from here to its commit. So '
    'everything that takes long comes before, above all the digests of keys.';

CREATE FUNCTION vault_etl.keys_changed(
    request_id uuid, actor text, host text, what text, key_ids bigint[]
) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF cardinality(key_ids) > 0 THEN
        PERFORM vault_etl.key_change_write(
            'keys change', gen_random_uuid(), actor, host,
            format(
                '%s: %s%s, for request %s', what, array_to_string(key_ids[:20], ', '),
                CASE WHEN cardinality(key_ids) > 20 THEN format(' and %s more', cardinality(key_ids) - 20) ELSE '' END,
                request_id
            ),
            key_ids
        );
    END IF;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.keys_changed(uuid, text, text, text, bigint[]) FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.keys_changed(uuid, text, text, text, bigint[]) IS
    'Puts a change on the record under an id of its own, in the words of the database. `request_id` is that of '
    'the command that asked for it.';

CREATE FUNCTION vault_etl.keys_insert(keys jsonb, new_state text) RETURNS bigint[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    added bigint[];
BEGIN
    WITH added_rows AS (
        INSERT INTO vault_etl.data_keys (
            key_id, purpose, field, generation, state, kms_key_arn, wrapped_key, fingerprint
        )
        SELECT
            k.key_id, k.purpose, k.field, k.generation, new_state, k.kms_key_arn, decode(k.wrapped_key, 'hex'),
            decode(k.fingerprint, 'hex')
        FROM jsonb_to_recordset(keys) AS k (
            key_id bigint, purpose text, field text, generation smallint, kms_key_arn text, wrapped_key text,
            fingerprint text
        )
        RETURNING key_id, purpose
    )
    SELECT array_agg(a.key_id ORDER BY a.key_id) INTO added FROM added_rows AS a;
    IF EXISTS (SELECT FROM vault_etl.data_keys AS d WHERE d.key_id = ANY (added) AND d.purpose = 'data') THEN
        RAISE EXCEPTION 'this function adds no data keys' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN added;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.keys_insert(jsonb, text) FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.keys_insert(jsonb, text) IS
    'Adds keys from a list of objects, with bytes in hex, and returns their ids. Raises for data keys, which '
    'the roles ingest and re-encrypt add.';

CREATE FUNCTION vault_etl.keys_init(request_id uuid, actor text, host text, keys jsonb) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    state_of record;
BEGIN
    PERFORM vault_etl.ensure_short_transaction();
    LOCK TABLE vault_etl.key_fence IN SHARE ROW EXCLUSIVE MODE;
    IF NOT EXISTS (SELECT FROM vault_etl.data_keys AS d WHERE d.purpose IN ('token', 'source')) THEN
        PERFORM vault_etl.keys_changed(request_id, actor, host, 'made active', vault_etl.keys_insert(keys, 'active'));
        RETURN true;
    END IF;
    IF EXISTS (
        SELECT FROM jsonb_array_elements(keys) AS k
        WHERE k.value ->> 'purpose' <> 'token' OR NOT EXISTS (
            SELECT FROM vault_etl.data_keys AS d
            WHERE d.purpose = 'token' AND d.state IN ('pending', 'active')
                AND d.generation = (k.value ->> 'generation')::smallint
        ) OR EXISTS (
            SELECT FROM vault_etl.data_keys AS d
            WHERE d.purpose = 'token' AND d.generation = (k.value ->> 'generation')::smallint
                AND d.field = k.value ->> 'field'
        )
    ) THEN
        RETURN false;
    END IF;
    FOR state_of IN
        SELECT g.state, jsonb_agg(k.value) AS keys
        FROM jsonb_array_elements(keys) AS k
        JOIN (
            SELECT DISTINCT d.generation, d.state FROM vault_etl.data_keys AS d
            WHERE d.purpose = 'token' AND d.state IN ('pending', 'active')
        ) AS g ON g.generation = (k.value ->> 'generation')::smallint
        GROUP BY g.state ORDER BY g.state
    LOOP
        PERFORM vault_etl.keys_changed(
            request_id, actor, host, 'made ' || state_of.state, vault_etl.keys_insert(state_of.keys, state_of.state)
        );
    END LOOP;
    RETURN true;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.keys_init(uuid, text, text, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault_etl.keys_init(uuid, text, text, jsonb) TO vault_etl_re_encrypt;
COMMENT ON FUNCTION vault_etl.keys_init(uuid, text, text, jsonb) IS
    'Adds the first keys of the vault, as active ones; later, token keys of new fields, in the state that their '
    'generation has. Returns false, and adds nothing, if one of them is there already, or if a generation is '
    'neither active nor pending.';
