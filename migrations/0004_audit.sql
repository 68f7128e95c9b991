-- The audit log: append only, gapless, hash-chained, and under the reveal policy.

SET LOCAL ROLE vault_etl_owner;

CREATE TABLE public.vault (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    vault_id uuid NOT NULL DEFAULT gen_random_uuid()
);
COMMENT ON TABLE public.vault IS 'Which vault this is: the audit chain starts from it.';
INSERT INTO public.vault DEFAULT VALUES;

CREATE TABLE public.audit_log (
    seq bigint PRIMARY KEY CHECK (seq > 0),
    logged_at timestamptz NOT NULL,
    request_id uuid NOT NULL,
    phase text NOT NULL CHECK (phase IN ('intent', 'outcome')),
    login text NOT NULL,
    client_address text,
    actor text NOT NULL CHECK (char_length(actor) BETWEEN 1 AND 2048),
    host text NOT NULL CHECK (char_length(host) BETWEEN 1 AND 255),
    action text NOT NULL CHECK (action ~ '^[a-z][a-z -]{0,39}$'),
    record_id uuid,
    fields text[] NOT NULL
        CHECK (cardinality(fields) <= 16 AND fields <@ ARRAY['device_id', 'ip', 'quarantine']),
    purpose text CHECK (char_length(purpose) BETWEEN 1 AND 64),
    ticket text CHECK (char_length(ticket) BETWEEN 1 AND 64),
    reason text NOT NULL CHECK (char_length(reason) BETWEEN 1 AND 500),
    decision text NOT NULL,
    error_code text CHECK (error_code ~ '^[a-z][a-z0-9_]{0,63}$'),
    prev_hash bytea NOT NULL CHECK (length(prev_hash) = 32),
    hash bytea NOT NULL CHECK (length(hash) = 32),
    -- Not part of the entry: which transaction wrote it, so that a release can ask for another one.
    written_by xid8 NOT NULL,
    CONSTRAINT intents_are_decided_outcomes_happen CHECK (
        (phase = 'intent' AND decision IN ('allowed', 'denied'))
        OR (phase = 'outcome' AND decision IN ('done', 'failed'))
    ),
    -- No control characters, whatever the locale, and nothing that turns a line around on a screen.
    CONSTRAINT one_line_a_text CHECK (
        (actor || host || coalesce(purpose, '') || coalesce(ticket, '') || reason)
            !~ '[\u0001-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]'
    ),
    CONSTRAINT one_entry_a_phase UNIQUE (request_id, phase)
);
COMMENT ON TABLE public.audit_log IS 'Every look at a personal field and every change of keys. docs/formats.md has the hash.';
CREATE INDEX audit_log_record_id ON public.audit_log (record_id) WHERE record_id IS NOT NULL;
CREATE INDEX audit_log_logged_at ON public.audit_log (logged_at);

-- The end of the chain. Its row lock makes seq gapless.
CREATE TABLE public.audit_head (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    seq bigint NOT NULL,
    hash bytea NOT NULL CHECK (length(hash) = 32)
);
INSERT INTO public.audit_head (seq, hash)
SELECT 0, sha256('vault-etl/1/audit-genesis'::bytea || uuid_send(vault_id)) FROM public.vault;

CREATE TABLE public.audit_released (
    seq bigint PRIMARY KEY REFERENCES public.audit_log,
    released_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE public.audit_released IS 'Which intents have had their ciphertexts released.';

CREATE FUNCTION public.audit_is_append_only() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append only' USING ERRCODE = 'insufficient_privilege';
END
$$;
REVOKE ALL ON FUNCTION public.audit_is_append_only() FROM PUBLIC;
CREATE TRIGGER audit_is_append_only BEFORE UPDATE OR DELETE ON public.audit_log
    FOR EACH ROW EXECUTE FUNCTION public.audit_is_append_only();
CREATE TRIGGER audit_is_never_truncated BEFORE TRUNCATE ON public.audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION public.audit_is_append_only();

-- One column in the hash: 0x00 for NULL, else 0x01 ‖ uint32 length ‖ bytes.
CREATE FUNCTION public.audit_encode(value bytea) RETURNS bytea
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN value IS NULL THEN '\x00'::bytea ELSE '\x01'::bytea || int4send(length(value)) || value END
$$;
REVOKE ALL ON FUNCTION public.audit_encode(bytea) FROM PUBLIC;

CREATE FUNCTION public.audit_encode(value text) RETURNS bytea
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT public.audit_encode(convert_to(value, 'UTF8'))
$$;
REVOKE ALL ON FUNCTION public.audit_encode(text) FROM PUBLIC;

-- A list: uint16 count, then each element, sorted by its bytes.
CREATE FUNCTION public.audit_encode(value text[]) RETURNS bytea
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT int2send(cardinality(value)::smallint)
        || coalesce(string_agg(public.audit_encode(element), ''::bytea ORDER BY element COLLATE "C"), ''::bytea)
    FROM unnest(value) AS element
$$;
REVOKE ALL ON FUNCTION public.audit_encode(text[]) FROM PUBLIC;

CREATE FUNCTION public.audit_hash(entry public.audit_log) RETURNS bytea
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT sha256(
        'vault-etl/1/audit'::bytea
        || int8send(entry.seq)
        || int8send((extract(epoch FROM entry.logged_at) * 1000000)::bigint)
        || public.audit_encode(entry.request_id::text)
        || public.audit_encode(entry.phase)
        || public.audit_encode(entry.login)
        || public.audit_encode(entry.client_address)
        || public.audit_encode(entry.actor)
        || public.audit_encode(entry.host)
        || public.audit_encode(entry.action)
        || public.audit_encode(entry.record_id::text)
        || public.audit_encode(entry.fields)
        || public.audit_encode(entry.purpose)
        || public.audit_encode(entry.ticket)
        || public.audit_encode(entry.reason)
        || public.audit_encode(entry.decision)
        || public.audit_encode(entry.error_code)
        || public.audit_encode(entry.prev_hash)
    )
$$;
REVOKE ALL ON FUNCTION public.audit_hash(public.audit_log) FROM PUBLIC;

-- One document a change, and the newest is in force. It stands under the seq of the entry that made it,
-- and that entry's ticket is the SHA-256 of its text: `audit verify` sees a document that was changed.
CREATE TABLE public.reveal_policies (
    seq bigint PRIMARY KEY REFERENCES public.audit_log,
    document text NOT NULL CHECK (octet_length(document) <= 65536 AND jsonb_typeof(document::jsonb) = 'object')
);
COMMENT ON TABLE public.reveal_policies IS 'Every reveal policy there was. docs/formats.md has the document.';

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

-- The one way into the log. The caller commits it, alone, before it does what the entry is about. What comes
-- back says what was decided: an intent that the policy denies is an entry too.
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

GRANT SELECT ON public.audit_log, public.audit_head, public.vault, public.reveal_policies TO vault_etl_audit;
