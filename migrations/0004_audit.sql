-- The audit log: append only, gapless, hash-chained, and under the reveal policy.

SET LOCAL ROLE vault_etl_owner;

CREATE TABLE public.vault (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    vault_id uuid NOT NULL DEFAULT gen_random_uuid()
);
COMMENT ON TABLE public.vault IS 'Which vault this is: the audit chain starts from it.';
INSERT INTO public.vault DEFAULT VALUES;

-- What an entry can be about. `roles` may write it through `audit_append`; those of an action without roles are
-- written by the functions that do the work. A look is under the reveal policy and its quota. A login writes
-- `a_minute` entries a minute of it, or as many as an hour's quota allows, if that is more.
CREATE TABLE public.audit_actions (
    action text PRIMARY KEY CHECK (action ~ '^[a-z][a-z -]{0,39}$'),
    roles text[] NOT NULL,
    is_access boolean NOT NULL DEFAULT false,
    a_minute integer NOT NULL DEFAULT 6000 CHECK (a_minute > 0)
);
COMMENT ON TABLE public.audit_actions IS 'Every action of the audit log, and the roles that may append it.';
INSERT INTO public.audit_actions (action, roles, is_access, a_minute) VALUES
    ('reveal', '{vault_etl_reveal}', true, 120),
    ('reveal masked', '{vault_etl_reveal}', true, 120),
    ('find', '{vault_etl_reveal}', true, 120),
    ('tokens', '{vault_etl_reveal}', true, 120),
    ('quarantine show', '{vault_etl_reveal}', true, 120),
    ('quarantine retry', '{vault_etl_re_encrypt}', false, 120),
    ('quarantine discard', '{}', false, 1200),
    ('keys init', '{vault_etl_re_encrypt}', false, 120),
    ('keys rotate', '{vault_etl_rotate,vault_etl_re_encrypt}', false, 120),
    ('keys rewrap', '{vault_etl_rotate,vault_etl_re_encrypt}', false, 6000),
    ('keys destroy', '{vault_etl_rotate,vault_etl_re_encrypt}', false, 600),
    ('keys change', '{}', false, 6000),
    ('keys range', '{}', false, 6000),
    ('keys cut-over', '{}', false, 120),
    ('erase', '{}', false, 600),
    ('partitions ensure', '{}', false, 120),
    ('partitions detach', '{}', false, 120),
    ('partitions attach', '{}', false, 120),
    ('partitions archive', '{}', false, 120),
    ('partitions drop', '{}', false, 120),
    ('partitions retoken', '{vault_etl_re_encrypt}', false, 120),
    ('partitions restore', '{}', false, 120),
    ('policy set', '{}', false, 120),
    ('audit trim', '{}', false, 120),
    ('audit key', '{}', false, 120);
-- `doctor` compares the rows with what is written here.
GRANT SELECT ON public.audit_actions TO PUBLIC;

-- One line of text that shows all that it holds: U+0020 is its only blank, inside alone. Refused are controls,
-- other blanks, changes of direction, what has no width (U+00AD, U+200B, U+2060, U+FEFF, fillers, variation
-- selectors, tags, interlinear annotations) and noncharacters. `vault_etl.audit.entries.clean_text` has the same list.
CREATE FUNCTION public.audit_is_text(value text, longest integer) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
-- No BETWEEN: the server writes it with parentheses, reads these away, and a restored dump would be another text.
RETURN char_length(value) >= 1 AND char_length(value) <= longest AND value = btrim(value) AND value !~ (
    '[\u0001-\u001f\u007f-\u00a0\u00ad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f\u2000-\u200f'
    '\u2028-\u202f\u205f-\u206f\u2800\u3000\u3164\ufdd0-\ufdef\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff'
    '\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff'
    '\U0001fffe\U0001ffff\U0002fffe\U0002ffff\U0003fffe\U0003ffff\U0004fffe\U0004ffff\U0005fffe\U0005ffff'
    '\U0006fffe\U0006ffff\U0007fffe\U0007ffff\U0008fffe\U0008ffff\U0009fffe\U0009ffff\U000afffe\U000affff'
    '\U000bfffe\U000bffff\U000cfffe\U000cffff\U000dfffe\U000dffff\U000efffe\U000effff\U000ffffe\U000fffff'
    '\U0010fffe\U0010ffff]'
);
REVOKE ALL ON FUNCTION public.audit_is_text(text, integer) FROM PUBLIC;

