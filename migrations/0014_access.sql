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
    field text, ciphertext bytea, user_id text, create_date date, token uuid, token_generation smallint
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
            SELECT 'quarantine'::text, q.body_ciphertext, NULL::text, NULL::date, NULL::uuid, NULL::smallint
            FROM vault_etl.quarantine AS q
            WHERE q.record_id = entry.record_id AND 'quarantine' = ANY (entry.fields);
    ELSE
        RETURN QUERY
            SELECT of_field.field, of_field.ciphertext, r.user_id, r.create_date, of_field.token, r.token_generation
            FROM vault_etl.user_logins AS r,
                LATERAL (VALUES
                    ('ip', r.ip_ciphertext, r.masked_ip),
                    ('device_id', r.device_id_ciphertext, r.masked_device_id)
                ) AS of_field (field, ciphertext, token)
            WHERE r.record_id = entry.record_id AND of_field.field = ANY (entry.fields);
    END IF;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.audit_disclose(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault_etl.audit_disclose(bigint) TO vault_etl_reveal;
COMMENT ON FUNCTION vault_etl.audit_disclose(bigint) IS
    'Returns what is needed to open the fields that a committed intent names: one row a field, once. No row if '
    'the record is missing, and NULL for a value that was erased. A body of quarantine has a ciphertext alone. '
    'A masked reveal gets the same: the client masks.';

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
    record_id uuid, user_id text, create_date date, event_time timestamptz, holders bigint, value integer
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
            WHERE k.purpose = 'token' AND k.field = entry.fields[1] AND k.state <> 'destroyed'
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
        ), held AS (  -- `before`: the token in the column that is read first
            SELECT w.value, NULL::uuid AS before, r.record_id, r.user_id, r.create_date, r.event_time
            FROM wanted AS w JOIN vault_etl.user_logins AS r ON r.masked_ip = w.token WHERE entry.fields = ARRAY['ip']
            UNION ALL
            SELECT w.value, r.masked_ip, r.record_id, r.user_id, r.create_date, r.event_time
            FROM wanted AS w JOIN vault_etl.user_logins AS r ON r.next_masked_ip = w.token WHERE entry.fields = ARRAY['ip']
            UNION ALL
            SELECT w.value, NULL, r.record_id, r.user_id, r.create_date, r.event_time
            FROM wanted AS w JOIN vault_etl.user_logins AS r ON r.masked_device_id = w.token
            WHERE entry.fields = ARRAY['device_id']
            UNION ALL
            SELECT w.value, r.masked_device_id, r.record_id, r.user_id, r.create_date, r.event_time
            FROM wanted AS w JOIN vault_etl.user_logins AS r ON r.next_masked_device_id = w.token
            WHERE entry.fields = ARRAY['device_id']
        ), ranked AS (
            SELECT h.*, count(*) OVER (PARTITION BY h.value) AS holders,
                row_number() OVER (PARTITION BY h.value ORDER BY h.record_id DESC) AS place
            FROM held AS h
            WHERE NOT EXISTS (SELECT FROM wanted AS o WHERE o.value = h.value AND o.token = h.before)
        )
        SELECT k.record_id, k.user_id, k.create_date, k.event_time, k.holders, k.value FROM ranked AS k
        WHERE k.place <= least(max_ids, 1000) ORDER BY k.place, k.value LIMIT 100000;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.audit_find(bigint, bytea, uuid[], integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault_etl.audit_find(bigint, bytea, uuid[], integer) TO vault_etl_reveal;
COMMENT ON FUNCTION vault_etl.audit_find(bigint, bytea, uuid[], integer) IS
    'Returns who holds the values of an intent in its one field, once: of each value the newest records, 1,000 '
    'at most, and how many hold it in all. The tokens are those that another, committed transaction bound to '
    'the intent: the same number for each value, one value after the other, and no more of one than the field '
    'has token keys. `value` counts the values from 0. Returns 100,000 rows at most, the newest of each value '
    'first.';

CREATE FUNCTION vault_etl.audit_find_user(intent_seq bigint, nonce bytea, user_id text)
RETURNS TABLE (
    record_id uuid, device_type text, locale text, app_version text, create_date date, event_time timestamptz,
    holders bigint
)
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
        SELECT r.record_id, r.device_type, r.locale, r.app_version, r.create_date, r.event_time, count(*) OVER ()
        FROM vault_etl.user_logins AS r
        WHERE r.user_id = audit_find_user.user_id
        ORDER BY r.record_id DESC LIMIT 100000;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.audit_find_user(bigint, bytea, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault_etl.audit_find_user(bigint, bytea, text) TO vault_etl_reveal;
COMMENT ON FUNCTION vault_etl.audit_find_user(bigint, bytea, text) IS
    'Returns the records of one user in plain columns, the newest 100,000, and how many there are in all; once. '
    'The intent is to find, with no field, and another, committed transaction bound it to this user. Reads the '
    'whole table: 0.4 s for each million rows.';
