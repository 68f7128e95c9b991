-- Months that are detached: the list of all months, and what `vault-etl partitions detach` does, for the owner alone.

-- The tables of detached months. No other role has a right to the schema or to a table in it.
CREATE SCHEMA vault_etl_detached AUTHORIZATION vault_etl_owner;
COMMENT ON SCHEMA vault_etl_detached IS 'The tables of detached months. The owner alone has a right to it.';

SET LOCAL ROLE vault_etl_owner;

CREATE FUNCTION vault_etl.partition_states() RETURNS TABLE (
    event text, partition text, first uuid, until uuid, state text, closed_at timestamptz
)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT r.event, r.partition, r.first, r.until, CASE WHEN r.detaching THEN 'detaching' ELSE 'attached' END, NULL::timestamptz
    FROM vault_etl.partition_ranges() AS r
    UNION ALL
    SELECT m.event, m.partition, m.first, m.until,
        CASE
            WHEN m.dropped_at IS NOT NULL THEN 'dropped'
            WHEN m.archive IS NOT NULL AND vault_etl.partition_table(m.partition) IS NULL THEN 'archived'
            ELSE 'detached'
        END,
        m.closed_at
    FROM vault_etl.closed_months AS m
    WHERE NOT EXISTS (SELECT FROM vault_etl.partition_ranges() AS r WHERE r.event = m.event AND r.first = m.first)
    UNION ALL
    SELECT e.event, c.relname::text, vault_etl.first_record_id(day.first AT TIME ZONE 'UTC'),
        vault_etl.first_record_id((day.first + interval '1 month') AT TIME ZONE 'UTC'), 'detached', NULL
    FROM vault_etl.event_tables() AS e, pg_class AS c, LATERAL (SELECT to_date(right(c.relname, 7), 'YYYY_MM')::timestamp AS first) AS day
    WHERE c.relnamespace = 'vault_etl'::regnamespace AND c.relkind = 'r' AND NOT c.relispartition
        AND c.relname ~ format('^%s_[0-9]{4}_(0[1-9]|1[0-2])$', e.event)
        AND NOT EXISTS (
            SELECT FROM vault_etl.closed_months AS m
            WHERE m.event = e.event AND m.dropped_at IS NULL
                AND m.first < vault_etl.first_record_id((day.first + interval '1 month') AT TIME ZONE 'UTC')
                AND m.until > vault_etl.first_record_id(day.first AT TIME ZONE 'UTC')
        )
$$;
REVOKE ALL ON FUNCTION vault_etl.partition_states() FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.partition_states() IS
    'Returns every month of each event that exists or was closed: its bounds, its state, and when it was closed. A table with '
    'the name of a month that is not attached was detached by hand, unless the month is closed, whose rows are '
    'elsewhere.';

CREATE FUNCTION vault_etl.partition_list() RETURNS TABLE (
    event text, partition text, first uuid, until uuid, state text, rows bigint, bytes bigint, closed_at timestamptz,
    archive text, archive_sha256 bytea, archived_at timestamptz, erasures bigint, changed boolean
)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT
        m.event, m.partition, m.first, m.until, m.state, nullif(c.reltuples, -1)::bigint,
        coalesce(pg_total_relation_size(c.oid), 0), m.closed_at, a.archive, a.archive_sha256, a.archived_at,
        (SELECT count(*) FROM vault_etl.archived_erasures AS e WHERE e.event = m.event AND e.first = m.first),
        EXISTS (SELECT FROM vault_etl.detached_changes AS d WHERE d.event = m.event AND d.first = m.first)
    FROM vault_etl.partition_states() AS m
    LEFT JOIN vault_etl.closed_months AS a ON a.event = m.event AND a.first = m.first
    LEFT JOIN pg_class AS c ON m.state <> 'dropped' AND c.oid = vault_etl.partition_table(m.partition)
    ORDER BY m.first, m.event
$$;
REVOKE ALL ON FUNCTION vault_etl.partition_list() FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.partition_list() IS
    'Returns the months of partition_states, with about how many rows a month has (NULL: not counted), its '
    'bytes with its indexes, its archive, how many erasures the archive lacks, and whether its rows were '
    'changed since.';

