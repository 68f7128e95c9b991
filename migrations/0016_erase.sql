-- Erasing. The role erase has no right to a table, and executes these functions.

SET LOCAL ROLE vault_etl_owner;

CREATE FUNCTION vault_etl.erase_places(record_id uuid)
RETURNS TABLE (event text, place regclass, first uuid, partition text, archive text, set_id uuid)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT e.event, e.place, NULL::uuid, NULL::text, NULL::text, NULL::uuid FROM vault_etl.event_tables() AS e
    UNION ALL
    SELECT m.event, vault_etl.partition_table(m.partition), m.first, m.partition, m.archive, NULL
    FROM vault_etl.closed_months AS m
    WHERE m.dropped_at IS NULL AND (m.archive IS NOT NULL OR vault_etl.partition_table(m.partition) IS NOT NULL)
        AND ($1 IS NULL OR $1 >= m.first AND $1 < m.until)
    UNION ALL
    SELECT s.event, NULL, NULL, s.set_id::text, s.location, s.set_id FROM vault_etl.lake_sets AS s WHERE $1 IS NULL
    ORDER BY 3 NULLS FIRST, 1
$$;
REVOKE ALL ON FUNCTION vault_etl.erase_places(uuid) FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.erase_places(uuid) IS
    'Returns where rows of this record, or of any user (NULL), may have to be erased: the tables of records, the '
    'tables of detached months with their archives, archives of months without a table, and of a user each set, whose '
    'id is in the place of the partition.';

CREATE FUNCTION vault_etl.erase_count(event text, place regclass, month uuid, record_id uuid, user_id text)
RETURNS TABLE (matching bigint, full_rows bigint, archived_rows bigint)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    --% for event in events
    IF event = {{ event.name | literal }} AND place IS NOT NULL THEN
        RETURN QUERY EXECUTE format(
            $query$
            SELECT count(*), count(*) FILTER (WHERE is_full), count(*) FILTER (WHERE is_full OR EXISTS (
                SELECT FROM vault_etl.archived_erasures AS e
                WHERE e.event = $4 AND e.first = $3 AND (e.record_id = found.record_id OR e.user_id = found.subject)
            ))
            FROM (
                SELECT r.record_id, r.{{ event.subject }} AS subject, num_nonnulls(
                    {{ (event.tokens + event.next_tokens) | prefixed("r.") }},
                    {{ event.ciphertexts | prefixed("r.") }}, r.token_generation, r.next_token_generation
                ) > 0 AS is_full
                FROM %s AS r WHERE %s
            ) AS found
            $query$, place, CASE WHEN record_id IS NULL THEN 'r.{{ event.subject }} = $2' ELSE 'r.record_id = $1' END
        ) USING record_id, user_id, month, event;
    END IF;
    --% endfor
END
$$;
REVOKE ALL ON FUNCTION vault_etl.erase_count(text, regclass, uuid, uuid, text) FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.erase_count(text, regclass, uuid, uuid, text) IS
    'Counts, in a place, one record or all records of a user: the rows, the rows that are not erased yet, and '
    'the rows whose values the archive of the month has, because it is older than their erasure. Returns no row '
    'for an archive without a table, of which nothing is known.';
--% for event in events

CREATE FUNCTION vault_etl.{{ event.name.plus("_erase_in") }}(place regclass, month uuid, record_id uuid, user_id text) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s' AS $$
DECLARE
    chosen text := format(
        '%s AND num_nonnulls('
        '    {{ (event.tokens + event.next_tokens) | prefixed("r.") }},'
        '    {{ event.ciphertexts | prefixed("r.") }}, r.token_generation, r.next_token_generation'
        ') > 0',
        CASE WHEN record_id IS NULL THEN 'r.{{ event.subject }} = $2' ELSE 'r.record_id = $1' END
    );
    erased bigint;
