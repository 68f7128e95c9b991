-- Accesses: the only way of a reader to anything of a record is a committed intent in the audit log.

SET LOCAL ROLE vault_etl_owner;

CREATE FUNCTION vault_etl.audit_intent(intent_seq bigint, actions text[]) RETURNS vault_etl.audit_log
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    entry vault_etl.audit_log;
BEGIN
    SELECT * INTO entry FROM vault_etl.audit_log WHERE seq = intent_seq;
    -- A row that is visible and was written by another transaction is committed. A savepoint makes no difference,
    -- because written_by is the id of the top transaction.
    IF NOT FOUND OR entry.written_by = pg_current_xact_id()
        OR entry.phase <> 'intent' OR entry.decision <> 'allowed'
        OR entry.action <> ALL (actions)
        OR entry.login <> session_user
        OR clock_timestamp() NOT BETWEEN entry.logged_at - interval '60 s' AND entry.logged_at + interval '60 s'
    THEN
        RAISE EXCEPTION 'no committed intent of this login discloses this' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN entry;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.audit_intent(bigint, text[]) FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.audit_intent(bigint, text[]) IS
    'Returns the entry, if it discloses something now: an allowed intent to do one of these actions, of this '
    'login, committed by another transaction, and at most 60 s old. Raises 42501 otherwise, with the same words '
    'for any other seq.';

