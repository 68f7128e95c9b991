-- A new generation of token keys: it begins as the pending one, and ends by an abort, or by the cut-over (0021_cut_over.sql).

SET LOCAL ROLE vault_etl_owner;

CREATE FUNCTION vault_etl.token_keys_begin(request_id uuid, actor text, host text, keys jsonb) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
BEGIN
    PERFORM vault_etl.ensure_short_transaction();
    LOCK TABLE vault_etl.key_fence IN SHARE ROW EXCLUSIVE MODE;
    IF EXISTS (SELECT FROM vault_etl.data_keys AS d WHERE d.purpose = 'token' AND d.state = 'pending') THEN
        RETURN false;
    END IF;
    IF EXISTS (
        SELECT FROM vault_etl.data_keys AS d WHERE d.purpose = 'token' AND d.state = 'decrypt_only'
            AND 0 < (SELECT sum(c.held) FROM vault_etl.value_counts AS c WHERE c.field = 'token' AND c.id = d.generation)
    ) OR EXISTS (
        SELECT FROM jsonb_array_elements(keys) AS k WHERE k.value ->> 'purpose' <> 'token'
            OR (k.value ->> 'generation')::smallint <> (
                SELECT coalesce(max(d.generation), 0) + 1 FROM vault_etl.data_keys AS d WHERE d.purpose = 'token'
            )
    ) OR {{ fields|length }} <> (SELECT count(DISTINCT k.value ->> 'field') FROM jsonb_array_elements(keys) AS k) THEN
        RAISE EXCEPTION 'this is not the next generation of token keys'
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    PERFORM vault_etl.keys_changed(request_id, actor, host, 'made pending', vault_etl.keys_insert(keys, 'pending'));
    RETURN true;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.token_keys_begin(uuid, text, text, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault_etl.token_keys_begin(uuid, text, text, jsonb) TO vault_etl_re_encrypt;
COMMENT ON FUNCTION vault_etl.token_keys_begin(uuid, text, text, jsonb) IS
    'Adds the next generation of token keys, one a field, as the pending one. Returns false while another one is '
    'pending. Raises 55000 without a key of each field, and while rows keep the tokens of a retired generation, because a row has room for two. A '
    'generation that only closed months have tokens of is in no row''s way.';

CREATE FUNCTION vault_etl.token_keys_abort(request_id uuid, actor text, host text) RETURNS SETOF bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    aborted bigint[];
BEGIN
    PERFORM vault_etl.ensure_short_transaction();
    LOCK TABLE vault_etl.key_fence IN SHARE ROW EXCLUSIVE MODE;
    WITH changed AS (
        UPDATE vault_etl.data_keys AS d SET state = 'destroyed', wrapped_key = NULL
        WHERE d.purpose = 'token' AND d.state = 'pending'
        RETURNING d.key_id
    )
    SELECT array_agg(c.key_id ORDER BY c.key_id) INTO aborted FROM changed AS c;
    DELETE FROM vault_etl.key_rotations AS r WHERE r.purpose = 'token';
    PERFORM vault_etl.keys_changed(request_id, actor, host, 'aborted and destroyed', aborted);
    RETURN QUERY SELECT unnest(aborted);
END
$$;
REVOKE ALL ON FUNCTION vault_etl.token_keys_abort(uuid, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault_etl.token_keys_abort(uuid, text, text) TO vault_etl_re_encrypt;
COMMENT ON FUNCTION vault_etl.token_keys_abort(uuid, text, text) IS
    'Ends the pending generation and the rotation to it. Returns the ids of its keys.';
