-- How an entry gets into the audit log: the turn to write, the rate of a login, the check of an entry, and audit_append.

SET LOCAL ROLE vault_etl_owner;

-- In a procedure or a DO block alone does a transaction begin later than the statement of the client, and the last line of
-- the context names it: `inline_code_block` is a DO block, and `pg_temp_1.…` is what a client made.
CREATE FUNCTION vault_etl.ensure_short_transaction() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    context text;
BEGIN
    GET DIAGNOSTICS context = PG_CONTEXT;
    context := replace(substring(context FROM '[^\n]*$'), ' vault_etl.', ' ');
    IF NOT pg_has_role(session_user, 'vault_etl_owner', 'SET') AND (
        now() <= statement_timestamp() OR context ~ '[."'']' OR NOT EXISTS (
            SELECT FROM pg_proc AS p
            WHERE p.proname = substring(context FROM '(commit_[a-z_]+)\(') AND p.prokind = 'p'
                AND p.pronamespace = 'vault_etl'::regnamespace AND p.proowner = 'vault_etl_owner'::regrole
        )
    ) THEN
        RAISE EXCEPTION 'only a procedure of this vault may call this function'
            USING ERRCODE = 'insufficient_privilege', HINT = 'CALL vault_etl.commit_…, outside of a transaction.';
    END IF;
    PERFORM set_config(name, value, true) FROM (VALUES
        ('synchronous_commit', 'on'), ('client_min_messages', 'error'), ('tcp_user_timeout', '250'),
        ('enable_seqscan', 'off'), ('enable_indexscan', 'on'), ('random_page_cost', '1'),
        ('cpu_index_tuple_cost', '0.005'), ('plan_cache_mode', 'force_custom_plan'), ('jit', 'off')
    ) AS setting (name, value);
END
$$;
REVOKE ALL ON FUNCTION vault_etl.ensure_short_transaction() FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.ensure_short_transaction() IS
    'Makes sure that this transaction is short, and that no client can lengthen it. Raises unless a procedure '
    'commit_… of the vault called this in a transaction that it has begun: the procedure commits as soon as its '
    'function is done (0027_commits.sql). The owner is exempt, who may lock everything. Also sets, for the rest '
    'of the transaction and whatever the session has: a commit waits for disks and not for the queries of a '
    'standby; a client that reads nothing is sent no messages, and if an error must be sent it loses its '
    'connection, because a session that cannot send its error keeps its locks and cannot be ended; plans use '
    'indexes and are not compiled.';

CREATE FUNCTION vault_etl.audit_lock() RETURNS vault_etl.audit_head
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    me text := session_user;
    patience text := current_setting('lock_timeout');
    deadline timestamptz := clock_timestamp() + coalesce(nullif(patience, '0')::interval, interval '10 s');
    head vault_etl.audit_head;
BEGIN
    PERFORM vault_etl.ensure_short_transaction();
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'the audit log is written in READ COMMITTED' USING ERRCODE = 'invalid_transaction_state';
    END IF;
    INSERT INTO vault_etl.audit_rates (login, kind, paid_until) VALUES (me, 'entry', '-infinity')
    ON CONFLICT DO NOTHING;
    PERFORM FROM vault_etl.audit_rates AS r WHERE r.login = me AND r.kind = 'entry' FOR UPDATE;
    PERFORM set_config('lock_timeout', greatest(1, ceil(
        extract(epoch FROM deadline - clock_timestamp()) * 1000
    ))::integer::text, true);
    LOCK TABLE vault_etl.audit_turn IN EXCLUSIVE MODE;
    PERFORM set_config('lock_timeout', patience, true);
    SELECT * INTO STRICT head FROM vault_etl.audit_head;
    RETURN head;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.audit_lock() FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.audit_lock() IS
    'Waits for the turn to write, in the order of arrival, and holds it until the transaction ends. Waits as '
    'long as the lock_timeout of the caller says, or 10 s. The sessions of a login wait for each other first, '
    'so that many of them take one place.';

CREATE FUNCTION vault_etl.audit_rate(kind text, cost interval) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s' AS $$
DECLARE
    now timestamptz := clock_timestamp();
    limited timestamptz := now + interval '60 s';
    paid timestamptz;
