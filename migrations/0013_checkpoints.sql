-- Signed heads of the audit log, and the keys that sign them.

SET LOCAL ROLE vault_etl_owner;

CREATE TABLE vault_etl.audit_keys (
    seq bigint PRIMARY KEY REFERENCES vault_etl.audit_log,
    note text NOT NULL CHECK (octet_length(note) < 4096)
);
COMMENT ON TABLE vault_etl.audit_keys IS
    'Registered keys that sign checkpoints: a hint for signers, and no proof for readers, who check each '
    'signature.';
COMMENT ON COLUMN vault_etl.audit_keys.seq IS
    'The entry of the registration. Its ticket is the SHA-256 of the note.';
COMMENT ON COLUMN vault_etl.audit_keys.note IS
    'A note, signed by the key itself, which says that it signs this log (docs/formats.md, Registration).';
CREATE TRIGGER audit_is_append_only BEFORE UPDATE OR DELETE ON vault_etl.audit_keys
    FOR EACH ROW EXECUTE FUNCTION vault_etl.audit_is_append_only();
CREATE TRIGGER audit_is_never_truncated BEFORE TRUNCATE ON vault_etl.audit_keys
    FOR EACH STATEMENT EXECUTE FUNCTION vault_etl.audit_is_append_only();

CREATE TABLE vault_etl.audit_checkpoints (
    checkpoint_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    seq bigint NOT NULL CHECK (seq >= 0),
    hash bytea NOT NULL CHECK (length(hash) = 32),
    key_hash bytea NOT NULL CHECK (length(key_hash) = 4),
    signature bytea NOT NULL CONSTRAINT ecdsa_p256_in_der CHECK (
        length(signature) >= 8 AND length(signature) <= 72 AND get_byte(signature, 0) = 48
        AND get_byte(signature, 1) = length(signature) - 2
    ),
    stored_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    stored_by text NOT NULL DEFAULT session_user
);
COMMENT ON TABLE vault_etl.audit_checkpoints IS
    'Signed heads of the log. A checkpoint is made of seq, hash and signature, and nothing else fits in '
    '(docs/formats.md, Checkpoint).';
CREATE INDEX audit_checkpoints_seq ON vault_etl.audit_checkpoints (seq);
-- 0014_segments.sql says which of them may be deleted.
CREATE TRIGGER audit_is_append_only BEFORE UPDATE ON vault_etl.audit_checkpoints
    FOR EACH ROW EXECUTE FUNCTION vault_etl.audit_is_append_only();
CREATE TRIGGER audit_is_never_truncated BEFORE TRUNCATE ON vault_etl.audit_checkpoints
    FOR EACH STATEMENT EXECUTE FUNCTION vault_etl.audit_is_append_only();

GRANT SELECT ON vault_etl.audit_checkpoints, vault_etl.audit_keys TO vault_etl_audit;

CREATE FUNCTION vault_etl.audit_hash_of(signed_seq bigint) RETURNS bytea
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT l.hash FROM vault_etl.audit_log AS l WHERE l.seq = signed_seq
    UNION ALL
    SELECT sha256('vault-etl/1/audit-genesis'::bytea || uuid_send(v.vault_id)) FROM vault_etl.vault AS v
    WHERE signed_seq = 0
$$;
REVOKE ALL ON FUNCTION vault_etl.audit_hash_of(bigint) FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.audit_hash_of(bigint) IS
    'Returns the hash of an entry, under 0 that of the head of an empty log; NULL for an entry that is missing.';

CREATE FUNCTION vault_etl.audit_register_key(
    request_id uuid, actor text, host text, reason text, kms_key_arn text, public_key bytea,
    signed_seq bigint, signature bytea
) RETURNS TABLE (seq bigint, hash bytea)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s' AS $$
DECLARE
    origin text := (SELECT format('vault-etl/audit-key/%s', v.vault_id) FROM vault_etl.vault AS v);
    note text := format(
        E'%s\n%s\n%s\n%s\n%s\n\n\u2014 %s %s\n',
        origin, signed_seq, encode(vault_etl.audit_hash_of(signed_seq), 'base64'), kms_key_arn,
        translate(encode(public_key, 'base64'), E'\n', ''), origin,
        translate(encode(substr(sha256(public_key), 1, 4) || signature, 'base64'), E'\n', '')
    );
    digest text := encode(sha256(convert_to(note, 'UTF8')), 'hex');
    me text := session_user;
    a_day_ago timestamptz := clock_timestamp() - interval '1 day';
    intent vault_etl.audit_log;
    outcome vault_etl.audit_log;