CREATE TABLE public.audit_log (
    seq bigint PRIMARY KEY CHECK (seq > 0),
    logged_at timestamptz NOT NULL,
    request_id uuid NOT NULL,
    phase text NOT NULL CHECK (phase IN ('intent', 'outcome')),
    login text NOT NULL,
    client_address text,
    actor text NOT NULL CHECK (public.audit_is_text(actor, 2048)),
    host text NOT NULL CHECK (public.audit_is_text(host, 255)),
    action text NOT NULL CHECK (public.audit_is_text(action, 40)),
    record_id uuid,
    -- Sets, in one spelling each: sorted, of one dimension, from index 1.
    fields text[] NOT NULL CHECK (fields::text IN (
        '{}', '{device_id}', '{ip}', '{quarantine}', '{device_id,ip}', '{device_id,quarantine}', '{ip,quarantine}',
        '{device_id,ip,quarantine}'
    )),
    purpose text CHECK (public.audit_is_text(purpose, 64)),
    ticket text CHECK (public.audit_is_text(ticket, 64)),
    reason text NOT NULL CHECK (public.audit_is_text(reason, 500)),
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
    CONSTRAINT one_entry_a_phase UNIQUE (request_id, phase)
);
COMMENT ON TABLE public.audit_log IS 'Every look at a personal field and every change of keys. docs/formats.md has the hash.';
CREATE INDEX audit_log_record_id ON public.audit_log (record_id) WHERE record_id IS NOT NULL;
-- With `seq`, where a listing of a time begins is found in the index alone.
CREATE INDEX audit_log_logged_at ON public.audit_log (logged_at) INCLUDE (seq);

-- Whether an entry matches all that is not NULL; `actor` is that or the login. Inlined, so indexes serve it.
CREATE FUNCTION public.audit_matches(
    entry public.audit_log, since timestamptz, until timestamptz, record_id uuid, field text, action text,
    ticket text, actor text
) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (since IS NULL OR entry.logged_at >= since) AND (until IS NULL OR entry.logged_at < until)
    AND (record_id IS NULL OR entry.record_id = record_id) AND (field IS NULL OR field = ANY (entry.fields))
    AND (action IS NULL OR entry.action = action) AND (ticket IS NULL OR entry.ticket = ticket)
    AND (actor IS NULL OR entry.actor = actor OR entry.login = actor);
REVOKE ALL ON FUNCTION public.audit_matches(
    public.audit_log, timestamptz, timestamptz, uuid, text, text, text, text
) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.audit_matches(
    public.audit_log, timestamptz, timestamptz, uuid, text, text, text, text
) TO vault_etl_audit;

-- The end of the chain.
CREATE TABLE public.audit_head (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    seq bigint NOT NULL,
    hash bytea NOT NULL CHECK (length(hash) = 32)
);
INSERT INTO public.audit_head (seq, hash)
SELECT 0, sha256('vault-etl/1/audit-genesis'::bytea || uuid_send(vault_id)) FROM public.vault;

-- Who writes the log holds its EXCLUSIVE lock until the commit, which makes seq gapless. pg_locks names the session.
CREATE TABLE public.audit_turn (turn boolean PRIMARY KEY CHECK (false));
COMMENT ON TABLE public.audit_turn IS 'Always empty. Its lock is the turn to write the audit log.';

-- How much a login has written lately: 60 s ahead of the clock, and it has to wait.
CREATE TABLE public.audit_rates (
    login text NOT NULL,
    kind text NOT NULL,
    paid_until timestamptz NOT NULL,
    PRIMARY KEY (login, kind)
) WITH (fillfactor = 50);
COMMENT ON TABLE public.audit_rates IS 'How far each login is ahead of its rate of entries.';