CREATE FUNCTION vault_etl.audit_resume(intent_seq bigint) RETURNS SETOF vault_etl.audit_log
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN QUERY
        SELECT * FROM vault_etl.audit_log AS l
        WHERE l.seq = intent_seq AND l.written_by <> pg_current_xact_id() AND l.phase = 'intent' AND l.decision = 'allowed'
            AND l.action IN ('lake open', 'lake rotate') AND l.login = session_user
            AND clock_timestamp() BETWEEN l.logged_at - interval '60 s' AND l.logged_at + interval '6 hours'
            AND NOT EXISTS (
                SELECT FROM vault_etl.audit_log AS o WHERE o.request_id = l.request_id AND o.phase = 'outcome'
            );
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no committed intent of this login waits for its outcome' USING ERRCODE = 'insufficient_privilege';
    END IF;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.audit_resume(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault_etl.audit_resume(bigint) TO vault_etl_reveal, vault_etl_re_encrypt;
COMMENT ON FUNCTION vault_etl.audit_resume(bigint) IS
    'Returns the entry, if another process may go on with what it is about: an allowed intent to open or rotate a set, '
    'of this login, committed by another transaction, at most 6 hours old, and without an outcome. Raises 42501 '
    'otherwise, with the same words for any other seq.';

CREATE FUNCTION vault_etl.audit_use(intent_seq bigint, search bytea) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO vault_etl.audit_disclosed (seq, search, written_by)
    VALUES (intent_seq, audit_use.search, pg_current_xact_id());
EXCEPTION WHEN unique_violation THEN
    RAISE EXCEPTION 'this intent was used before' USING ERRCODE = 'insufficient_privilege';
END
$$;
REVOKE ALL ON FUNCTION vault_etl.audit_use(bigint, bytea) FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.audit_use(bigint, bytea) IS
    'Uses an intent up, for a search that this digest names, or NULL. Raises 42501 if it was used before.';

CREATE FUNCTION vault_etl.audit_disclose(intent_seq bigint)
RETURNS TABLE (
    event text, name text, field text, ciphertext bytea, subject text, day date, tokens uuid[], token_generation smallint
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    entry vault_etl.audit_log := vault_etl.audit_intent(
        intent_seq, ARRAY['reveal', 'reveal masked', 'quarantine show']
    );
BEGIN
    PERFORM vault_etl.audit_use(intent_seq, NULL::bytea);
    IF entry.action = 'quarantine show' THEN
        RETURN QUERY
            SELECT
                'quarantine'::text, 'quarantine'::text, 'quarantine'::text, q.body_ciphertext, NULL::text, NULL::date,
                NULL::uuid[], NULL::smallint
            FROM vault_etl.quarantine AS q
            WHERE q.record_id = entry.record_id AND 'quarantine' = ANY (entry.fields);
    ELSE
        --% for event in events
        RETURN QUERY
            SELECT
                {{ event.name | literal }}, of_value.name, of_value.field, of_value.ciphertext, r.{{ event.subject }}, r.{{ event.day }},
                of_value.held, r.token_generation
            FROM vault_etl.{{ event.name }} AS r,
                LATERAL (VALUES
                    --% for value in event.personal
                    ({{ value.name | literal }}, {{ value.field | literal }}, r.{{ value.ciphertext }}, ARRAY[{{ value.tokens | prefixed("r.") }}]){{ "," if not loop.last }}
                    --% endfor
                ) AS of_value (name, field, ciphertext, held)
            WHERE r.record_id = entry.record_id AND of_value.field = ANY (entry.fields);
        --% endfor
    END IF;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.audit_disclose(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault_etl.audit_disclose(bigint) TO vault_etl_reveal;
COMMENT ON FUNCTION vault_etl.audit_disclose(bigint) IS
    'Returns what is needed to open the fields that a committed intent names: one row a value, once. No row if '
    'the record is missing, and NULL for a value that was erased. A body of quarantine has a ciphertext alone. '
    'A masked reveal gets the same: the client masks. `tokens` are that of the value, then those of its derived forms.';

CREATE FUNCTION vault_etl.audit_about(intent_seq bigint, after bigint) RETURNS SETOF vault_etl.audit_log
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    entry vault_etl.audit_log := vault_etl.audit_intent(intent_seq, ARRAY['reveal', 'quarantine show']);
BEGIN
    RETURN QUERY
        SELECT * FROM vault_etl.audit_log AS l WHERE l.record_id = entry.record_id AND l.seq > after
        ORDER BY l.seq LIMIT 1000;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.audit_about(bigint, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault_etl.audit_about(bigint, bigint) TO vault_etl_reveal;
COMMENT ON FUNCTION vault_etl.audit_about(bigint, bigint) IS
    'Returns the entries of the log about the record or message of an intent, the next 1,000 after a seq: who '
    'accessed it, and why. For the person whose record it is, and with whom a reader shares the values.';

CREATE FUNCTION vault_etl.audit_search(intent_seq bigint, digest bytea) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF length(digest) IS DISTINCT FROM 32 THEN
        RAISE EXCEPTION 'a digest has 32 bytes' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM vault_etl.audit_intent(intent_seq, ARRAY['find']);
    PERFORM vault_etl.audit_use(intent_seq, digest);
END
$$;
REVOKE ALL ON FUNCTION vault_etl.audit_search(bigint, bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault_etl.audit_search(bigint, bytea) TO vault_etl_reveal;
COMMENT ON FUNCTION vault_etl.audit_search(bigint, bytea) IS
    'Binds a committed intent to find to one set of tokens, or to one user, by a digest that says nothing about '
    'them (docs/formats.md). The caller commits it. Otherwise a client could search, roll back, and search for '
    'other tokens under the same intent.';

CREATE FUNCTION vault_etl.audit_find(intent_seq bigint, nonce bytea, tokens uuid[], max_ids integer)
RETURNS TABLE (
    event text, record_id uuid, subject text, day date, moment timestamptz, holders bigint, value integer
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    entry vault_etl.audit_log := vault_etl.audit_intent(intent_seq, ARRAY['find']);
    amount integer := coalesce((SELECT a.amount FROM vault_etl.audit_amounts AS a WHERE a.seq = intent_seq), 1);
    each_has integer := cardinality(tokens) / amount;
BEGIN
    IF cardinality(entry.fields) <> 1 OR array_ndims(tokens) IS DISTINCT FROM 1
        OR cardinality(tokens) <> amount * each_has OR each_has > (
            SELECT count(*) FROM vault_etl.data_keys AS k
            WHERE k.purpose = 'token' AND k.field = split_part(entry.fields[1], '/', 1) AND k.state <> 'destroyed'
        )
    THEN
        RAISE EXCEPTION 'the tokens do not fit the values and the field of the intent' USING ERRCODE = 'insufficient_privilege';
    END IF;
    UPDATE vault_etl.audit_disclosed AS s SET search = NULL
    WHERE s.seq = intent_seq AND s.written_by <> pg_current_xact_id() AND length(nonce) = 32
        AND s.search = sha256('vault-etl/1/search'::bytea || nonce || (
            SELECT string_agg(uuid_send(t.token), ''::bytea ORDER BY t.place)
            FROM unnest(tokens) WITH ORDINALITY AS t (token, place)
        ));
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the intent is not bound to these tokens' USING ERRCODE = 'insufficient_privilege';
    END IF;
    -- Only the parts for the field of the intent are run.
    RETURN QUERY
        WITH wanted AS (
            SELECT DISTINCT ((t.place - 1) / each_has)::integer AS value, t.token
            FROM unnest(tokens) WITH ORDINALITY AS t (token, place)
        ), held AS (  -- `before_…`: the tokens in the columns that are read first
            --% for part in searched
            {{ "UNION ALL " if not loop.first }}SELECT
                w.value, {{ part.event.name | literal }} AS event, r.record_id, r.{{ part.event.subject }} AS subject,
                r.{{ part.event.day }} AS day, {{ "r." ~ part.event.moment if part.event.moment else "NULL::timestamptz" }} AS moment
                --% for column in part.before
                , {{ "r." ~ column if column else "NULL::uuid" }} AS before_{{ loop.index }}
                --% endfor
            FROM wanted AS w JOIN vault_etl.{{ part.event.name }} AS r ON r.{{ part.column }} = w.token
            WHERE entry.fields = ARRAY[{{ part.name | literal }}]
            --% endfor
        ), ranked AS (
            SELECT h.*, count(*) OVER (PARTITION BY h.value) AS holders,
                row_number() OVER (PARTITION BY h.value ORDER BY h.record_id DESC) AS place
            FROM held AS h
            WHERE true
                --% for column in searched[0].before
                AND NOT EXISTS (SELECT FROM wanted AS o WHERE o.value = h.value AND o.token = h.before_{{ loop.index }})
                --% endfor
        )
        SELECT k.event, k.record_id, k.subject, k.day, k.moment, k.holders, k.value FROM ranked AS k
        WHERE k.place <= least(max_ids, 1000) ORDER BY k.place, k.value LIMIT 100000;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.audit_find(bigint, bytea, uuid[], integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault_etl.audit_find(bigint, bytea, uuid[], integer) TO vault_etl_reveal;
COMMENT ON FUNCTION vault_etl.audit_find(bigint, bytea, uuid[], integer) IS
    'Returns who holds the values of an intent in its one field or derived form of it, once: of each value the newest records, 1,000 '
    'at most, and how many hold it in all. The tokens are those that another, committed transaction bound to '
    'the intent: the same number for each value, one value after the other, and no more of one than the field '
    'has token keys. `value` counts the values from 0. Returns 100,000 rows at most, the newest of each value '
    'first.';

CREATE FUNCTION vault_etl.audit_find_user(intent_seq bigint, nonce bytea, user_id text)
RETURNS TABLE (event text, record_id uuid, day date, moment timestamptz, details jsonb, holders bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    entry vault_etl.audit_log := vault_etl.audit_intent(intent_seq, ARRAY['find']);
BEGIN
    IF entry.fields <> '{}' THEN
        RAISE EXCEPTION 'this intent finds values, not a user' USING ERRCODE = 'insufficient_privilege';
    END IF;
    UPDATE vault_etl.audit_disclosed AS s SET search = NULL
    WHERE s.seq = intent_seq AND s.written_by <> pg_current_xact_id() AND length(nonce) = 32
        AND s.search = sha256(
            'vault-etl/1/search-user'::bytea || nonce || convert_to(audit_find_user.user_id, 'UTF8')
        );
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the intent is not bound to this user' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN QUERY
        SELECT f.*, count(*) OVER () FROM (
            --% for event in events
            {{ "UNION ALL " if not loop.first }}SELECT
                {{ event.name | literal }}, r.record_id, r.{{ event.day }}, {{ "r." ~ event.moment if event.moment else "NULL::timestamptz" }},
                (SELECT to_jsonb(_details) FROM (SELECT {{ event.details | prefixed("r.") }}) AS _details)
            FROM vault_etl.{{ event.name }} AS r
            WHERE r.{{ event.subject }} = audit_find_user.user_id
            --% endfor
        ) AS f (event, record_id, day, moment, details)
        ORDER BY f.record_id DESC LIMIT 100000;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.audit_find_user(bigint, bytea, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault_etl.audit_find_user(bigint, bytea, text) TO vault_etl_reveal;
COMMENT ON FUNCTION vault_etl.audit_find_user(bigint, bytea, text) IS
    'Returns the records of one user in plain columns, the newest 100,000, and how many there are in all; once. '
    'The intent is to find, with no field, and another, committed transaction bound it to this user.';