CREATE FUNCTION vault_etl.unattached_months() RETURNS TABLE (
    event text, partition text, first uuid, until uuid, state text, since timestamptz, archive text, earliest date, latest date
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT s.event, s.partition, s.first, s.until, s.state,
        CASE s.state WHEN 'archived' THEN m.archived_at WHEN 'dropped' THEN m.dropped_at ELSE m.closed_at END,
        CASE WHEN EXISTS (
            SELECT FROM unnest(ARRAY['vault_etl_reveal', 'vault_etl_erase', 'vault_etl_audit', 'vault_etl_owner']) AS role
            WHERE pg_has_role(session_user, role::name, 'USAGE, SET')
        ) THEN m.archive END,
        m.earliest, m.latest
    FROM vault_etl.partition_states() AS s LEFT JOIN vault_etl.closed_months AS m ON m.event = s.event AND m.first = s.first
    WHERE s.state <> 'attached'
    ORDER BY s.first, s.event
$$;
REVOKE ALL ON FUNCTION vault_etl.unattached_months() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault_etl.unattached_months()
    TO vault_etl_reveal, vault_etl_re_encrypt, vault_etl_erase, vault_etl_audit, vault_etl_analyst;
COMMENT ON FUNCTION vault_etl.unattached_months() IS
    'Returns the months that a query of the table of their event does not read: where their rows are, since when, and which '
    'days the rows name. The place of an archive is for a login that asks for what may be in it: a reader, an '
    'eraser, an auditor and the owner.';

CREATE FUNCTION vault_etl.in_closed_months(record_ids uuid[]) RETURNS SETOF uuid
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    place regclass;
BEGIN
    FOR place IN
        SELECT vault_etl.partition_table(m.partition) FROM vault_etl.closed_months AS m
        WHERE m.dropped_at IS NULL AND vault_etl.partition_table(m.partition) IS NOT NULL
            AND EXISTS (SELECT FROM unnest(record_ids) AS r (id) WHERE r.id >= m.first AND r.id < m.until)
    LOOP
        RETURN QUERY EXECUTE format('SELECT record_id FROM %s WHERE record_id = ANY ($1)', place) USING record_ids;
    END LOOP;
    RETURN QUERY SELECT e.record_id FROM vault_etl.archived_erasures AS e WHERE e.record_id = ANY (record_ids);
END
$$;
REVOKE ALL ON FUNCTION vault_etl.in_closed_months(uuid[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault_etl.in_closed_months(uuid[]) TO vault_etl_ingest;
COMMENT ON FUNCTION vault_etl.in_closed_months(uuid[]) IS
    'Returns which of these records a closed month has, or had and an erasure could not reach in its archive: a '
    'message that comes again is known by them, as in the table. For messages that are quarantined as '
    'month_closed.';

CREATE FUNCTION vault_etl.partition_recount(month vault_etl.closed_months) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    days record;
BEGIN
    DELETE FROM vault_etl.detached_values AS d WHERE d.event = month.event AND d.first = month.first;
    INSERT INTO vault_etl.detached_values (event, first, field, id, month, held)
    SELECT month.event, month.first, v.field, v.id, v.month, v.held
    FROM vault_etl.values_in(month.event, format('vault_etl_detached.%I', month.partition)::regclass) AS v;
    --% for event in events
    IF month.event = {{ event.name | literal }} THEN
        EXECUTE format(
            'SELECT min({{ event.day }}) AS first, max({{ event.day }}) AS last FROM vault_etl_detached.%I', month.partition
        ) INTO days;
    END IF;
    --% endfor
    -- This comes last, because erasures wait for it.
    UPDATE vault_etl.closed_months AS m SET earliest = days.first, latest = days.last
    WHERE m.event = month.event AND m.first = month.first
        AND (m.earliest, m.latest) IS DISTINCT FROM (days.first, days.last);
END
$$;
REVOKE ALL ON FUNCTION vault_etl.partition_recount(vault_etl.closed_months) FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.partition_recount(vault_etl.closed_months) IS
    'Counts the values of a detached month, and stores which days its rows name. Reads every row.';

CREATE FUNCTION vault_etl.partition_close(event text, partition text, first uuid, until uuid) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
BEGIN
    IF to_regclass(format('vault_etl.%I', partition)) IS NOT NULL AND EXISTS (
        SELECT FROM vault_etl.closed_months AS m
        WHERE m.event = partition_close.event AND m.dropped_at IS NULL
            AND m.first < partition_close.until AND m.until > partition_close.first AND (
                m.partition <> partition_close.partition OR m.archive IS NOT NULL
                OR to_regclass(format('vault_etl_detached.%I', m.partition)) IS NOT NULL
            )
    ) THEN
        RAISE EXCEPTION 'the rows of this month are not in this table' USING ERRCODE = 'duplicate_table';
    END IF;
    INSERT INTO vault_etl.closed_months AS m (event, first, until, partition) VALUES (event, first, until, partition)
    ON CONFLICT ON CONSTRAINT closed_months_pkey DO UPDATE SET
        until = excluded.until, partition = excluded.partition, closed_at = excluded.closed_at, dropped_at = NULL
    WHERE m.dropped_at IS NOT NULL;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.partition_close(text, text, uuid, uuid) FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.partition_close(text, text, uuid, uuid) IS
    'Lets a month that is to be detached take no more rows. Raises 42P07 if it is closed already and its rows '
    'are not in this table, but in another one or in an archive.';

CREATE FUNCTION vault_etl.partition_move_detached(partition text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    month vault_etl.closed_months;
BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_class AS c
        WHERE c.oid = to_regclass(format('vault_etl.%I', partition)) AND c.relkind = 'r' AND NOT c.relispartition
    ) THEN
        RETURN;
    END IF;
    SELECT m.* INTO STRICT month FROM vault_etl.closed_months AS m
    WHERE m.partition = partition_move_detached.partition AND m.dropped_at IS NULL;
    IF month.archive IS NOT NULL THEN
        RAISE EXCEPTION 'the rows of this month are not in this table' USING ERRCODE = 'duplicate_table';
    END IF;
    EXECUTE format('ALTER TABLE vault_etl.%I SET SCHEMA vault_etl_detached', partition);
    PERFORM vault_etl.partition_watch(partition);
    PERFORM vault_etl.partition_recount(month);
    PERFORM vault_etl.partition_count(month.event, month.first, -1);
END
$$;
REVOKE ALL ON FUNCTION vault_etl.partition_move_detached(text) FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.partition_move_detached(text) IS
    'Moves the table of a month that was detached out of the schema vault_etl, where a rotation or a reveal would '
    'not expect rows that it does not see, and moves its counts too. Reads every row, and holds no lock that '
    'others wait for. Raises 42P07 if the rows of the month are elsewhere.';

CREATE FUNCTION vault_etl.detached_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        INSERT INTO vault_etl.detached_changes (event, first)
        SELECT m.event, m.first FROM vault_etl.closed_months AS m WHERE m.partition = TG_TABLE_NAME AND m.dropped_at IS NULL;
    ELSIF EXISTS (SELECT FROM changed) THEN
        INSERT INTO vault_etl.detached_changes (event, first)
        SELECT m.event, m.first FROM vault_etl.closed_months AS m WHERE m.partition = TG_TABLE_NAME AND m.dropped_at IS NULL;
    END IF;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.detached_changed() FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.detached_changed() IS 'Records that rows of a detached month were changed.';

CREATE FUNCTION vault_etl.partition_watch(partition text) RETURNS void
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
            ' EXECUTE FUNCTION vault_etl.detached_changed()', lower(kind[1]), kind[1], partition, kind[2]
        );
    END LOOP;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.partition_watch(text) FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.partition_watch(text) IS
    'Records changes of the rows of a detached month from now on, until it is attached.';

CREATE FUNCTION vault_etl.detached_version(event text, first uuid) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT format('%s %s', m.epoch, (
        SELECT count(*) FROM vault_etl.detached_changes AS c WHERE c.event = m.event AND c.first = m.first
    ))
    FROM vault_etl.closed_months AS m WHERE m.event = $1 AND m.first = $2
$$;
REVOKE ALL ON FUNCTION vault_etl.detached_version(text, uuid) FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.detached_version(text, uuid) IS
    'Returns the version of the rows of a detached month: another one after each change that is committed, and '
    'no version twice. The number of changes alone would come twice: it begins at 0 again with each archive and '
    'each detach.';

CREATE FUNCTION vault_etl.detached_epoch(event text, first uuid) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    DELETE FROM vault_etl.detached_changes AS c WHERE c.event = $1 AND c.first = $2;
    UPDATE vault_etl.closed_months AS m SET epoch = DEFAULT WHERE m.event = $1 AND m.first = $2;
$$;
REVOKE ALL ON FUNCTION vault_etl.detached_epoch(text, uuid) FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.detached_epoch(text, uuid) IS
    'Begins a new epoch: changes of a month count from here on, and those before it are of other rows.';

CREATE FUNCTION vault_etl.partition_count(event text, first uuid, sign integer) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO vault_etl.value_counts AS c (field, id, month, writer, held)
    SELECT CASE d.field WHEN 'next_token' THEN 'token' ELSE d.field END AS counted, d.id, d.month, pg_backend_pid(),
        sign * sum(d.held)
    FROM vault_etl.detached_values AS d WHERE d.event = partition_count.event AND d.first = partition_count.first
    GROUP BY counted, d.id, d.month
    ON CONFLICT (field, id, month, writer) DO UPDATE SET held = c.held + EXCLUDED.held
$$;
REVOKE ALL ON FUNCTION vault_etl.partition_count(text, uuid, integer) FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.partition_count(text, uuid, integer) IS
    'Subtracts the values of a detached month from the counts of the table (-1), or adds them again (1).';