CREATE TABLE public.audit_disclosed (
    seq bigint PRIMARY KEY REFERENCES public.audit_log,
    disclosed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- Of a search: what it looks for, until it is answered.
    search bytea CHECK (length(search) = 32),
    written_by xid8 NOT NULL
);
COMMENT ON TABLE public.audit_disclosed IS 'Which intents were used: what they name is released, or looked for.';

-- Of how many values an intent is that is of more than one thing: what it counts for its quota. Its `reason` says so too.
CREATE TABLE public.audit_amounts (
    seq bigint PRIMARY KEY REFERENCES public.audit_log,
    amount integer NOT NULL CHECK (amount BETWEEN 1 AND 65536)
);
COMMENT ON TABLE public.audit_amounts IS 'How many values an intent is about, where that is not one.';

-- What may be deleted, and when, is in 0016_segments.sql.
CREATE FUNCTION public.audit_is_append_only() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append only' USING ERRCODE = 'insufficient_privilege';
END
$$;
REVOKE ALL ON FUNCTION public.audit_is_append_only() FROM PUBLIC;
CREATE TRIGGER audit_is_append_only BEFORE UPDATE ON public.audit_log
    FOR EACH ROW EXECUTE FUNCTION public.audit_is_append_only();
CREATE TRIGGER audit_is_never_truncated BEFORE TRUNCATE ON public.audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION public.audit_is_append_only();
CREATE TRIGGER audit_is_append_only BEFORE UPDATE ON public.audit_amounts
    FOR EACH ROW EXECUTE FUNCTION public.audit_is_append_only();
CREATE TRIGGER audit_is_never_truncated BEFORE TRUNCATE ON public.audit_amounts
    FOR EACH STATEMENT EXECUTE FUNCTION public.audit_is_append_only();
CREATE TRIGGER audit_is_append_only BEFORE UPDATE OR DELETE ON public.audit_actions
    FOR EACH ROW EXECUTE FUNCTION public.audit_is_append_only();
CREATE TRIGGER audit_is_never_truncated BEFORE TRUNCATE ON public.audit_actions
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

-- For the quota, which counts the looks among them.
CREATE INDEX audit_log_allowed ON public.audit_log (login, logged_at)
    WHERE phase = 'intent' AND decision = 'allowed';

-- Makes sure that this transaction is short, and no client can lengthen it. Raises unless one of our procedures
-- `commit_…` called this in a transaction that it has begun: it commits as soon as the function that it calls is done
-- (0012_commits.sql). Only in a procedure or a DO block does a transaction begin later than the client's statement,
-- and the last line of the context names it: `inline_code_block` a DO, and `pg_temp_1.…` what a client made. The
-- owner is exempt, who may lock everything.
--
-- The settings are for the rest of the transaction, whatever the session has. A commit waits for disks and not for
-- the queries of a standby. A client that reads nothing is sent no messages; if an error has to be sent, it loses its
-- connection: a session that cannot send its error keeps its locks, and cannot be ended. Plans use indexes, and are
-- not compiled.
CREATE FUNCTION public.short_transaction() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    context text;
BEGIN
    GET DIAGNOSTICS context = PG_CONTEXT;
    context := replace(substring(context FROM '[^\n]*$'), 'public.', '');
    IF NOT pg_has_role(session_user, 'vault_etl_owner', 'SET') AND (
        now() <= statement_timestamp() OR context ~ '[."'']' OR NOT EXISTS (
            SELECT FROM pg_proc AS p
            WHERE p.proname = substring(context FROM '(commit_[a-z_]+)\(') AND p.prokind = 'p'
                AND p.pronamespace = 'public'::regnamespace AND p.proowner = 'vault_etl_owner'::regrole
        )
    ) THEN
        RAISE EXCEPTION 'a procedure of this vault calls this, and commits'
            USING ERRCODE = 'insufficient_privilege', HINT = 'CALL public.commit_…, outside of a transaction.';
    END IF;
    PERFORM set_config(name, value, true) FROM (VALUES
        ('synchronous_commit', 'on'), ('client_min_messages', 'error'), ('tcp_user_timeout', '250'),
        ('enable_seqscan', 'off'), ('enable_indexscan', 'on'), ('random_page_cost', '1'),
        ('cpu_index_tuple_cost', '0.005'), ('plan_cache_mode', 'force_custom_plan'), ('jit', 'off')
    ) AS setting (name, value);
