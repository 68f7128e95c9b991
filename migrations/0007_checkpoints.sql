-- Who sets the reveal policy, and the signed heads of the log.

SET LOCAL ROLE vault_etl_owner;

-- The public halves of the KMS keys that sign the log; the newest signs. Its entry's ticket is the SHA-256.
CREATE TABLE public.audit_keys (
    seq bigint PRIMARY KEY REFERENCES public.audit_log,
    kms_key_arn text NOT NULL CHECK (char_length(kms_key_arn) BETWEEN 1 AND 2048),
    public_key bytea NOT NULL CHECK (length(public_key) BETWEEN 1 AND 1024)
);
COMMENT ON TABLE public.audit_keys IS 'Public keys that sign checkpoints: a hint for signers, no proof for readers.';

CREATE TABLE public.audit_checkpoints (
    checkpoint_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    seq bigint NOT NULL CHECK (seq >= 0),
    hash bytea NOT NULL CHECK (length(hash) = 32),
    note text NOT NULL CHECK (octet_length(note) < 4096),
    stored_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    stored_by text NOT NULL DEFAULT session_user
);
COMMENT ON TABLE public.audit_checkpoints IS 'Signed notes of heads of the log (docs/formats.md).';
CREATE INDEX audit_checkpoints_seq ON public.audit_checkpoints (seq);

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['reveal_policies', 'audit_keys', 'audit_checkpoints'] LOOP
        EXECUTE format(
            'CREATE TRIGGER audit_is_append_only BEFORE UPDATE OR DELETE ON public.%1$I'
            ' FOR EACH ROW EXECUTE FUNCTION public.audit_is_append_only();'
            'CREATE TRIGGER audit_is_never_truncated BEFORE TRUNCATE ON public.%1$I'
            ' FOR EACH STATEMENT EXECUTE FUNCTION public.audit_is_append_only();',
            name
        );
    END LOOP;
END
$$;

-- A change of the policy, and its two entries, in one transaction. The owner's alone.
CREATE FUNCTION public.reveal_policy_set(
    request_id uuid, actor text, host text, reason text, document text
) RETURNS TABLE (seq bigint, hash bytea)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s' AS $$
DECLARE
    digest text := encode(sha256(convert_to(document, 'UTF8')), 'hex');
    pattern text;
    intent public.audit_log;
    outcome public.audit_log;
BEGIN
    PERFORM (document::jsonb ->> 'reveals_an_hour')::integer;
    FOR pattern IN
        SELECT rule ->> 'ticket_pattern' FROM jsonb_each(document::jsonb -> 'purposes') AS p (name, rule)
    LOOP
        -- Raises for what is no pattern, here and not at somebody's reveal.
        PERFORM '' ~ ('^(?:' || pattern || ')$');
    END LOOP;
    intent := public.audit_write(
        request_id, 'intent', actor, host, 'policy set', NULL, '{}', NULL, digest, reason,
        'allowed', NULL
    );
    INSERT INTO public.reveal_policies VALUES (intent.seq, document);
    outcome := public.audit_write(
        request_id, 'outcome', actor, host, 'policy set', NULL, '{}', NULL, digest, reason,
        'done', NULL
    );
    RETURN QUERY SELECT outcome.seq, outcome.hash;
END
$$;
REVOKE ALL ON FUNCTION public.reveal_policy_set(uuid, text, text, text, text) FROM PUBLIC;

-- From then on signers expect this key. On the record, like a change of the policy.
CREATE FUNCTION public.audit_register_key(
    request_id uuid, actor text, host text, reason text, kms_key_arn text, public_key bytea
) RETURNS TABLE (seq bigint, hash bytea)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s' AS $$
DECLARE
    digest text := encode(sha256(public_key), 'hex');
    intent public.audit_log;
    outcome public.audit_log;
BEGIN
    intent := public.audit_write(
        request_id, 'intent', actor, host, 'audit key', NULL, '{}', NULL, digest, reason, 'allowed', NULL
    );
    INSERT INTO public.audit_keys VALUES (intent.seq, kms_key_arn, public_key);
    outcome := public.audit_write(
        request_id, 'outcome', actor, host, 'audit key', NULL, '{}', NULL, digest, reason, 'done', NULL
    );
    RETURN QUERY SELECT outcome.seq, outcome.hash;
END
$$;
REVOKE ALL ON FUNCTION public.audit_register_key(uuid, text, text, text, text, bytea) FROM PUBLIC;

-- What a signer has to know, which holds no kms:GetPublicKey: the key is NULL until one is registered.
CREATE FUNCTION public.audit_signer() RETURNS TABLE (vault_id uuid, kms_key_arn text, public_key bytea)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT v.vault_id, k.kms_key_arn, k.public_key
    FROM public.vault AS v
    LEFT JOIN (SELECT * FROM public.audit_keys ORDER BY seq DESC LIMIT 1) AS k ON true
$$;
REVOKE ALL ON FUNCTION public.audit_signer() FROM PUBLIC;

-- Stores a signed note: of an entry that is there, and of this vault. Whether the signature holds is for
-- readers to check.
CREATE FUNCTION public.audit_checkpoint(signed_seq bigint, signed_hash bytea, note text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    id uuid := (SELECT vault_id FROM public.vault);
BEGIN
    IF signed_hash IS DISTINCT FROM coalesce(
            (SELECT l.hash FROM public.audit_log AS l WHERE l.seq = signed_seq),
            (SELECT sha256('vault-etl/1/audit-genesis'::bytea || uuid_send(id)) WHERE signed_seq = 0)
        )
        OR signed_hash IS NULL OR NOT starts_with(
            note,
            format(
                E'vault-etl/audit/%s\n%s\n%s\n\n\u2014 ',
                id, signed_seq, encode(signed_hash, 'base64')
            )
        )
    THEN
        RAISE EXCEPTION 'this is no checkpoint of this log' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF current_setting('synchronous_commit') IN ('off', 'local', 'remote_write') THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
    INSERT INTO public.audit_checkpoints (seq, hash, note) VALUES (signed_seq, signed_hash, note);
END
$$;
REVOKE ALL ON FUNCTION public.audit_checkpoint(bigint, bytea, text) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION public.audit_signer(), public.audit_checkpoint(bigint, bytea, text)
    TO vault_etl_reveal, vault_etl_rotate, vault_etl_re_encrypt, vault_etl_erase, vault_etl_audit;
GRANT EXECUTE ON FUNCTION public.audit_register_key(uuid, text, text, text, text, bytea) TO vault_etl_audit;
GRANT SELECT ON public.audit_checkpoints, public.audit_keys TO vault_etl_audit;