BEGIN
    INSERT INTO vault_etl.audit_rates AS r (login, kind, paid_until) VALUES (session_user, audit_rate.kind, now + cost)
    ON CONFLICT ON CONSTRAINT audit_rates_pkey
        DO UPDATE SET paid_until = greatest(least(r.paid_until, limited), now) + cost
    RETURNING r.paid_until INTO paid;
    IF paid > limited THEN
        RAISE EXCEPTION 'this login writes too much in too short a time'
            USING ERRCODE = 'VE429', DETAIL = ceil(extract(epoch FROM paid - limited))::text;
    END IF;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.audit_rate(text, interval) FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.audit_rate(text, interval) IS
    'Takes `cost`, at most 60 s, from what this login may write of a kind. A login may be ahead by 60 s. After '
    'that this raises VE429, whose detail says how many seconds to wait, and nothing is written. A clock that '
    'went back delays a login by a minute at most.';

CREATE FUNCTION vault_etl.audit_validate(
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
        WHEN NOT EXISTS (SELECT FROM vault_etl.audit_actions AS a WHERE a.action = audit_validate.action) THEN 'action'
        WHEN vault_etl.audit_is_text(actor, 2048) IS NOT TRUE THEN 'actor'
        WHEN vault_etl.audit_is_text(host, 255) IS NOT TRUE THEN 'host'
        WHEN NOT vault_etl.audit_is_text(purpose, 64) THEN 'purpose'
        WHEN NOT vault_etl.audit_is_text(ticket, 64) THEN 'ticket'
        WHEN vault_etl.audit_is_text(reason, 500) IS NOT TRUE THEN 'reason'
        WHEN fields IS NULL OR array_ndims(fields) > 1 OR NOT fields <@ ARRAY[{{ (tokens|map(attribute='name.raw')|list + ['quarantine'])|sort|map('literal')|join(', ') }}]
            OR (fields::text LIKE '%/%' AND (action NOT IN ('find', 'tokens') OR cardinality(fields) <> 1))
            OR cardinality(fields) <> (SELECT count(DISTINCT field) FROM unnest(fields) AS field) THEN 'fields'
        WHEN (decision IN ('denied', 'failed')) <> (error_code IS NOT NULL)
            OR error_code !~ '^[a-z][a-z0-9_]{0,63}$' THEN 'error_code'
    END;
BEGIN
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'this is not a valid entry of the audit log: invalid %', wrong
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.audit_validate(
    uuid, text, text, text, text, text[], text, text, text, text, text
) FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.audit_validate(uuid, text, text, text, text, text[], text, text, text, text, text) IS
    'Raises for what is not a valid entry, and names the column and no value. The CHECKs of the table say the '
    'same, but their errors show the whole row.';

CREATE FUNCTION vault_etl.audit_write(
    request_id uuid, phase text, actor text, host text, action text, record_id uuid, fields text[],
    purpose text, ticket text, reason text, decision text, error_code text
) RETURNS vault_etl.audit_log
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    head vault_etl.audit_head;
    entry vault_etl.audit_log;
BEGIN
    PERFORM vault_etl.audit_validate(
        request_id, phase, actor, host, action, fields, purpose, ticket, reason, decision, error_code
    );
    head := vault_etl.audit_lock();
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
    entry.hash := vault_etl.audit_hash(entry);
    IF EXISTS (
        SELECT FROM vault_etl.audit_log AS l WHERE l.request_id = entry.request_id AND l.phase = entry.phase
    ) THEN
        RAISE EXCEPTION 'this request has its % already', entry.phase USING ERRCODE = 'unique_violation';
    END IF;
    IF entry.phase = 'outcome' AND NOT EXISTS (
        SELECT FROM vault_etl.audit_log AS l
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
    -- An allowed intent pays for its outcome too, because no rate may keep an outcome from the log. A denial is slow.
    -- A long text costs as much as many short ones: one for each KiB.
    IF entry.phase = 'intent' THEN
        PERFORM vault_etl.audit_rate('entry', ceil(octet_length(concat(
            entry.actor, entry.host, entry.purpose, entry.ticket, entry.reason
        )) / 1024.0) * CASE entry.decision
            WHEN 'denied' THEN interval '60 s' / 120
            ELSE (
                SELECT 2 * interval '60 s' / greatest(a.a_minute, CASE WHEN a.is_access THEN 2 * vault_etl.audit_quota(false) END)
                FROM vault_etl.audit_actions AS a WHERE a.action = entry.action
            )
        END);
    END IF;
    INSERT INTO vault_etl.audit_log SELECT entry.*;
    UPDATE vault_etl.audit_head AS h SET seq = entry.seq, hash = entry.hash;
    RETURN entry;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.audit_write(
    uuid, text, text, text, text, uuid, text[], text, text, text, text, text
) FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.audit_write(uuid, text, text, text, text, uuid, text[], text, text, text, text, text) IS
    'Writes an entry for functions of the owner, which have decided already. An outcome belongs to an intent '
    'that was allowed, and is about the same; its reason may say what came of it.';

CREATE FUNCTION vault_etl.audit_append(
    request_id uuid, phase text, actor text, host text, action text, record_id uuid, fields text[],
    purpose text, ticket text, reason text, decision text, error_code text, amount integer DEFAULT NULL
) RETURNS TABLE (seq bigint, hash bytea, decided text, code text, login text, logged_at timestamptz)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s' AS $$
DECLARE
    entry vault_etl.audit_log;
    denial text;
BEGIN
    PERFORM vault_etl.ensure_short_transaction();
    PERFORM vault_etl.audit_validate(
        request_id, phase, actor, host, action, fields, purpose, ticket, reason, decision, error_code
    );
    -- A reason that itself begins like an amount gets the true amount in front: `audit verify` compares the first one.
    IF amount IS NULL AND phase = 'intent' AND (
        action = 'lake open' OR action IN ('find', 'tokens') AND reason ~ '^[0-9]+ values: '
    ) THEN
        amount := 1;
    ELSIF amount IS NOT NULL AND (
        phase <> 'intent' OR action NOT IN ('find', 'tokens', 'lake open')
        OR action = 'lake open' AND amount NOT BETWEEN 1 AND 1000000
        OR action <> 'lake open' AND (amount NOT BETWEEN 1 AND 65536 OR cardinality(fields) <> 1)
    ) THEN
        RAISE EXCEPTION 'this is not a valid entry of the audit log: invalid amount'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM vault_etl.audit_lock();
    IF NOT EXISTS (
        SELECT FROM vault_etl.audit_actions AS a, unnest(a.roles) AS role
        WHERE a.action = audit_append.action AND pg_has_role(session_user, role, 'USAGE, SET')
    ) THEN
        denial := 'role';
    ELSIF decision = 'allowed' THEN
        denial := vault_etl.audit_denial(action, fields, purpose, ticket, amount);
    END IF;
    IF denial IS NOT NULL AND phase = 'outcome' THEN
        RAISE EXCEPTION 'this login may not write this outcome' USING ERRCODE = 'insufficient_privilege';
    END IF;
    entry := vault_etl.audit_write(
        request_id, phase, actor, host, action, record_id, fields, purpose, ticket,
        rtrim(left(concat(amount || CASE action WHEN 'lake open' THEN ' rows: ' ELSE ' values: ' END, reason), 500)),
        CASE WHEN denial IS NULL THEN decision ELSE 'denied' END, coalesce(denial, error_code)
    );
    IF amount IS NOT NULL AND entry.decision = 'allowed' THEN
        INSERT INTO vault_etl.audit_amounts VALUES (entry.seq, audit_append.amount);
    END IF;
    RETURN QUERY
        SELECT entry.seq, entry.hash, entry.decision, entry.error_code, entry.login, entry.logged_at;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.audit_append(
    uuid, text, text, text, text, uuid, text[], text, text, text, text, text, integer
) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault_etl.audit_append(
    uuid, text, text, text, text, uuid, text[], text, text, text, text, text, integer
) TO vault_etl_reveal, vault_etl_rotate, vault_etl_re_encrypt;
COMMENT ON FUNCTION vault_etl.audit_append(
    uuid, text, text, text, text, uuid, text[], text, text, text, text, text, integer
) IS
    'Appends an entry. This is the only way into the log for a client: commit_audit_append commits the entry '
    'before the client does what it is about. Returns what was decided, for which login and when: an intent '
    'that the policy denies, or whose action is not for a role of this login, is an entry too. `amount` is of '
    'an intent to find, or to make tokens of, so many values, or to open so many rows of a set, and is written in front '
    'of the reason.';