BEGIN
    PERFORM vault_etl.ensure_short_transaction();
    IF (
        octet_length(kms_key_arn) <= 2048 AND kms_key_arn ~ '^arn:[!-~]+$'
        AND length(public_key) = 91
        AND starts_with(
            encode(public_key, 'hex'), '3059301306072a8648ce3d020106082a8648ce3d03010703420004'
        )
        AND length(signature) BETWEEN 8 AND 72 AND get_byte(signature, 0) = 48
        AND get_byte(signature, 1) = length(signature) - 2
        AND vault_etl.audit_hash_of(signed_seq) IS NOT NULL
    ) IS NOT TRUE THEN
        RAISE EXCEPTION 'this does not register a key of this log' USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM vault_etl.audit_lock();
    IF (
        SELECT count(*) FROM vault_etl.audit_keys AS k JOIN vault_etl.audit_log AS l ON l.seq = k.seq
        WHERE l.login = me AND l.logged_at > a_day_ago
    ) >= 20 THEN
        RAISE EXCEPTION 'this login has registered twenty keys today' USING ERRCODE = 'configuration_limit_exceeded';
    END IF;
    intent := vault_etl.audit_write(
        request_id, 'intent', actor, host, 'audit key', NULL::uuid, '{}'::text[], NULL, digest, reason, 'allowed', NULL
    );
    INSERT INTO vault_etl.audit_keys VALUES (intent.seq, note);
    outcome := vault_etl.audit_write(
        request_id, 'outcome', actor, host, 'audit key', NULL::uuid, '{}'::text[], NULL, digest, reason, 'done', NULL
    );
    RETURN QUERY SELECT outcome.seq, outcome.hash;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.audit_register_key(uuid, text, text, text, text, bytea, bigint, bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault_etl.audit_register_key(uuid, text, text, text, text, bytea, bigint, bytea)
    TO vault_etl_audit;
COMMENT ON FUNCTION vault_etl.audit_register_key(uuid, text, text, text, text, bytea, bigint, bytea) IS
    'Registers a key, on the record: signers take its signature from then on. The note is made here, of checked '
    'parts: an entry that exists, this vault, and a public key on P-256. A login registers twenty keys a day at '
    'most, because every signer reads all registrations.';

CREATE FUNCTION vault_etl.audit_signer() RETURNS TABLE (vault_id uuid, note text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT v.vault_id, k.note
    FROM vault_etl.vault AS v
    LEFT JOIN vault_etl.audit_keys AS k ON true
    ORDER BY k.seq DESC
$$;
REVOKE ALL ON FUNCTION vault_etl.audit_signer() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault_etl.audit_signer()
    TO vault_etl_reveal, vault_etl_rotate, vault_etl_re_encrypt, vault_etl_erase, vault_etl_audit;
COMMENT ON FUNCTION vault_etl.audit_signer() IS
    'Returns what a signer without kms:GetPublicKey needs: all registrations, the newest first, so that none '
    'can push another out. The note is NULL if there are none.';

CREATE FUNCTION vault_etl.audit_checkpoint(
    signed_seq bigint, signed_hash bytea, key_hash bytea, signature bytea
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s' AS $$
BEGIN
    IF (signed_hash = vault_etl.audit_hash_of(signed_seq)) IS NOT TRUE THEN
        RAISE EXCEPTION 'this is not a checkpoint of this log' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF current_setting('synchronous_commit') IN ('off', 'local', 'remote_write') THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
    -- The rate is above that of outcomes. A reader checks each signature, which takes 0.1 ms.
    PERFORM vault_etl.audit_rate('checkpoint', interval '60 s' / greatest(3600, 2 * vault_etl.audit_quota(false)));
    INSERT INTO vault_etl.audit_checkpoints (seq, hash, key_hash, signature)
    VALUES (signed_seq, signed_hash, key_hash, signature);
END
$$;
REVOKE ALL ON FUNCTION vault_etl.audit_checkpoint(bigint, bytea, bytea, bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault_etl.audit_checkpoint(bigint, bytea, bytea, bytea)
    TO vault_etl_reveal, vault_etl_rotate, vault_etl_re_encrypt, vault_etl_erase, vault_etl_audit;
COMMENT ON FUNCTION vault_etl.audit_checkpoint(bigint, bytea, bytea, bytea) IS
    'Stores a signed head of an entry that exists. Readers check the signature.';
