-- The reveal policy, which the log enforces under its own lock, and the signed heads of the log.

SET LOCAL ROLE vault_etl_owner;

-- One document a change, and the newest is in force. It stands under the seq of the entry that made it,
-- and that entry's ticket is the SHA-256 of its text: `audit verify` sees a document that was changed.
CREATE TABLE public.reveal_policies (
    seq bigint PRIMARY KEY REFERENCES public.audit_log,
    document text NOT NULL CHECK (octet_length(document) <= 65536 AND jsonb_typeof(document::jsonb) = 'object')
);
COMMENT ON TABLE public.reveal_policies IS 'Every reveal policy there was. docs/formats.md has the document.';

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

-- What the quota counts.
CREATE INDEX audit_log_looks ON public.audit_log (login, logged_at)
    WHERE phase = 'intent' AND decision = 'allowed'
        AND action IN ('reveal', 'reveal masked', 'quarantine show', 'find');

-- Waits for the end of the chain and holds it until the transaction ends.
CREATE FUNCTION public.audit_lock() RETURNS public.audit_head
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    head public.audit_head;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'the audit log is written in READ COMMITTED' USING ERRCODE = 'invalid_transaction_state';
    END IF;
    -- Not as the function's own SET, which would be off again when the transaction commits.
    IF current_setting('synchronous_commit') IN ('off', 'local', 'remote_write') THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
    SELECT * INTO STRICT head FROM public.audit_head FOR UPDATE;
    RETURN head;
END
$$;
REVOKE ALL ON FUNCTION public.audit_lock() FROM PUBLIC;

-- Writes an entry, whatever it says: for the owner's functions alone, which have decided already.
CREATE FUNCTION public.audit_write(
    request_id uuid, phase text, actor text, host text, action text, record_id uuid, fields text[],
    purpose text, ticket text, reason text, decision text, error_code text
) RETURNS public.audit_log
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    head public.audit_head := public.audit_lock();
    entry public.audit_log;
BEGIN
    entry.seq := head.seq + 1;
    entry.logged_at := clock_timestamp();
    entry.request_id := audit_write.request_id;
    entry.phase := audit_write.phase;
    entry.login := session_user;
    entry.client_address := host(inet_client_addr());
    entry.actor := audit_write.actor;
    entry.host := audit_write.host;
    entry.action := audit_write.action;
    entry.record_id := audit_write.record_id;
    entry.fields := audit_write.fields;
    entry.purpose := audit_write.purpose;
    entry.ticket := audit_write.ticket;
    entry.reason := audit_write.reason;
    entry.decision := audit_write.decision;
    entry.error_code := audit_write.error_code;
    entry.prev_hash := head.hash;
    entry.written_by := pg_current_xact_id();
    entry.hash := public.audit_hash(entry);
    INSERT INTO public.audit_log SELECT entry.*;
    UPDATE public.audit_head AS h SET seq = entry.seq, hash = entry.hash;
    RETURN entry;
END
$$;
REVOKE ALL ON FUNCTION public.audit_write(
    uuid, text, text, text, text, uuid, text[], text, text, text, text, text
) FROM PUBLIC;

