-- Months that are taken out of the table and put back: `vault-etl partitions`, for the owner alone.

-- Detached months live here. No other role has a right to the schema or to a table in it.
CREATE SCHEMA vault_etl_detached AUTHORIZATION vault_etl_owner;

SET LOCAL ROLE vault_etl_owner;

-- Every month that is there or was closed: its bounds, its state, and when it was closed. A table with the name of a month
-- that is not attached was detached by hand, unless the month is closed: its rows are elsewhere then.
CREATE FUNCTION public.partition_states() RETURNS TABLE (
    partition text, first uuid, until uuid, state text, closed_at timestamptz
)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT r.partition, r.first, r.until, CASE WHEN r.detaching THEN 'detaching' ELSE 'attached' END, NULL::timestamptz
    FROM public.partition_ranges() AS r
    UNION ALL
    SELECT m.partition, m.first, m.until,
        CASE
            WHEN m.dropped_at IS NOT NULL THEN 'dropped'
            WHEN m.archive IS NOT NULL AND public.partition_table(m.partition) IS NULL THEN 'archived'
            ELSE 'detached'
        END,
        m.closed_at
    FROM public.closed_months AS m
    WHERE NOT EXISTS (SELECT FROM public.partition_ranges() AS r WHERE r.first = m.first)
    UNION ALL
    SELECT c.relname::text, public.first_record_id(day.first AT TIME ZONE 'UTC'),
        public.first_record_id((day.first + interval '1 month') AT TIME ZONE 'UTC'), 'detached', NULL
    FROM pg_class AS c, LATERAL (SELECT to_date(right(c.relname, 7), 'YYYY_MM')::timestamp AS first) AS day
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND NOT c.relispartition
        AND c.relname ~ '^user_logins_[0-9]{4}_(0[1-9]|1[0-2])$'
        AND NOT EXISTS (
            SELECT FROM public.closed_months AS m
            WHERE m.dropped_at IS NULL
                AND m.first < public.first_record_id((day.first + interval '1 month') AT TIME ZONE 'UTC')
                AND m.until > public.first_record_id(day.first AT TIME ZONE 'UTC')
        )
$$;
REVOKE ALL ON FUNCTION public.partition_states() FROM PUBLIC;

-- The same, with about how many rows a month has (NULL: nothing has counted them), its bytes with its indexes, its archive,
-- how many erasures that does not have, and whether its rows were changed since.
CREATE FUNCTION public.partition_list() RETURNS TABLE (
    partition text, first uuid, until uuid, state text, rows bigint, bytes bigint, closed_at timestamptz,
    archive text, archive_sha256 bytea, archived_at timestamptz, erasures bigint, changed boolean
)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT
        m.partition, m.first, m.until, m.state, nullif(c.reltuples, -1)::bigint,
        coalesce(pg_total_relation_size(c.oid), 0), m.closed_at, a.archive, a.archive_sha256, a.archived_at,
        (SELECT count(*) FROM public.archived_erasures AS e WHERE e.first = m.first),
        EXISTS (SELECT FROM public.detached_changes AS d WHERE d.first = m.first)
    FROM public.partition_states() AS m
    LEFT JOIN public.closed_months AS a ON a.first = m.first
    LEFT JOIN pg_class AS c ON m.state <> 'dropped' AND c.oid = public.partition_table(m.partition)
    ORDER BY m.first
$$;
REVOKE ALL ON FUNCTION public.partition_list() FROM PUBLIC;

