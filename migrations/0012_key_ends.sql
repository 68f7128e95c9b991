-- How keys are retired, destroyed and rewrapped: each with its entry, by keys_changed (0011_key_changes.sql).

SET LOCAL ROLE vault_etl_owner;

CREATE FUNCTION vault_etl.data_keys_retire(
    request_id uuid, actor text, host text, fields text[], expired boolean
) RETURNS SETOF bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    retired bigint[];
BEGIN
    PERFORM vault_etl.ensure_short_transaction();
    IF cardinality(fields) > 40 THEN  -- each key is compared with each field
        RAISE EXCEPTION 'a vault has fewer fields' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    LOCK TABLE vault_etl.key_fence IN SHARE ROW EXCLUSIVE MODE;
    retired := ARRAY(
        SELECT d.key_id FROM vault_etl.data_keys AS d
        WHERE d.purpose = 'data' AND d.state = 'active' AND d.field = ANY (fields)
            AND (NOT expired OR d.created_at <= clock_timestamp() - interval '25 hours')
        ORDER BY d.created_at LIMIT CASE WHEN expired THEN 5000 END
    );
    UPDATE vault_etl.data_keys AS d SET state = 'decrypt_only' WHERE d.key_id = ANY (retired) AND d.state = 'active';
    PERFORM vault_etl.keys_changed(request_id, actor, host, 'retired', retired);
    RETURN QUERY SELECT unnest(retired) ORDER BY 1;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.data_keys_retire(uuid, text, text, text[], boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault_etl.data_keys_retire(uuid, text, text, text[], boolean)
    TO vault_etl_rotate, vault_etl_re_encrypt;
COMMENT ON FUNCTION vault_etl.data_keys_retire(uuid, text, text, text[], boolean) IS
    'Retires active data keys of these fields, and returns their ids. With `expired`: the 5,000 oldest of those '
    'whose lease must be over, and the caller asks until none remain, because more in one transaction would '
    'hold the log for too long. Without it: all, whose number data_keys_are_few limits.';

CREATE FUNCTION vault_etl.data_keys_retire_expired(
    request_id uuid, actor text, host text, key_ids bigint[], declaration bytea
) RETURNS SETOF bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    retired bigint[];
BEGIN
    PERFORM vault_etl.ensure_short_transaction();
    IF cardinality(key_ids) > 5000 THEN  -- each key is looked up while no process writes
        RAISE EXCEPTION 'too many keys to retire at once' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    LOCK TABLE vault_etl.key_fence IN SHARE ROW EXCLUSIVE MODE;
    PERFORM vault_etl.ensure_declared(declaration);
    WITH changed AS (
        UPDATE vault_etl.data_keys AS d SET state = 'decrypt_only'
        WHERE d.key_id = ANY (key_ids) AND d.purpose = 'data' AND d.state = 'active'
            AND d.expires_at <= clock_timestamp()
        RETURNING d.key_id
    )
    SELECT array_agg(c.key_id ORDER BY c.key_id) INTO retired FROM changed AS c;
    PERFORM vault_etl.keys_changed(request_id, actor, host, 'retired after the lease', retired);
    RETURN QUERY SELECT unnest(retired);
END
$$;
REVOKE ALL ON FUNCTION vault_etl.data_keys_retire_expired(uuid, text, text, bigint[], bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault_etl.data_keys_retire_expired(uuid, text, text, bigint[], bytea)
    TO vault_etl_rotate, vault_etl_re_encrypt;
COMMENT ON FUNCTION vault_etl.data_keys_retire_expired(uuid, text, text, bigint[], bytea) IS
    'Retires those of these data keys whose lease is over by the clock of the database, and returns their ids. '
    'Leaves a key whose lease runs, and one that is not active.';

CREATE FUNCTION vault_etl.keys_destroy(
    request_id uuid, actor text, host text, key_ids bigint[], declaration bytea
) RETURNS SETOF bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    destroyed bigint[];
BEGIN
    PERFORM vault_etl.ensure_short_transaction();
    IF cardinality(key_ids) > 100000 THEN  -- each key is looked up while no process writes
        RAISE EXCEPTION 'too many keys to destroy at once' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    LOCK TABLE vault_etl.key_fence IN SHARE ROW EXCLUSIVE MODE;
    PERFORM vault_etl.ensure_declared(declaration);
    WITH changed AS (
        UPDATE vault_etl.data_keys AS d SET state = 'destroyed', wrapped_key = NULL
        WHERE d.key_id = ANY (key_ids) AND d.state = 'decrypt_only' AND CASE d.purpose
            WHEN 'token' THEN d.generation NOT IN (
                SELECT v.id FROM vault_etl.detached_values AS v WHERE v.field = 'token' AND v.held > 0
            )
            ELSE d.key_id NOT IN (
                SELECT v.id FROM vault_etl.detached_values AS v WHERE v.field IN ({{ fields|map(attribute='name')|map('literal')|join(', ') }}) AND v.held > 0
            )
        END
        RETURNING d.key_id
    )
    SELECT array_agg(c.key_id ORDER BY c.key_id) INTO destroyed FROM changed AS c;
    PERFORM vault_etl.keys_changed(request_id, actor, host, 'destroyed', destroyed);
    RETURN QUERY SELECT unnest(destroyed);
END
$$;
REVOKE ALL ON FUNCTION vault_etl.keys_destroy(uuid, text, text, bigint[], bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault_etl.keys_destroy(uuid, text, text, bigint[], bytea) TO vault_etl_rotate, vault_etl_re_encrypt;
COMMENT ON FUNCTION vault_etl.keys_destroy(uuid, text, text, bigint[], bytea) IS
    'Deletes the bytes of retired keys, and returns the ids of those that had some. Leaves a pending key, which '
    'an abort ends, and a key that a set or a closed month needs, which may come back.';

CREATE FUNCTION vault_etl.key_rewrap(
    request_id uuid, actor text, host text, rewrapped bigint, old_wrapped_key bytea, old_kms_key_arn text,
    new_wrapped_key bytea, new_kms_key_arn text, declaration bytea
) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s' AS $$
BEGIN
    PERFORM vault_etl.ensure_short_transaction();
    PERFORM vault_etl.ensure_declared(declaration);
    UPDATE vault_etl.data_keys AS d SET wrapped_key = new_wrapped_key, kms_key_arn = new_kms_key_arn
    WHERE d.key_id = rewrapped AND d.state <> 'destroyed'
        AND d.wrapped_key = old_wrapped_key AND d.kms_key_arn = old_kms_key_arn;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM vault_etl.keys_changed(request_id, actor, host, 'rewrapped', ARRAY[rewrapped]);
    RETURN true;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.key_rewrap(uuid, text, text, bigint, bytea, text, bytea, text, bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault_etl.key_rewrap(uuid, text, text, bigint, bytea, text, bytea, text, bytea)
    TO vault_etl_rotate, vault_etl_re_encrypt;
COMMENT ON FUNCTION vault_etl.key_rewrap(uuid, text, text, bigint, bytea, text, bytea, text, bytea) IS
    'Replaces the wrapped bytes of a key. Returns false if the row has other bytes by now. Needs no fence: by '
    'its fingerprint it is the same key.';