-- Why the policy says no to a look: one word, or NULL. Called with the head locked, so that a quota holds.
-- Changes of keys are no looks: they are on the record, and under no policy.
CREATE FUNCTION public.audit_denial(action text, fields text[], purpose text, ticket text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    policy jsonb;
    rule jsonb;
    in_full text[];
    masked text[];
BEGIN
    IF action NOT IN ('reveal', 'reveal masked', 'quarantine show', 'find') THEN
        RETURN NULL;
    END IF;
    SELECT p.document::jsonb INTO policy FROM public.reveal_policies AS p ORDER BY p.seq DESC LIMIT 1;
    IF coalesce(policy -> 'purposes', '{}') <> '{}' THEN
        rule := policy -> 'purposes' -> purpose;
        IF rule IS NULL THEN
            RETURN 'purpose';
        END IF;
        in_full := ARRAY(SELECT jsonb_array_elements_text(coalesce(rule -> 'fields', '[]')));
        masked := ARRAY(SELECT jsonb_array_elements_text(coalesce(rule -> 'masked_fields', '[]')));
        IF NOT fields <@ (in_full || masked) THEN
            RETURN 'field';
        ELSIF action <> 'reveal masked' AND NOT fields <@ in_full THEN
            RETURN 'masked_only';
        ELSIF rule ->> 'ticket_pattern' IS NOT NULL
            AND coalesce(ticket, '') !~ ('^(?:' || (rule ->> 'ticket_pattern') || ')$')
        THEN
            RETURN 'ticket';
        END IF;
    END IF;
    IF (
        SELECT count(*) FROM public.audit_log AS l
        WHERE l.login = session_user AND l.logged_at > clock_timestamp() - interval '1 hour'
            AND l.phase = 'intent' AND l.decision = 'allowed'
            AND l.action IN ('reveal', 'reveal masked', 'quarantine show', 'find')
    ) >= coalesce((policy ->> 'reveals_an_hour')::integer, 50) THEN
        RETURN 'quota';
    END IF;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION public.audit_denial(text, text[], text, text) FROM PUBLIC;

-- As in 0004, and what comes back says what was decided: an intent that the policy denies is an entry too.
DROP FUNCTION public.audit_append(
    uuid, text, text, text, text, uuid, text[], text, text, text, text, text
);
CREATE FUNCTION public.audit_append(
    request_id uuid, phase text, actor text, host text, action text, record_id uuid, fields text[],
    purpose text, ticket text, reason text, decision text, error_code text
) RETURNS TABLE (seq bigint, hash bytea, decided text, code text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s' AS $$
DECLARE
    entry public.audit_log;
    denial text;
BEGIN
    PERFORM public.audit_lock();
    IF phase = 'intent' AND decision = 'allowed' THEN
        denial := public.audit_denial(action, fields, purpose, ticket);
    END IF;
    entry := public.audit_write(
        request_id, phase, actor, host, action, record_id, fields, purpose, ticket, reason,
        CASE WHEN denial IS NULL THEN decision ELSE 'denied' END, coalesce(denial, error_code)
    );
    RETURN QUERY SELECT entry.seq, entry.hash, entry.decision, entry.error_code;
END
$$;
REVOKE ALL ON FUNCTION public.audit_append(
    uuid, text, text, text, text, uuid, text[], text, text, text, text, text
) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.audit_append(
    uuid, text, text, text, text, uuid, text[], text, text, text, text, text
) TO vault_etl_reveal, vault_etl_rotate, vault_etl_re_encrypt;

-- As in 0006, and a masked reveal is released like another: the masking is the client's.
CREATE OR REPLACE FUNCTION public.audit_release(intent_seq bigint) RETURNS TABLE (field text, ciphertext bytea)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    entry public.audit_log;
BEGIN
    SELECT * INTO entry FROM public.audit_log WHERE seq = intent_seq;
    -- A row that is visible and not of this transaction is committed; a savepoint changes nothing,
    -- since written_by is the top transaction's id.
    IF NOT FOUND OR entry.written_by = pg_current_xact_id()
        OR entry.phase <> 'intent' OR entry.decision <> 'allowed'
        OR entry.action NOT IN ('reveal', 'reveal masked', 'quarantine show')
        OR entry.login <> session_user
        OR clock_timestamp() NOT BETWEEN entry.logged_at - interval '60 s' AND entry.logged_at + interval '60 s'
    THEN
        RAISE EXCEPTION 'no committed intent of this login releases this' USING ERRCODE = 'insufficient_privilege';
    END IF;
    BEGIN
        INSERT INTO public.audit_released (seq) VALUES (intent_seq);
    EXCEPTION WHEN unique_violation THEN
        RAISE EXCEPTION 'this intent has had its release' USING ERRCODE = 'insufficient_privilege';
    END;
    IF entry.action = 'quarantine show' THEN
        RETURN QUERY
            SELECT 'quarantine'::text, q.body_ciphertext
            FROM public.quarantine AS q
            WHERE q.record_id = entry.record_id AND 'quarantine' = ANY (entry.fields);
    ELSE
        RETURN QUERY
            SELECT sealed.field, sealed.ciphertext
            FROM public.user_logins AS r,
                LATERAL (VALUES ('ip', r.ip_ciphertext), ('device_id', r.device_id_ciphertext))
                    AS sealed (field, ciphertext)
            WHERE r.record_id = entry.record_id AND sealed.field = ANY (entry.fields);
    END IF;
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
GRANT SELECT ON public.audit_head, public.audit_checkpoints, public.audit_keys, public.reveal_policies
    TO vault_etl_audit;