BEGIN
    IF month IS NOT NULL THEN
        EXECUTE format(
            $query$
            WITH held AS MATERIALIZED (
                SELECT r.record_id, r.token_generation, r.next_token_generation
                    --% for value in event.personal
                    , vault_etl.ciphertext_key_id(r.{{ value.ciphertext }}) AS {{ value.ciphertext }}
                    --% endfor
                FROM %s AS r WHERE %s FOR UPDATE
            ), gone AS (
                SELECT v.field, v.id, vault_etl.month_of(held.record_id) AS month, count(*) AS rows
                FROM held, LATERAL (VALUES
                    --% for value in event.personal
                    ({{ value.field | literal }}, held.{{ value.ciphertext }}),
                    --% endfor
                    ('token', held.token_generation::bigint), ('next_token', held.next_token_generation::bigint)
                ) AS v (field, id)
                WHERE v.id IS NOT NULL GROUP BY 1, 2, 3
            )
            UPDATE vault_etl.detached_values AS d SET held = d.held - gone.rows FROM gone
            WHERE d.event = {{ event.name | literal }} AND d.first = $3 AND d.field = gone.field AND d.id = gone.id
                AND d.month = gone.month
            $query$, place, chosen
        ) USING record_id, user_id, month;
    END IF;
    EXECUTE format(
        'UPDATE %s AS r SET'
        --% for column in event.tokens + event.next_tokens + event.ciphertexts
        '    {{ column }} = NULL,'
        --% endfor
        '    token_generation = NULL, next_token_generation = NULL'
        ' WHERE %s',
        place, chosen
    ) USING record_id, user_id;
    GET DIAGNOSTICS erased = ROW_COUNT;
    RETURN erased;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.{{ event.name.plus("_erase_in") }}(regclass, uuid, uuid, text) FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.{{ event.name.plus("_erase_in") }}(regclass, uuid, uuid, text) IS
    'Erases one record or all records of a user in a table of the event, and returns how many rows were not erased '
    'yet. What a detached month loses is subtracted from its counts.';
--% endfor

CREATE FUNCTION vault_etl.erase_in(event text, place regclass, month uuid, record_id uuid, user_id text) RETURNS bigint
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE event
        --% for event in events
        WHEN {{ event.name | literal }} THEN vault_etl.{{ event.name.plus("_erase_in") }}(place, month, record_id, user_id)
        --% endfor
    END
$$;
REVOKE ALL ON FUNCTION vault_etl.erase_in(text, regclass, uuid, uuid, text) FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.erase_in(text, regclass, uuid, uuid, text) IS
    'Erases one record or all records of a user in a place, as the function of its event does.';