END
$$;
REVOKE ALL ON FUNCTION public.short_transaction() FROM PUBLIC;

-- Waits for the turn to write, in the order of coming, and holds it until the transaction ends: for as long as the
-- caller's lock_timeout says, or 10 s. A login's sessions wait for each other first: many of them take one place.
CREATE FUNCTION public.audit_lock() RETURNS public.audit_head
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    me text := session_user;
    patience text := current_setting('lock_timeout');
    deadline timestamptz := clock_timestamp() + coalesce(nullif(patience, '0')::interval, interval '10 s');
    head public.audit_head;
BEGIN
    PERFORM public.short_transaction();
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'the audit log is written in READ COMMITTED' USING ERRCODE = 'invalid_transaction_state';
    END IF;
    INSERT INTO public.audit_rates (login, kind, paid_until) VALUES (me, 'entry', '-infinity')
    ON CONFLICT DO NOTHING;
    PERFORM FROM public.audit_rates AS r WHERE r.login = me AND r.kind = 'entry' FOR UPDATE;
    PERFORM set_config('lock_timeout', greatest(1, ceil(
        extract(epoch FROM deadline - clock_timestamp()) * 1000
    ))::integer::text, true);
    LOCK TABLE public.audit_turn IN EXCLUSIVE MODE;
    PERFORM set_config('lock_timeout', patience, true);
    SELECT * INTO STRICT head FROM public.audit_head;
    RETURN head;
END
$$;
REVOKE ALL ON FUNCTION public.audit_lock() FROM PUBLIC;