-- The months that no look at the table sees: which, where their rows are, since when, and which days these name. The place
-- of an archive is for who asks for what may be in it: a reader, an eraser, an auditor and the owner.
CREATE FUNCTION public.unattached_months() RETURNS TABLE (
    partition text, first uuid, until uuid, state text, since timestamptz, archive text, earliest date, latest date
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT s.partition, s.first, s.until, s.state,
        CASE s.state WHEN 'archived' THEN m.archived_at WHEN 'dropped' THEN m.dropped_at ELSE m.closed_at END,
        CASE WHEN EXISTS (
            SELECT FROM unnest(ARRAY['vault_etl_reveal', 'vault_etl_erase', 'vault_etl_audit', 'vault_etl_owner']) AS role
            WHERE pg_has_role(session_user, role::name, 'USAGE, SET')
        ) THEN m.archive END,
        m.earliest, m.latest
    FROM public.partition_states() AS s LEFT JOIN public.closed_months AS m ON m.first = s.first
    WHERE s.state <> 'attached'
    ORDER BY s.first
$$;
REVOKE ALL ON FUNCTION public.unattached_months() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.unattached_months() TO
    vault_etl_reveal, vault_etl_re_encrypt, vault_etl_erase, vault_etl_audit, vault_etl_analyst;

-- Counts the values of a detached month, and keeps which days its rows name. Reads every row.
CREATE FUNCTION public.partition_recount(month public.closed_months) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM public.detached_values AS d WHERE d.first = month.first;
    INSERT INTO public.detached_values (first, field, id, month, held)
    SELECT month.first, v.field, v.id, v.month, v.held
    FROM public.values_in(format('vault_etl_detached.%I', month.partition)::regclass) AS v;
    -- Last, since erasures wait for it.
    EXECUTE format(
        'UPDATE public.closed_months AS m SET earliest = days.first, latest = days.last'
        ' FROM (SELECT min(create_date) AS first, max(create_date) AS last FROM vault_etl_detached.%I) AS days'
        ' WHERE m.first = $1 AND (m.earliest, m.latest) IS DISTINCT FROM (days.first, days.last)', month.partition
    ) USING month.first;
END
$$;
REVOKE ALL ON FUNCTION public.partition_recount(public.closed_months) FROM PUBLIC;

-- Lets a month that is to be detached take no rows any more. Raises 42P07 if it is closed already and its rows are not in
-- this table: they are in another one, or in an archive.
CREATE FUNCTION public.partition_close(partition text, first uuid, until uuid) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
BEGIN
    IF to_regclass(format('public.%I', partition)) IS NOT NULL AND EXISTS (
        SELECT FROM public.closed_months AS m
        WHERE m.dropped_at IS NULL AND m.first < partition_close.until AND m.until > partition_close.first AND (
            m.partition <> partition_close.partition OR m.archive IS NOT NULL
            OR to_regclass(format('vault_etl_detached.%I', m.partition)) IS NOT NULL
        )
    ) THEN
        RAISE EXCEPTION 'the rows of this month are not in this table' USING ERRCODE = 'duplicate_table';
    END IF;
    INSERT INTO public.closed_months AS m (first, until, partition) VALUES (first, until, partition)
    ON CONFLICT ON CONSTRAINT closed_months_pkey DO UPDATE SET
        until = excluded.until, partition = excluded.partition, closed_at = excluded.closed_at, dropped_at = NULL
    WHERE m.dropped_at IS NOT NULL;
END
$$;
REVOKE ALL ON FUNCTION public.partition_close(text, uuid, uuid) FROM PUBLIC;

-- Moves the table of a month that was detached out of the schema `public`, where no rotation and no reveal would expect
-- rows that it does not see, and its counts with it. Reads every row, and holds nothing that others wait for. Raises 42P07 if
-- the month's rows are elsewhere.
CREATE FUNCTION public.partition_move_detached(partition text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    month public.closed_months;
BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_class AS c
        WHERE c.oid = to_regclass(format('public.%I', partition)) AND c.relkind = 'r' AND NOT c.relispartition
    ) THEN
        RETURN;
    END IF;
    SELECT m.* INTO STRICT month FROM public.closed_months AS m
    WHERE m.partition = partition_move_detached.partition AND m.dropped_at IS NULL;
    IF month.archive IS NOT NULL THEN
        RAISE EXCEPTION 'the rows of this month are not in this table' USING ERRCODE = 'duplicate_table';
    END IF;
    EXECUTE format('ALTER TABLE public.%I SET SCHEMA vault_etl_detached', partition);
    PERFORM public.partition_watch(partition);
    PERFORM public.partition_recount(month);
    PERFORM public.partition_count(month.first, -1);
END
$$;
REVOKE ALL ON FUNCTION public.partition_move_detached(text) FROM PUBLIC;

-- Says that rows of a detached month were changed.
CREATE FUNCTION public.detached_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        INSERT INTO public.detached_changes (first)
        SELECT m.first FROM public.closed_months AS m WHERE m.partition = TG_TABLE_NAME AND m.dropped_at IS NULL;
    ELSIF EXISTS (SELECT FROM changed) THEN
        INSERT INTO public.detached_changes (first)
        SELECT m.first FROM public.closed_months AS m WHERE m.partition = TG_TABLE_NAME AND m.dropped_at IS NULL;
    END IF;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION public.detached_changed() FROM PUBLIC;

-- From now on changes of the rows of a detached month are noted; until it is attached.
CREATE FUNCTION public.partition_watch(partition text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    kind text[];
BEGIN
    FOREACH kind SLICE 1 IN ARRAY ARRAY[
        ['INSERT', 'REFERENCING NEW TABLE AS changed'], ['UPDATE', 'REFERENCING NEW TABLE AS changed'],
        ['DELETE', 'REFERENCING OLD TABLE AS changed'], ['TRUNCATE', '']
    ] LOOP
        EXECUTE format(
            'CREATE TRIGGER detached_%s AFTER %s ON vault_etl_detached.%I %s FOR EACH STATEMENT'
            ' EXECUTE FUNCTION public.detached_changed()', lower(kind[1]), kind[1], partition, kind[2]
        );
    END LOOP;
END
$$;
REVOKE ALL ON FUNCTION public.partition_watch(text) FROM PUBLIC;

-- Which rows a detached month has: another answer after each change that is committed, and no answer comes a second time.
-- The number alone would: it begins at 0 again with each archive, and with each detach.
CREATE FUNCTION public.detached_version(first uuid) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT format('%s %s', m.epoch, (SELECT count(*) FROM public.detached_changes AS c WHERE c.first = m.first))
    FROM public.closed_months AS m WHERE m.first = $1
$$;
REVOKE ALL ON FUNCTION public.detached_version(uuid) FROM PUBLIC;

-- Changes of a month count from here on. What began before that is of other rows.
CREATE FUNCTION public.detached_epoch(first uuid) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    DELETE FROM public.detached_changes AS c WHERE c.first = $1;
    UPDATE public.closed_months AS m SET epoch = DEFAULT WHERE m.first = $1;
$$;
REVOKE ALL ON FUNCTION public.detached_epoch(uuid) FROM PUBLIC;

-- Takes the values of a detached month out of the counts of the table, or (1) puts them back.
CREATE FUNCTION public.partition_count(first uuid, sign integer) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO public.value_counts AS c (field, id, month, writer, held)
    SELECT CASE d.field WHEN 'next_token' THEN 'token' ELSE d.field END AS counted, d.id, d.month, pg_backend_pid(),
        sign * sum(d.held)
    FROM public.detached_values AS d WHERE d.first = partition_count.first
    GROUP BY counted, d.id, d.month
    ON CONFLICT (field, id, month, writer) DO UPDATE SET held = c.held + EXCLUDED.held
$$;
REVOKE ALL ON FUNCTION public.partition_count(uuid, integer) FROM PUBLIC;

-- The active generation, how many rows of a detached month have tokens of others, and of which. Reads every row.
CREATE FUNCTION public.partition_tokens(partition text, OUT active smallint, OUT misplaced bigint, OUT generations text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    active := (
        SELECT k.generation FROM public.data_keys AS k WHERE k.purpose = 'token' AND k.state = 'active' LIMIT 1
    );
    EXECUTE format(
        $query$
        SELECT coalesce(sum(rows), 0), string_agg(token_generation::text, ', ' ORDER BY token_generation)
        FROM (
            SELECT token_generation, count(*) AS rows FROM %1$s WHERE token_generation <> $1 GROUP BY 1
        ) AS others
        $query$, public.partition_table(partition)
    ) INTO misplaced, generations USING active;
END
$$;
REVOKE ALL ON FUNCTION public.partition_tokens(text) FROM PUBLIC;

-- What keeps a detached month from being attached, a line each, in words; none: it fits. Reads every row.
CREATE FUNCTION public.partition_misfits(partition text) RETURNS SETOF text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    tokens record := public.partition_tokens(partition);
BEGIN
    IF EXISTS (SELECT FROM public.data_keys AS k WHERE k.purpose = 'token' AND k.state = 'pending') THEN
        RETURN NEXT 'a rotation of the token keys is under way, which would not see its rows: finish or abort it first';
    END IF;
    IF tokens.misplaced > 0 THEN
        RETURN NEXT format(
            '%s rows have tokens of generation %s, and generation %s is active', tokens.misplaced, tokens.generations,
            tokens.active
        );
    END IF;
    RETURN QUERY EXECUTE format(
        $query$
        SELECT format(
            '%%s values are sealed under data key %%s, which %%s', sum(u.rows), u.key_id,
            CASE WHEN k.key_id IS NULL THEN 'is not there' ELSE 'was destroyed' END
        )
        FROM (
            SELECT public.ciphertext_key_id(ip_ciphertext) AS key_id, count(*) AS rows
            FROM %1$s WHERE ip_ciphertext IS NOT NULL GROUP BY 1
            UNION ALL
            SELECT public.ciphertext_key_id(device_id_ciphertext), count(*)
            FROM %1$s WHERE device_id_ciphertext IS NOT NULL GROUP BY 1
        ) AS u
        LEFT JOIN public.data_keys AS k ON k.key_id = u.key_id
        WHERE k.key_id IS NULL OR k.state = 'destroyed'
        GROUP BY u.key_id, k.key_id
        $query$, public.partition_table(partition)
    );
END
$$;
REVOKE ALL ON FUNCTION public.partition_misfits(text) FROM PUBLIC;

-- Fills the columns of a detached month that online migrations fill in the table's rows (docs/adr/0038-online-migrations.md).
-- Such a migration replaces it: there is none yet.
CREATE FUNCTION public.partition_fill(month regclass) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
BEGIN
END
$$;
REVOKE ALL ON FUNCTION public.partition_fill(regclass) FROM PUBLIC;

-- Gives a detached month the shape of the table: what that got or lost since, of columns, constraints and indexes. ATTACH
-- would refuse the first two, and build the indexes while it holds its locks. Reads every row if there is anything to do.
CREATE FUNCTION public.partition_fit(partition text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    found regclass := public.partition_table(partition);
    parent regclass := 'public.user_logins'::regclass;
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
        -- That of the generation is made with the bounds, and PostgreSQL 18 has constraints of NOT NULL.
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
    PERFORM public.partition_fill(found);
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
REVOKE ALL ON FUNCTION public.partition_fit(text) FROM PUBLIC;

-- Makes a detached month ready, in a transaction of its own, since it reads every row and locks nothing else: it gets the
-- shape of the table, and what ATTACH asks for is proved by constraints, so that it reads no row itself. Raises 23514 if rows have tokens of another generation, or are of another month.
CREATE FUNCTION public.partition_prepare(partition text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    found regclass := public.partition_table(partition);
    month record;
BEGIN
    SELECT * INTO STRICT month FROM public.partition_list() AS l
    WHERE l.partition = partition_prepare.partition AND l.state = 'detached';
    -- An erasure may have taken values away since they were counted. Of one that was detached by hand they are still counted.
    PERFORM public.partition_recount(m) FROM public.closed_months AS m
    WHERE m.first = month.first AND to_regclass(format('vault_etl_detached.%I', m.partition)) IS NOT NULL;
    EXECUTE format('ALTER TABLE %s DROP CONSTRAINT IF EXISTS tokens_of_one_generation', found);
    PERFORM public.partition_fit(partition);
    -- As of the parent, whose text it has to have. Before the first keys there are no tokens.
    EXECUTE format(
        'ALTER TABLE %s ADD CONSTRAINT tokens_of_one_generation CHECK (token_generation = %s),'
        ' DROP CONSTRAINT IF EXISTS ids_of_the_month, ADD CONSTRAINT ids_of_the_month'
        ' CHECK (record_id IS NOT NULL AND record_id >= %L AND record_id < %L)',
        found,
        coalesce((
            SELECT k.generation FROM public.data_keys AS k WHERE k.purpose = 'token' AND k.state = 'active' LIMIT 1
        ), 1), month.first, month.until
    );
END
$$;
REVOKE ALL ON FUNCTION public.partition_prepare(text) FROM PUBLIC;

-- Puts a detached month back. PostgreSQL compares its constraint of the generation with the table's, and refuses it
-- (42804) if a cut-over came in between. Behind the fence: a rotation that is under way would not see its rows.
CREATE FUNCTION public.partition_attach(partition text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    month record;
    name text;
BEGIN
    LOCK TABLE public.key_fence IN ROW EXCLUSIVE MODE;
    IF EXISTS (SELECT FROM public.data_keys AS k WHERE k.purpose = 'token' AND k.state = 'pending') THEN
        RAISE EXCEPTION 'a rotation of the token keys is under way' USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    SELECT * INTO month FROM public.partition_list() AS l
    WHERE l.partition = partition_attach.partition AND l.state = 'detached';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such month is detached' USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    PERFORM public.partition_count(month.first, 1);
    DELETE FROM public.closed_months AS m WHERE m.first = month.first;
    IF to_regclass(format('vault_etl_detached.%I', partition)) IS NOT NULL THEN
        EXECUTE format('ALTER TABLE vault_etl_detached.%I SET SCHEMA public', partition);
    END IF;
    EXECUTE format(
        'ALTER TABLE public.user_logins ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
        partition, month.first, month.until
    );
    FOR name IN
        SELECT t.tgname FROM pg_trigger AS t
        WHERE t.tgrelid = format('public.%I', partition)::regclass
            AND t.tgfoid = 'public.detached_changed()'::regprocedure
    LOOP
        EXECUTE format('DROP TRIGGER %I ON public.%I', name, partition);
    END LOOP;
    -- The bounds, which were proved as CHECKs, are the partition's own again.
    FOR name IN
        SELECT c.conname FROM pg_constraint AS c
        WHERE c.conrelid = format('public.%I', partition)::regclass AND c.contype = 'c' AND c.coninhcount = 0
    LOOP
        EXECUTE format('ALTER TABLE public.%I DROP CONSTRAINT %I', partition, name);
    END LOOP;
END
$$;
REVOKE ALL ON FUNCTION public.partition_attach(text) FROM PUBLIC;

-- The end of the table of a detached month, which stays closed. With an archive, which has to be the one whose manifest
-- has this SHA-256 (NULL: there is none) and to hold what the table holds, the month is archived, and its values are
-- counted as before.
CREATE FUNCTION public.partition_drop(partition text, manifest_sha256 bytea) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    month record;
BEGIN
    LOCK TABLE public.closed_months IN ROW EXCLUSIVE MODE;  -- an erasure under way is waited for
    SELECT * INTO month FROM public.partition_list() AS l
    WHERE l.partition = partition_drop.partition AND l.state = 'detached'
        AND l.archive_sha256 IS NOT DISTINCT FROM manifest_sha256;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such month is detached' USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    INSERT INTO public.closed_months AS m (first, until, partition) VALUES (month.first, month.until, month.partition)
    ON CONFLICT ON CONSTRAINT closed_months_pkey DO UPDATE SET partition = excluded.partition, dropped_at = NULL;
    PERFORM public.partition_move_detached(partition);  -- one that was detached by hand
    EXECUTE format('LOCK TABLE vault_etl_detached.%I IN ACCESS EXCLUSIVE MODE', partition);
    -- Both are asked here: the row and the table are locked, and were not above.
    IF manifest_sha256 IS NOT NULL AND NOT EXISTS (
        SELECT FROM public.partition_list() AS l
        WHERE l.first = month.first AND l.archive_sha256 = manifest_sha256 AND NOT l.changed
    ) THEN
        RAISE EXCEPTION 'the month was changed since it was archived' USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    EXECUTE format('DROP TABLE vault_etl_detached.%I', partition);
    PERFORM public.detached_epoch(month.first);
    IF manifest_sha256 IS NULL THEN
        DELETE FROM public.detached_values AS d WHERE d.first = month.first;
        UPDATE public.closed_months AS m SET dropped_at = clock_timestamp() WHERE m.first = month.first;
    END IF;
END
$$;
REVOKE ALL ON FUNCTION public.partition_drop(text, bytea) FROM PUBLIC;

-- Lets a month that was dropped be made and filled again. Whether it was closed.
CREATE FUNCTION public.partition_reopen(month date) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    first_day timestamp := date_trunc('month', month::timestamp);
BEGIN
    DELETE FROM public.closed_months AS m
    WHERE m.dropped_at IS NOT NULL
        AND m.first < public.first_record_id((first_day + interval '1 month') AT TIME ZONE 'UTC')
        AND m.until > public.first_record_id(first_day AT TIME ZONE 'UTC');
    RETURN FOUND;
END
$$;
REVOKE ALL ON FUNCTION public.partition_reopen(date) FROM PUBLIC;

-- Which of these records a closed month has, or had and an erasure could not reach in its archive: messages that come again
-- are known by them, as in the table. For what is quarantined as `month_closed`.
CREATE FUNCTION public.in_closed_months(record_ids uuid[]) RETURNS SETOF uuid
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    place regclass;
BEGIN
    FOR place IN
        SELECT public.partition_table(m.partition) FROM public.closed_months AS m
        WHERE m.dropped_at IS NULL AND public.partition_table(m.partition) IS NOT NULL
            AND EXISTS (SELECT FROM unnest(record_ids) AS r (id) WHERE r.id >= m.first AND r.id < m.until)
    LOOP
        RETURN QUERY EXECUTE format('SELECT record_id FROM %s WHERE record_id = ANY ($1)', place) USING record_ids;
    END LOOP;
    RETURN QUERY SELECT e.record_id FROM public.archived_erasures AS e WHERE e.record_id = ANY (record_ids);
END
$$;
REVOKE ALL ON FUNCTION public.in_closed_months(uuid[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.in_closed_months(uuid[]) TO vault_etl_ingest;
