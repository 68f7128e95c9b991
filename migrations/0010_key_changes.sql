-- Each change of a key's row, and the entry of the log that names it, in one transaction. `ingest` adds data
-- keys by itself, as active ones; everything else that may happen to a key is a function here.

SET LOCAL ROLE vault_etl_owner;

CREATE TABLE public.key_changes (
    seq bigint NOT NULL REFERENCES public.audit_log,
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
COMMENT ON TABLE public.key_changes IS
    'What a key was after each change, under the seq of its entry, whose ticket is their SHA-256 (docs/formats.md).';
CREATE INDEX key_changes_seq ON public.key_changes (seq);
CREATE TRIGGER audit_is_append_only BEFORE UPDATE OR DELETE ON public.key_changes
    FOR EACH ROW EXECUTE FUNCTION public.audit_is_append_only();
CREATE TRIGGER audit_is_never_truncated BEFORE TRUNCATE ON public.key_changes
    FOR EACH STATEMENT EXECUTE FUNCTION public.audit_is_append_only();

-- Keys that are not as the log says that they are: of these no entry, or not the newest, names what stands in
-- the row, or there is no row any more. A data key that nothing has changed since `ingest` made it has no entry. Of
-- these ids, or of all.
CREATE FUNCTION public.unexplained_keys(key_ids bigint[]) RETURNS TABLE (key_id bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
        SELECT k.key_id
        FROM public.data_keys AS k
        LEFT JOIN LATERAL (
            SELECT * FROM public.key_changes AS c WHERE c.key_id = k.key_id ORDER BY c.seq DESC LIMIT 1
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
        SELECT c.key_id FROM public.key_changes AS c
        WHERE (key_ids IS NULL OR c.key_id = ANY (key_ids))
            AND NOT EXISTS (SELECT FROM public.data_keys AS k WHERE k.key_id = c.key_id)
        ORDER BY key_id;
END
$$;
REVOKE ALL ON FUNCTION public.unexplained_keys(bigint[]) FROM PUBLIC;

-- Puts what these keys are now on the record: two entries, and a row for each key under the first one's seq.
-- Last of all in its transaction: from the first entry to the commit it has the turn to write the log. So all that
-- takes long comes before that, the digests of keys above all.
CREATE FUNCTION public.key_change_write(
    action text, request_id uuid, actor text, host text, reason text, key_ids bigint[]
) RETURNS public.audit_log
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    became public.key_changes[];
    digest text;
    fields text[];
    intent public.audit_log;
BEGIN
    became := ARRAY(
        SELECT ROW(
            0, k.key_id, k.purpose, k.field, k.generation, k.state, k.fingerprint, sha256(k.wrapped_key), k.kms_key_arn
        )::public.key_changes
        FROM public.data_keys AS k WHERE k.key_id = ANY (key_ids)
    );
    SELECT
        encode(sha256(convert_to(E'vault-etl/1/key-changes\n' || string_agg(concat_ws(
            ' ', k.key_id, k.purpose, k.field, coalesce(k.generation::text, '-'), k.state,
            encode(k.fingerprint, 'hex'), coalesce(encode(k.wrapped_key_sha256, 'hex'), '-'), k.kms_key_arn
        ) || E'\n', '' ORDER BY k.key_id), 'UTF8')), 'hex'),
        coalesce(array_agg(DISTINCT k.field) FILTER (WHERE k.field <> 'source'), '{}')
    INTO digest, fields
    FROM unnest(became) AS k;
    intent := public.audit_write(
        request_id, 'intent', actor, host, action, NULL::uuid, fields, NULL, digest, reason, 'allowed', NULL
    );
    INSERT INTO public.key_changes (
        seq, key_id, purpose, field, generation, state, fingerprint, wrapped_key_sha256, kms_key_arn
    )
    SELECT
        intent.seq, k.key_id, k.purpose, k.field, k.generation, k.state, k.fingerprint, k.wrapped_key_sha256,
        k.kms_key_arn
    FROM unnest(became) AS k;
    RETURN public.audit_write(
        request_id, 'outcome', actor, host, action, NULL::uuid, fields, NULL, digest, reason, 'done', NULL
    );
END
$$;
REVOKE ALL ON FUNCTION public.key_change_write(text, uuid, text, text, text, bigint[]) FROM PUBLIC;

-- The same under an id of its own, in the database's words: `request_id` is the command's that asked for it.
CREATE FUNCTION public.keys_changed(
    request_id uuid, actor text, host text, what text, key_ids bigint[]
) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF cardinality(key_ids) > 0 THEN
        PERFORM public.key_change_write(
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
REVOKE ALL ON FUNCTION public.keys_changed(uuid, text, text, text, bigint[]) FROM PUBLIC;

-- New rows from a list of objects, bytes in hex. Raises for data keys, which `ingest` and `re-encrypt` add.
CREATE FUNCTION public.keys_insert(keys jsonb, new_state text) RETURNS bigint[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    added bigint[];
BEGIN
    WITH added_rows AS (
        INSERT INTO public.data_keys (
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
    IF EXISTS (SELECT FROM public.data_keys AS d WHERE d.key_id = ANY (added) AND d.purpose = 'data') THEN
        RAISE EXCEPTION 'a data key is not made here' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN added;
END
$$;
REVOKE ALL ON FUNCTION public.keys_insert(jsonb, text) FROM PUBLIC;

-- The first keys of their purposes, as active ones. False, with nothing added, if one of them has a key already.
CREATE FUNCTION public.keys_init(request_id uuid, actor text, host text, keys jsonb) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
BEGIN
    PERFORM public.short_transaction();
    LOCK TABLE public.key_fence IN SHARE ROW EXCLUSIVE MODE;
    IF EXISTS (
        SELECT FROM public.data_keys AS d JOIN jsonb_array_elements(keys) AS k ON d.purpose = k.value ->> 'purpose'
    ) THEN
        RETURN false;
    END IF;
    PERFORM public.keys_changed(request_id, actor, host, 'made active', public.keys_insert(keys, 'active'));
    RETURN true;
END
$$;
REVOKE ALL ON FUNCTION public.keys_init(uuid, text, text, jsonb) FROM PUBLIC;

-- The next generation of token keys, as the pending one. False while another one is pending. Raises 55000 while rows keep
-- the tokens of one that is retired: a row has room for two. One that closed months alone have tokens of is in no row's way.
CREATE FUNCTION public.token_keys_begin(request_id uuid, actor text, host text, keys jsonb) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
BEGIN
    PERFORM public.short_transaction();
    LOCK TABLE public.key_fence IN SHARE ROW EXCLUSIVE MODE;
    IF EXISTS (SELECT FROM public.data_keys AS d WHERE d.purpose = 'token' AND d.state = 'pending') THEN
        RETURN false;
    END IF;
    IF EXISTS (
        SELECT FROM public.data_keys AS d WHERE d.purpose = 'token' AND d.state = 'decrypt_only'
            AND 0 < (SELECT sum(c.held) FROM public.value_counts AS c WHERE c.field = 'token' AND c.id = d.generation)
    ) OR EXISTS (
        SELECT FROM jsonb_array_elements(keys) AS k WHERE k.value ->> 'purpose' <> 'token'
            OR (k.value ->> 'generation')::smallint <> (
                SELECT coalesce(max(d.generation), 0) + 1 FROM public.data_keys AS d WHERE d.purpose = 'token'
            )
    ) THEN
        RAISE EXCEPTION 'this is not the next generation of token keys'
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    PERFORM public.keys_changed(request_id, actor, host, 'made pending', public.keys_insert(keys, 'pending'));
    RETURN true;
END
$$;
REVOKE ALL ON FUNCTION public.token_keys_begin(uuid, text, text, jsonb) FROM PUBLIC;

-- The end of a generation that is pending, and of the rotation to it; the ids of its keys.
CREATE FUNCTION public.token_keys_abort(request_id uuid, actor text, host text) RETURNS SETOF bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    aborted bigint[];
BEGIN
    PERFORM public.short_transaction();
    LOCK TABLE public.key_fence IN SHARE ROW EXCLUSIVE MODE;
    WITH changed AS (
        UPDATE public.data_keys AS d SET state = 'destroyed', wrapped_key = NULL
        WHERE d.purpose = 'token' AND d.state = 'pending'
        RETURNING d.key_id
    )
    SELECT array_agg(c.key_id ORDER BY c.key_id) INTO aborted FROM changed AS c;
    DELETE FROM public.key_rotations AS r WHERE r.purpose = 'token';
    PERFORM public.keys_changed(request_id, actor, host, 'aborted and destroyed', aborted);
    RETURN QUERY SELECT unnest(aborted);
END
$$;
REVOKE ALL ON FUNCTION public.token_keys_abort(uuid, text, text) FROM PUBLIC;

-- Retires active data keys of these fields; their ids. With `expired` the 5,000 oldest of those that no lease can
-- be of any more, for the caller to ask until none is left: so many in one transaction would hold the log for too
-- long. Without it all others: the limit of 0002 says how many these can be.
CREATE FUNCTION public.data_keys_retire(
    request_id uuid, actor text, host text, fields text[], expired boolean
) RETURNS SETOF bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    retired bigint[];
BEGIN
    PERFORM public.short_transaction();
    IF cardinality(fields) > 10 THEN  -- each key is compared with each of them
        RAISE EXCEPTION 'there are no so many fields' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    LOCK TABLE public.key_fence IN SHARE ROW EXCLUSIVE MODE;
    retired := ARRAY(
        SELECT d.key_id FROM public.data_keys AS d
        WHERE d.purpose = 'data' AND d.state = 'active' AND d.field = ANY (fields)
            AND (NOT expired OR d.created_at <= clock_timestamp() - interval '25 hours')
        ORDER BY d.created_at LIMIT CASE WHEN expired THEN 5000 END
    );
    UPDATE public.data_keys AS d SET state = 'decrypt_only' WHERE d.key_id = ANY (retired) AND d.state = 'active';
    PERFORM public.keys_changed(request_id, actor, host, 'retired', retired);
    RETURN QUERY SELECT unnest(retired) ORDER BY 1;
END
$$;
REVOKE ALL ON FUNCTION public.data_keys_retire(uuid, text, text, text[], boolean) FROM PUBLIC;

-- Retires those of these data keys whose lease is over, by the database's clock; their ids. One whose lease runs, and
-- one that is not active, is left.
CREATE FUNCTION public.data_keys_retire_expired(
    request_id uuid, actor text, host text, key_ids bigint[]
) RETURNS SETOF bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    retired bigint[];
BEGIN
    PERFORM public.short_transaction();
    IF cardinality(key_ids) > 5000 THEN  -- each is looked up while no process writes
        RAISE EXCEPTION 'so many keys are not retired at once' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    LOCK TABLE public.key_fence IN SHARE ROW EXCLUSIVE MODE;
    WITH changed AS (
        UPDATE public.data_keys AS d SET state = 'decrypt_only'
        WHERE d.key_id = ANY (key_ids) AND d.purpose = 'data' AND d.state = 'active'
            AND d.expires_at <= clock_timestamp()
        RETURNING d.key_id
    )
    SELECT array_agg(c.key_id ORDER BY c.key_id) INTO retired FROM changed AS c;
    PERFORM public.keys_changed(request_id, actor, host, 'retired after the lease', retired);
    RETURN QUERY SELECT unnest(retired);
END
$$;
REVOKE ALL ON FUNCTION public.data_keys_retire_expired(uuid, text, text, bigint[]) FROM PUBLIC;

-- Takes the bytes of retired keys away; the ids of those that had some. Never of a pending key, which is for
-- an abort to end, and never of one that a closed month needs, which may come back.
CREATE FUNCTION public.keys_destroy(
    request_id uuid, actor text, host text, key_ids bigint[]
) RETURNS SETOF bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    destroyed bigint[];
BEGIN
    PERFORM public.short_transaction();
    IF cardinality(key_ids) > 100000 THEN  -- each is looked up while nobody writes
        RAISE EXCEPTION 'so many keys are not destroyed at once' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    LOCK TABLE public.key_fence IN SHARE ROW EXCLUSIVE MODE;
    WITH changed AS (
        UPDATE public.data_keys AS d SET state = 'destroyed', wrapped_key = NULL
        WHERE d.key_id = ANY (key_ids) AND d.state = 'decrypt_only' AND CASE d.purpose
            WHEN 'token' THEN d.generation NOT IN (
                SELECT v.id FROM public.detached_values AS v WHERE v.field = 'token' AND v.held > 0
            )
            ELSE d.key_id NOT IN (
                SELECT v.id FROM public.detached_values AS v WHERE v.field IN ('ip', 'device_id') AND v.held > 0
            )
        END
        RETURNING d.key_id
    )
    SELECT array_agg(c.key_id ORDER BY c.key_id) INTO destroyed FROM changed AS c;
    PERFORM public.keys_changed(request_id, actor, host, 'destroyed', destroyed);
    RETURN QUERY SELECT unnest(destroyed);
END
$$;
REVOKE ALL ON FUNCTION public.keys_destroy(uuid, text, text, bigint[]) FROM PUBLIC;

-- Other wrapped bytes in the place of these. False if the row has others by now. No fence: it stays the key
-- that it is, by its fingerprint.
CREATE FUNCTION public.key_rewrap(
    request_id uuid, actor text, host text, rewrapped bigint, old_wrapped_key bytea, old_kms_key_arn text,
    new_wrapped_key bytea, new_kms_key_arn text
) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s' AS $$
BEGIN
    PERFORM public.short_transaction();
    UPDATE public.data_keys AS d SET wrapped_key = new_wrapped_key, kms_key_arn = new_kms_key_arn
    WHERE d.key_id = rewrapped AND d.state <> 'destroyed'
        AND d.wrapped_key = old_wrapped_key AND d.kms_key_arn = old_kms_key_arn;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM public.keys_changed(request_id, actor, host, 'rewrapped', ARRAY[rewrapped]);
    RETURN true;
END
$$;
REVOKE ALL ON FUNCTION public.key_rewrap(uuid, text, text, bigint, bytea, text, bytea, text) FROM PUBLIC;

GRANT SELECT ON public.key_changes TO vault_etl_audit;
GRANT EXECUTE ON FUNCTION public.unexplained_keys(bigint[])
    TO vault_etl_ingest, vault_etl_reveal, vault_etl_rotate, vault_etl_re_encrypt, vault_etl_audit;
GRANT EXECUTE ON FUNCTION
    public.keys_init(uuid, text, text, jsonb), public.token_keys_begin(uuid, text, text, jsonb),
    public.token_keys_abort(uuid, text, text)
    TO vault_etl_re_encrypt;
GRANT EXECUTE ON FUNCTION
    public.data_keys_retire(uuid, text, text, text[], boolean),
    public.data_keys_retire_expired(uuid, text, text, bigint[]),
    public.keys_destroy(uuid, text, text, bigint[]),
    public.key_rewrap(uuid, text, text, bigint, bytea, text, bytea, text)
    TO vault_etl_rotate, vault_etl_re_encrypt;
