-- Months that come back or end: what `vault-etl partitions attach`, `drop` and `reopen` do, for the owner alone.

SET LOCAL ROLE vault_etl_owner;

CREATE FUNCTION vault_etl.partition_tokens(partition text, OUT active smallint, OUT misplaced bigint, OUT generations text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    active := (
        SELECT k.generation FROM vault_etl.data_keys AS k WHERE k.purpose = 'token' AND k.state = 'active' LIMIT 1
    );
    EXECUTE format(
        $query$
        SELECT coalesce(sum(rows), 0), string_agg(token_generation::text, ', ' ORDER BY token_generation)
        FROM (
            SELECT token_generation, count(*) AS rows FROM %1$s WHERE token_generation <> $1 GROUP BY 1
        ) AS others
        $query$, vault_etl.partition_table(partition)
    ) INTO misplaced, generations USING active;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.partition_tokens(text) FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.partition_tokens(text) IS
    'Returns the active generation, how many rows of a detached month have tokens of others, and of which. '
    'Reads every row.';

CREATE FUNCTION vault_etl.partition_misfits(event text, partition text) RETURNS SETOF text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    tokens record := vault_etl.partition_tokens(partition);
BEGIN
    IF EXISTS (SELECT FROM vault_etl.data_keys AS k WHERE k.purpose = 'token' AND k.state = 'pending') THEN
        RETURN NEXT 'a rotation of the token keys is under way, which would not see its rows: finish or abort it first';
    END IF;
    IF tokens.misplaced > 0 THEN
        RETURN NEXT format(
            '%s rows have tokens of generation %s, and generation %s is active', tokens.misplaced, tokens.generations,
            tokens.active
        );
    END IF;
    RETURN QUERY
        SELECT format(
            '%s values are sealed under data key %s, which %s', sum(v.held), v.id,
            CASE WHEN k.key_id IS NULL THEN 'is not there' ELSE 'was destroyed' END
        )
        FROM vault_etl.values_in(event, vault_etl.partition_table(partition)) AS v
        LEFT JOIN vault_etl.data_keys AS k ON k.key_id = v.id
        WHERE v.field NOT IN ('token', 'next_token') AND (k.key_id IS NULL OR k.state = 'destroyed')
        GROUP BY v.id, k.key_id;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.partition_misfits(text, text) FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.partition_misfits(text, text) IS
    'Returns what keeps a detached month from being attached, one line each, in words; no line if it fits. '
    'Reads every row.';

CREATE FUNCTION vault_etl.partition_fill(month regclass) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
BEGIN
END
$$;
REVOKE ALL ON FUNCTION vault_etl.partition_fill(regclass) FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.partition_fill(regclass) IS
    'Fills the columns of a detached month that online migrations fill in the rows of the table '
    '(docs/adr/0038-online-migrations.md). Such a migration replaces this function; none has yet.';

CREATE FUNCTION vault_etl.partition_fit(event text, partition text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    found regclass := vault_etl.partition_table(partition);
    parent regclass := (SELECT e.place FROM vault_etl.event_tables() AS e WHERE e.event = partition_fit.event);
    columns text;
    rules text;
    change text;
BEGIN
    WITH col AS (
        SELECT a.attrelid, a.attname, a.attnotnull,
            format_type(a.atttypid, a.atttypmod) || coalesce(' DEFAULT ' || pg_get_expr(d.adbin, d.adrelid), '') AS shape
        FROM pg_attribute AS a LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE a.attrelid IN (found, parent) AND a.attnum > 0 AND NOT a.attisdropped
    ), cons AS (
        SELECT c.conrelid, c.conname, pg_get_constraintdef(c.oid) AS shape
        FROM pg_constraint AS c
        -- The constraint of the generation is made with the bounds. PostgreSQL 18 has constraints of NOT NULL too.
        WHERE c.conrelid IN (found, parent) AND c.contype = 'c' AND c.conname <> 'tokens_of_one_generation'
    ), change AS (
        SELECT 1 AS step, format('DROP COLUMN %I', t.attname) AS text FROM col AS t
        WHERE t.attrelid = found AND NOT EXISTS (SELECT FROM col AS p WHERE p.attrelid = parent AND p.attname = t.attname)
        UNION ALL
        SELECT 2, format('DROP CONSTRAINT %I', t.conname) FROM cons AS t
        WHERE t.conrelid = found AND NOT EXISTS (
            SELECT FROM cons AS p WHERE p.conrelid = parent AND p.conname = t.conname AND p.shape = t.shape
        )
        UNION ALL
        SELECT 3, format('ADD COLUMN %I %s', p.attname, p.shape) FROM col AS p
        WHERE p.attrelid = parent AND NOT EXISTS (SELECT FROM col AS t WHERE t.attrelid = found AND t.attname = p.attname)
        UNION ALL
        SELECT 4, format('ALTER COLUMN %I %s NOT NULL', p.attname, CASE WHEN p.attnotnull THEN 'SET' ELSE 'DROP' END)
        FROM col AS p LEFT JOIN col AS t ON t.attrelid = found AND t.attname = p.attname
        WHERE p.attrelid = parent AND p.attnotnull <> coalesce(t.attnotnull, false)
        UNION ALL
        SELECT 5, format('ADD CONSTRAINT %I %s', p.conname, p.shape) FROM cons AS p
        WHERE p.conrelid = parent AND NOT EXISTS (
            SELECT FROM cons AS t WHERE t.conrelid = found AND t.conname = p.conname AND t.shape = p.shape
        )
    )
    SELECT
        string_agg(c.text, ', ' ORDER BY c.step) FILTER (WHERE c.step <= 3),
        string_agg(c.text, ', ' ORDER BY c.step) FILTER (WHERE c.step > 3)
    INTO columns, rules FROM change AS c;
    IF columns IS NOT NULL THEN
        EXECUTE format('ALTER TABLE %s %s', found, columns);
    END IF;
    PERFORM vault_etl.partition_fill(found);
    IF rules IS NOT NULL THEN
        EXECUTE format('ALTER TABLE %s %s', found, rules);
    END IF;
    FOR change IN
        WITH index AS (
            SELECT x.indrelid, x.indexrelid, x.indisprimary, x.indisvalid,
                CASE WHEN x.indisunique THEN 'UNIQUE ' ELSE '' END AS kind,
                regexp_replace(pg_get_indexdef(x.indexrelid), '^.* USING ', '') AS shape
            FROM pg_index AS x WHERE x.indrelid IN (found, parent)
        )
        SELECT format('DROP INDEX %s', t.indexrelid::regclass) FROM index AS t
        WHERE t.indrelid = found AND NOT (t.indisprimary OR t.indisvalid AND EXISTS (
            SELECT FROM index AS p WHERE p.indrelid = parent AND p.kind = t.kind AND p.shape = t.shape
        ))
        UNION ALL
        SELECT format('CREATE %sINDEX ON %s USING %s', p.kind, found, p.shape) FROM index AS p
        WHERE p.indrelid = parent AND NOT p.indisprimary AND NOT EXISTS (
            SELECT FROM index AS t WHERE t.indrelid = found AND t.indisvalid AND t.kind = p.kind AND t.shape = p.shape
        )
    LOOP
        EXECUTE change;
    END LOOP;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.partition_fit(text, text) FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.partition_fit(text, text) IS
    'Gives a detached month the shape of the table of its event: columns, constraints and indexes that the table got or lost '
    'since. ATTACH would refuse the first two, and build the indexes while it holds its locks. Reads every row '
    'if there is anything to do.';

CREATE FUNCTION vault_etl.partition_prepare(partition text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    found regclass := vault_etl.partition_table(partition);
    month record;
BEGIN
    SELECT * INTO STRICT month FROM vault_etl.partition_list() AS l
    WHERE l.partition = partition_prepare.partition AND l.state = 'detached';
    -- An erasure may have taken values away since they were counted. Those of a month detached by hand are still counted.
    PERFORM vault_etl.partition_recount(m) FROM vault_etl.closed_months AS m
    WHERE m.event = month.event AND m.first = month.first AND to_regclass(format('vault_etl_detached.%I', m.partition)) IS NOT NULL;
    EXECUTE format('ALTER TABLE %s DROP CONSTRAINT IF EXISTS tokens_of_one_generation', found);
    PERFORM vault_etl.partition_fit(month.event, partition);
    -- Its text must be that of the parent. Before the first keys there are no tokens.
    EXECUTE format(
        'ALTER TABLE %s ADD CONSTRAINT tokens_of_one_generation CHECK (token_generation = %s),'
        ' DROP CONSTRAINT IF EXISTS ids_of_the_month, ADD CONSTRAINT ids_of_the_month'
        ' CHECK (record_id IS NOT NULL AND record_id >= %L AND record_id < %L)',
        found,
        coalesce((
            SELECT k.generation FROM vault_etl.data_keys AS k WHERE k.purpose = 'token' AND k.state = 'active' LIMIT 1
        ), 1), month.first, month.until
    );
END
$$;
REVOKE ALL ON FUNCTION vault_etl.partition_prepare(text) FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.partition_prepare(text) IS
    'Makes a detached month ready, in a transaction of its own, because it reads every row and locks nothing '
    'else. The month gets the shape of the table, and constraints prove what ATTACH asks for, so that ATTACH '
    'reads no row itself. Raises 23514 if rows have tokens of another generation, or are of another month.';

CREATE FUNCTION vault_etl.partition_attach(partition text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    month record;
    name text;
BEGIN
    LOCK TABLE vault_etl.key_fence IN ROW EXCLUSIVE MODE;
    IF EXISTS (SELECT FROM vault_etl.data_keys AS k WHERE k.purpose = 'token' AND k.state = 'pending') THEN
        RAISE EXCEPTION 'a rotation of the token keys is under way' USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    SELECT * INTO month FROM vault_etl.partition_list() AS l
    WHERE l.partition = partition_attach.partition AND l.state = 'detached';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such month is detached' USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    PERFORM vault_etl.partition_count(month.event, month.first, 1);
    DELETE FROM vault_etl.closed_months AS m WHERE m.event = month.event AND m.first = month.first;
    IF to_regclass(format('vault_etl_detached.%I', partition)) IS NOT NULL THEN
        EXECUTE format('ALTER TABLE vault_etl_detached.%I SET SCHEMA vault_etl', partition);
    END IF;
    EXECUTE format(
        'ALTER TABLE %s ATTACH PARTITION vault_etl.%I FOR VALUES FROM (%L) TO (%L)',
        (SELECT e.place FROM vault_etl.event_tables() AS e WHERE e.event = month.event), partition, month.first, month.until
    );
    FOR name IN
        SELECT t.tgname FROM pg_trigger AS t
        WHERE t.tgrelid = format('vault_etl.%I', partition)::regclass
            AND t.tgfoid = 'vault_etl.detached_changed()'::regprocedure
    LOOP
        EXECUTE format('DROP TRIGGER %I ON vault_etl.%I', name, partition);
    END LOOP;
    -- The bounds of the partition say again what these CHECKs proved.
    FOR name IN
        SELECT c.conname FROM pg_constraint AS c
        WHERE c.conrelid = format('vault_etl.%I', partition)::regclass AND c.contype = 'c' AND c.coninhcount = 0
    LOOP
        EXECUTE format('ALTER TABLE vault_etl.%I DROP CONSTRAINT %I', partition, name);
    END LOOP;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.partition_attach(text) FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.partition_attach(text) IS
    'Attaches a detached month. PostgreSQL compares its constraint of the generation with that of the table, '
    'and refuses the month (42804) if a cut-over came in between. It takes the fence, because a rotation that '
    'is under way would not see its rows.';

CREATE FUNCTION vault_etl.partition_drop(partition text, manifest_sha256 bytea) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    month record;
BEGIN
    LOCK TABLE vault_etl.closed_months IN ROW EXCLUSIVE MODE;  -- this waits for an erasure under way
    SELECT * INTO month FROM vault_etl.partition_list() AS l
    WHERE l.partition = partition_drop.partition AND l.state = 'detached'
        AND l.archive_sha256 IS NOT DISTINCT FROM manifest_sha256;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such month is detached' USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    INSERT INTO vault_etl.closed_months AS m (event, first, until, partition)
    VALUES (month.event, month.first, month.until, month.partition)
    ON CONFLICT ON CONSTRAINT closed_months_pkey DO UPDATE SET partition = excluded.partition, dropped_at = NULL;
    PERFORM vault_etl.partition_move_detached(partition);  -- for a month that was detached by hand
    EXECUTE format('LOCK TABLE vault_etl_detached.%I IN ACCESS EXCLUSIVE MODE', partition);
    -- Both conditions are checked again, because the row and the table were not locked above.
    IF manifest_sha256 IS NOT NULL AND NOT EXISTS (
        SELECT FROM vault_etl.partition_list() AS l
        WHERE l.event = month.event AND l.first = month.first AND l.archive_sha256 = manifest_sha256 AND NOT l.changed
    ) THEN
        RAISE EXCEPTION 'the month was changed since it was archived' USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    EXECUTE format('DROP TABLE vault_etl_detached.%I', partition);
    PERFORM vault_etl.detached_epoch(month.event, month.first);
    IF manifest_sha256 IS NULL THEN
        DELETE FROM vault_etl.detached_values AS d WHERE d.event = month.event AND d.first = month.first;
        UPDATE vault_etl.closed_months AS m SET dropped_at = clock_timestamp()
        WHERE m.event = month.event AND m.first = month.first;
    END IF;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.partition_drop(text, bytea) FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.partition_drop(text, bytea) IS
    'Drops the table of a detached month, which stays closed. With an archive, whose manifest must have this '
    'SHA-256 and which must hold what the table holds, the month is archived, and its values are counted as '
    'before. NULL: the month has no archive.';

CREATE FUNCTION vault_etl.partition_reopen(event text, month date) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    first_day timestamp := date_trunc('month', month::timestamp);
BEGIN
    DELETE FROM vault_etl.closed_months AS m
    WHERE m.event = partition_reopen.event AND m.dropped_at IS NOT NULL
        AND m.first < vault_etl.first_record_id((first_day + interval '1 month') AT TIME ZONE 'UTC')
        AND m.until > vault_etl.first_record_id(first_day AT TIME ZONE 'UTC');
    RETURN FOUND;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.partition_reopen(text, date) FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.partition_reopen(text, date) IS
    'Lets a month of an event that was dropped be made and filled again. Returns whether it was closed.';