-- The session that holds the turn, if one does, since when its transaction runs, and whether that is visible.
CREATE FUNCTION public.audit_holder() RETURNS TABLE (pid integer, login text, since timestamptz, visible boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT l.pid, a.usename::text, a.xact_start, pg_has_role('pg_read_all_stats', 'USAGE')
    FROM (VALUES (true)) AS one (one)
    LEFT JOIN pg_locks AS l ON l.locktype = 'relation' AND l.relation = 'public.audit_turn'::regclass
        AND l.mode = 'ExclusiveLock' AND l.granted
        AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
    LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
$$;
REVOKE ALL ON FUNCTION public.audit_holder() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.audit_holder() TO vault_etl_audit;

-- Takes `cost` from what this login may write of a kind. It may be ahead by 60 s, and then raises VE429, whose
-- detail says how many seconds to wait: nothing is written. No cost is more than 60 s. A clock that went back
-- holds a login up for a minute at most.
CREATE FUNCTION public.audit_rate(kind text, cost interval) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s' AS $$
DECLARE
    now timestamptz := clock_timestamp();
    limited timestamptz := now + interval '60 s';
    paid timestamptz;
BEGIN
    INSERT INTO public.audit_rates AS r (login, kind, paid_until) VALUES (session_user, audit_rate.kind, now + cost)
    ON CONFLICT ON CONSTRAINT audit_rates_pkey
        DO UPDATE SET paid_until = greatest(least(r.paid_until, limited), now) + cost
    RETURNING r.paid_until INTO paid;
    IF paid > limited THEN
        RAISE EXCEPTION 'this login writes too much in too short a time'
            USING ERRCODE = 'VE429', DETAIL = ceil(extract(epoch FROM paid - limited))::text;
    END IF;
END
$$;
REVOKE ALL ON FUNCTION public.audit_rate(text, interval) FROM PUBLIC;

-- What the policy in force allows a login in an hour: values to make tokens of, a quota of its own since that shows
-- nothing of a record, or looks.
CREATE FUNCTION public.audit_quota(of_tokens boolean) RETURNS integer
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce((
        SELECT (p.document::jsonb ->> CASE WHEN of_tokens THEN 'tokens_an_hour' ELSE 'reveals_an_hour' END)::integer
        FROM public.reveal_policies AS p ORDER BY p.seq DESC LIMIT 1
    ), CASE WHEN of_tokens THEN 10000 ELSE 50 END)
$$;
REVOKE ALL ON FUNCTION public.audit_quota(boolean) FROM PUBLIC;

-- Raises, naming the column and nothing of it, for what is no entry. The table's own CHECKs say the same, but
-- their errors show the whole row.
CREATE FUNCTION public.audit_validate(
    request_id uuid, phase text, actor text, host text, action text, fields text[],
    purpose text, ticket text, reason text, decision text, error_code text
) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    wrong text := CASE
        WHEN request_id IS NULL THEN 'request_id'
        WHEN (phase, decision) NOT IN (
            ('intent', 'allowed'), ('intent', 'denied'), ('outcome', 'done'), ('outcome', 'failed')
        ) IS NOT FALSE THEN 'phase and decision'
        WHEN NOT EXISTS (SELECT FROM public.audit_actions AS a WHERE a.action = audit_validate.action) THEN 'action'
        WHEN public.audit_is_text(actor, 2048) IS NOT TRUE THEN 'actor'
        WHEN public.audit_is_text(host, 255) IS NOT TRUE THEN 'host'
        WHEN NOT public.audit_is_text(purpose, 64) THEN 'purpose'
        WHEN NOT public.audit_is_text(ticket, 64) THEN 'ticket'
        WHEN public.audit_is_text(reason, 500) IS NOT TRUE THEN 'reason'
        WHEN fields IS NULL OR array_ndims(fields) > 1 OR NOT fields <@ ARRAY['device_id', 'ip', 'quarantine']
            OR cardinality(fields) <> (SELECT count(DISTINCT field) FROM unnest(fields) AS field) THEN 'fields'
        WHEN (decision IN ('denied', 'failed')) <> (error_code IS NOT NULL)
            OR error_code !~ '^[a-z][a-z0-9_]{0,63}$' THEN 'error_code'
    END;
BEGIN
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'no entry of the audit log: its % is not as it should be', wrong
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
END
$$;
REVOKE ALL ON FUNCTION public.audit_validate(
    uuid, text, text, text, text, text[], text, text, text, text, text
) FROM PUBLIC;

-- Writes an entry for the owner's functions alone, which have decided already. An outcome is of an intent that
-- was allowed, and about the same; its reason may say what came of it.
CREATE FUNCTION public.audit_write(
    request_id uuid, phase text, actor text, host text, action text, record_id uuid, fields text[],
    purpose text, ticket text, reason text, decision text, error_code text
) RETURNS public.audit_log
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    head public.audit_head;
    entry public.audit_log;
BEGIN
    PERFORM public.audit_validate(
        request_id, phase, actor, host, action, fields, purpose, ticket, reason, decision, error_code
    );
    head := public.audit_lock();
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
    entry.fields := ARRAY(SELECT field FROM unnest(audit_write.fields) AS field ORDER BY field COLLATE "C");
    entry.purpose := audit_write.purpose;
    entry.ticket := audit_write.ticket;
    entry.reason := audit_write.reason;
    entry.decision := audit_write.decision;
    entry.error_code := audit_write.error_code;
    entry.prev_hash := head.hash;
    entry.written_by := pg_current_xact_id();
    entry.hash := public.audit_hash(entry);
    IF EXISTS (
        SELECT FROM public.audit_log AS l WHERE l.request_id = entry.request_id AND l.phase = entry.phase
    ) THEN
        RAISE EXCEPTION 'this request has its % already', entry.phase USING ERRCODE = 'unique_violation';
    END IF;
    IF entry.phase = 'outcome' AND NOT EXISTS (
        SELECT FROM public.audit_log AS l
        WHERE l.request_id = entry.request_id AND l.phase = 'intent' AND l.decision = 'allowed'
            AND (l.login, l.actor, l.host, l.action, l.fields) = (
                entry.login, entry.actor, entry.host, entry.action, entry.fields
            )
            AND (l.record_id, l.purpose, l.ticket) IS NOT DISTINCT FROM (
                entry.record_id, entry.purpose, entry.ticket
            )
    ) THEN
        RAISE EXCEPTION 'no allowed intent of this login has this outcome'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    -- An allowed intent pays for its outcome, which no rate may keep from the log. Each denial is a slow one. A
    -- long text costs as much as many short ones: one for each KiB.
    IF entry.phase = 'intent' THEN
        PERFORM public.audit_rate('entry', ceil(octet_length(concat(
            entry.actor, entry.host, entry.purpose, entry.ticket, entry.reason
        )) / 1024.0) * CASE entry.decision
            WHEN 'denied' THEN interval '60 s' / 120
            ELSE (
                SELECT 2 * interval '60 s' / greatest(a.a_minute, CASE WHEN a.is_access THEN 2 * public.audit_quota(false) END)
                FROM public.audit_actions AS a WHERE a.action = entry.action
            )
        END);
    END IF;
    INSERT INTO public.audit_log SELECT entry.*;
    UPDATE public.audit_head AS h SET seq = entry.seq, hash = entry.hash;
    RETURN entry;
END
$$;
REVOKE ALL ON FUNCTION public.audit_write(
    uuid, text, text, text, text, uuid, text[], text, text, text, text, text
) FROM PUBLIC;

-- What this login has used of a quota now, by what it did in the last hour: of that of tokens, or of that of looks.
CREATE FUNCTION public.audit_used(of_tokens boolean)
RETURNS TABLE (used bigint, oldest timestamptz, newest timestamptz)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    me text := session_user;  -- as the column's type, and known before the query: then its index serves it
    an_hour_ago timestamptz := clock_timestamp() - interval '1 hour';
BEGIN
    RETURN QUERY
        SELECT coalesce(sum(coalesce(a.amount, 1)), 0), min(l.logged_at), max(l.logged_at)
        FROM public.audit_log AS l LEFT JOIN public.audit_amounts AS a ON a.seq = l.seq
        WHERE l.login = me AND l.logged_at > an_hour_ago AND l.phase = 'intent' AND l.decision = 'allowed'
            AND l.action IN (SELECT k.action FROM public.audit_actions AS k WHERE k.is_access)
            AND (l.action = 'tokens') = of_tokens;
END
$$;
REVOKE ALL ON FUNCTION public.audit_used(boolean) FROM PUBLIC;

-- Why the policy says no to a look: one word, or NULL. Called with the head locked, so that a quota holds.
-- Changes of keys are no looks: they are on the record, and under no policy.
CREATE FUNCTION public.audit_denial(action text, fields text[], purpose text, ticket text, amount integer) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    policy jsonb;
    rule jsonb;
    in_full text[];
    masked text[];
BEGIN
    IF NOT (SELECT a.is_access FROM public.audit_actions AS a WHERE a.action = audit_denial.action) THEN
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
        -- A look at no field at all is within any set, and would hand out what the log says of a record. To look for a
        -- user is the one of no field.
        IF NOT fields <@ (in_full || masked) OR (fields = '{}' AND action <> 'find')
            OR (action = 'quarantine show') <> (fields && ARRAY['quarantine'])
        THEN
            RETURN 'field';
        ELSIF action <> 'reveal masked' AND NOT fields <@ in_full THEN
            RETURN 'masked_only';
        ELSIF rule ->> 'ticket_pattern' IS NOT NULL
            AND coalesce(ticket, '') !~ ('^(?:' || (rule ->> 'ticket_pattern') || ')$')
        THEN
            RETURN 'ticket';
        END IF;
    END IF;
    IF (SELECT u.used FROM public.audit_used(action = 'tokens') AS u) + coalesce(amount, 1)
        > public.audit_quota(action = 'tokens')
    THEN
        RETURN 'quota';
    END IF;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION public.audit_denial(text, text[], text, text, integer) FROM PUBLIC;

-- The policy in force (NULL: the default), and how this login stands to it, as two rows: its looks, and then its tokens.
-- A person asks before many looks, which are decided one by one all the same. `reader` is whether the login may look.
CREATE FUNCTION public.audit_allowance() RETURNS TABLE (
    document text, reader boolean, an_hour integer, used bigint, oldest timestamptz, newest timestamptz
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT
        (SELECT p.document FROM public.reveal_policies AS p ORDER BY p.seq DESC LIMIT 1),
        pg_has_role(session_user, 'vault_etl_reveal', 'USAGE'), q.an_hour, u.used, u.oldest, u.newest
    FROM (VALUES (false, public.audit_quota(false)), (true, public.audit_quota(true))) AS q (of_tokens, an_hour),
        LATERAL public.audit_used(q.of_tokens) AS u
    ORDER BY q.of_tokens
$$;
REVOKE ALL ON FUNCTION public.audit_allowance() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.audit_allowance() TO vault_etl_reveal, vault_etl_audit;

-- `amount` is of an intent to find, or to make tokens of, so many values. It stands before the reason.
--
-- The one way into the log. `commit_audit_append` commits it, before the client does what the entry is about. What
-- comes back says what was decided, of whom and when: an intent that the policy denies, or whose action is not for a role of this login,
-- is an entry too.
CREATE FUNCTION public.audit_append(
    request_id uuid, phase text, actor text, host text, action text, record_id uuid, fields text[],
    purpose text, ticket text, reason text, decision text, error_code text, amount integer DEFAULT NULL
) RETURNS TABLE (seq bigint, hash bytea, decided text, code text, login text, logged_at timestamptz)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s' AS $$
DECLARE
    entry public.audit_log;
    denial text;
BEGIN
    PERFORM public.short_transaction();
    PERFORM public.audit_validate(
        request_id, phase, actor, host, action, fields, purpose, ticket, reason, decision, error_code
    );
    -- A reason that itself begins as an amount does gets the one that holds before it: `audit verify` compares the first.
    IF amount IS NULL AND phase = 'intent' AND action IN ('find', 'tokens') AND reason ~ '^[0-9]+ values: ' THEN
        amount := 1;
    ELSIF amount IS NOT NULL AND (
        amount NOT BETWEEN 1 AND 65536 OR phase <> 'intent' OR action NOT IN ('find', 'tokens')
        OR cardinality(fields) <> 1
    ) THEN
        RAISE EXCEPTION 'no entry of the audit log: its amount is not as it should be'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM public.audit_lock();
    IF NOT EXISTS (
        SELECT FROM public.audit_actions AS a, unnest(a.roles) AS role
        WHERE a.action = audit_append.action AND pg_has_role(session_user, role, 'USAGE, SET')
    ) THEN
        denial := 'role';
    ELSIF decision = 'allowed' THEN
        denial := public.audit_denial(action, fields, purpose, ticket, amount);
    END IF;
    IF denial IS NOT NULL AND phase = 'outcome' THEN
        RAISE EXCEPTION 'this login may not write this outcome' USING ERRCODE = 'insufficient_privilege';
    END IF;
    entry := public.audit_write(
        request_id, phase, actor, host, action, record_id, fields, purpose, ticket,
        rtrim(left(concat(amount || ' values: ', reason), 500)),
        CASE WHEN denial IS NULL THEN decision ELSE 'denied' END, coalesce(denial, error_code)
    );
    IF amount IS NOT NULL AND entry.decision = 'allowed' THEN
        INSERT INTO public.audit_amounts VALUES (entry.seq, audit_append.amount);
    END IF;
    RETURN QUERY
        SELECT entry.seq, entry.hash, entry.decision, entry.error_code, entry.login, entry.logged_at;
END
$$;
REVOKE ALL ON FUNCTION public.audit_append(
    uuid, text, text, text, text, uuid, text[], text, text, text, text, text, integer
) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.audit_append(
    uuid, text, text, text, text, uuid, text[], text, text, text, text, text, integer
) TO vault_etl_reveal, vault_etl_rotate, vault_etl_re_encrypt;

GRANT SELECT ON public.audit_log, public.audit_amounts, public.audit_head, public.reveal_policies
    TO vault_etl_audit;
-- It is in every checkpoint. Every role compares a replica's with the primary's.
GRANT SELECT ON public.vault TO PUBLIC;