CREATE FUNCTION vault_etl.erase_preview(record_id uuid, user_id text)
RETURNS TABLE (matching bigint, records bigint, bodies bigint, archives jsonb)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF num_nonnulls(record_id, user_id) <> 1 THEN
        RAISE EXCEPTION 'an erasure is of one record or of one user' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN QUERY
        SELECT in_records.matching + in_quarantine.matching, in_records.full_rows, in_quarantine.full_rows,
            coalesce(in_records.archives, '{}')
        FROM (
            SELECT sum(c.matching)::bigint AS matching, sum(c.full_rows)::bigint AS full_rows,
                jsonb_object_agg(p.partition, p.archive) FILTER (
                    WHERE p.archive IS NOT NULL AND (p.place IS NULL OR c.archived_rows > 0)
                ) AS archives
            FROM vault_etl.erase_places(erase_preview.record_id) AS p
            LEFT JOIN LATERAL vault_etl.erase_count(
                p.event, p.place, p.first, erase_preview.record_id, erase_preview.user_id
            ) AS c ON true
            -- A month whose detaching has not begun is counted in the table of its event.
            WHERE NOT EXISTS (SELECT FROM pg_inherits AS i WHERE i.inhrelid = p.place AND NOT i.inhdetachpending)
        ) AS in_records,
        (
            SELECT count(*) AS matching, count(q.body_ciphertext) AS full_rows
            FROM vault_etl.quarantine AS q WHERE q.record_id = erase_preview.record_id
        ) AS in_quarantine;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.erase_preview(uuid, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault_etl.erase_preview(uuid, text) TO vault_etl_erase;
COMMENT ON FUNCTION vault_etl.erase_preview(uuid, text) IS
    'Returns what an erasure would take away now: of one record and the quarantined message of that id, or of '
    'all records of a user. `matching` counts what exists, erased already or not. `archives` are those, by '
    'month, that hold values of it, or may hold some because their months have no table; of a user all sets too, by '
    'their ids.';

CREATE FUNCTION vault_etl.erase(
    request_id uuid, actor text, host text, record_id uuid, user_id text, ticket text, reason text, declaration bytea
) RETURNS TABLE (records bigint, bodies bigint, archives jsonb, erased_at timestamptz, seq bigint, hash bytea)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s' AS $$
DECLARE
    fields text[] := ARRAY[{{ fields | map(attribute="name.raw") | sort | map("literal") | join(", ") }}];
    erased_records bigint := 0;
    erased_bodies bigint := 0;
    there record;
    found record;
    outcome vault_etl.audit_log;
BEGIN
    PERFORM vault_etl.ensure_short_transaction();
    -- The lock of every writer of tokens or ciphertexts: a cut-over, or the end of a key, waits for the erasure or
    -- the erasure for it. A writer that compares and swaps needs no more: it finds NULL, or is overwritten.
    LOCK TABLE vault_etl.key_fence IN ROW EXCLUSIVE MODE;
    PERFORM vault_etl.ensure_declared(declaration);
    IF num_nonnulls(record_id, user_id) <> 1 THEN
        RAISE EXCEPTION 'an erasure is of one record or of one user' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF record_id IS NOT NULL THEN
        fields := fields || 'quarantine'::text;
        -- Bodies come before records: this waits for a retry that moves the message, and the record that the retry
        -- stored is erased below.
        UPDATE vault_etl.quarantine AS q SET body_ciphertext = NULL
        WHERE q.record_id = erase.record_id AND q.body_ciphertext IS NOT NULL;
        GET DIAGNOSTICS erased_bodies = ROW_COUNT;
    END IF;
    -- No month is detached, attached or archived until the commit. Otherwise both places could miss its rows. No set
    -- is added or ends meanwhile.
    LOCK TABLE vault_etl.closed_months, vault_etl.lake_sets IN SHARE MODE;
    SELECT * INTO STRICT there FROM vault_etl.erase_preview(record_id, user_id);
    IF erased_bodies + there.matching = 0 AND there.archives = '{}' THEN
        RETURN;
    END IF;
    INSERT INTO vault_etl.archived_erasures AS e (event, first, set_id, record_id, user_id)
    SELECT p.event, p.first, p.set_id, erase.record_id, erase.user_id FROM vault_etl.erase_places(erase.record_id) AS p
    WHERE there.archives ? p.partition ORDER BY p.first, p.event, p.set_id
    ON CONFLICT ON CONSTRAINT each_once DO NOTHING;
    FOR found IN SELECT p.event, p.place, p.first FROM vault_etl.erase_places(record_id) AS p WHERE p.place IS NOT NULL LOOP
        erased_records := erased_records
            + vault_etl.erase_in(found.event, found.place, found.first, record_id, user_id);
    END LOOP;
    -- Entries come last, because the head of the log is locked from here to the commit. This raises in a stricter
    -- level than READ COMMITTED, which would not see what was waited for above.
    PERFORM vault_etl.audit_write(
        request_id, 'intent', actor, host, 'erase', record_id, fields, NULL, ticket, reason, 'allowed', NULL
    );
    outcome := vault_etl.audit_write(
        request_id, 'outcome', actor, host, 'erase', record_id, fields, NULL, ticket,
        format(
            'erased records: %s, quarantined bodies: %s, left in archives: %s', erased_records, erased_bodies,
            (SELECT count(*) FROM jsonb_object_keys(there.archives))
        ), 'done', NULL
    );
    RETURN QUERY
        SELECT erased_records, erased_bodies, there.archives, outcome.logged_at, outcome.seq, outcome.hash;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.erase(uuid, text, text, uuid, text, text, text, bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault_etl.erase(uuid, text, text, uuid, text, text, text, bytea) TO vault_etl_erase;
COMMENT ON FUNCTION vault_etl.erase(uuid, text, text, uuid, text, text, text, bytea) IS
    'Sets tokens of every name, ciphertexts and bodies to NULL, in detached months too, and writes two entries '
    'that say so: all or nothing. The rows stay, so that a message that comes again conflicts with them. What '
    'an archive holds, or may hold, is put on the record for it, once. Returns no row, and writes no entry, if '
    'the record or user does not exist and no archive may hold one.';
