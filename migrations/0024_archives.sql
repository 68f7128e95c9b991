-- Archives of detached months: `vault-etl partitions archive`, `drop` and `restore`, for the owner alone.

SET LOCAL ROLE vault_etl_owner;

CREATE FUNCTION vault_etl.archive_begin(partition text) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    month vault_etl.closed_months;
    version text;
BEGIN
    SELECT m.* INTO month FROM vault_etl.closed_months AS m
    WHERE m.partition = archive_begin.partition AND m.dropped_at IS NULL
        AND to_regclass(format('vault_etl_detached.%I', m.partition)) IS NOT NULL;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such month is detached' USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    version := vault_etl.detached_version(month.event, month.first);  -- read first: archive_record sees every change after it
    PERFORM vault_etl.partition_recount(month);
    RETURN version;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.archive_begin(text) FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.archive_begin(text) IS
    'Counts the values of a detached month, and returns the version of its rows, before the rows are read. Each '
    'later change makes another version. Reads every row.';

CREATE FUNCTION vault_etl.archive_record(partition text, version text, location text, manifest_sha256 bytea) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    month vault_etl.closed_months;
BEGIN
    LOCK TABLE vault_etl.closed_months IN ROW EXCLUSIVE MODE;
    EXECUTE format('LOCK TABLE vault_etl_detached.%I IN SHARE MODE', partition);
    SELECT m.* INTO month FROM vault_etl.closed_months AS m
    WHERE m.partition = archive_record.partition AND m.dropped_at IS NULL FOR UPDATE;
    IF vault_etl.detached_version(month.event, month.first) IS DISTINCT FROM version THEN
        RAISE EXCEPTION 'the month was changed meanwhile' USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    PERFORM vault_etl.detached_epoch(month.event, month.first);
    DELETE FROM vault_etl.archived_erasures AS e WHERE e.event = month.event AND e.first = month.first;
    UPDATE vault_etl.closed_months AS m
    SET archive = location, archive_sha256 = manifest_sha256, archived_at = clock_timestamp()
    WHERE m.event = month.event AND m.first = month.first;
    RETURN month.archive;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.archive_record(text, text, text, bytea) FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.archive_record(text, text, text, bytea) IS
    'Records an archive, unless the rows have another version than `version`. Waits for an erasure, or any '
    'other writer of the month, and lets it wait until the commit. Returns the archive that was recorded '
    'before, or NULL. Raises 55000, or 42P01 if the table is missing.';

CREATE FUNCTION vault_etl.archive_drop(partition text, manifest_sha256 bytea) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    gone record;
BEGIN
    SELECT l.event, l.first INTO gone FROM vault_etl.partition_list() AS l
    WHERE l.partition = archive_drop.partition AND l.state = 'archived' AND l.archive_sha256 = manifest_sha256;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such month is archived' USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    UPDATE vault_etl.closed_months AS m
    SET archive = NULL, archive_sha256 = NULL, archived_at = NULL, dropped_at = clock_timestamp()
    WHERE m.event = gone.event AND m.first = gone.first;
    DELETE FROM vault_etl.detached_values AS d WHERE d.event = gone.event AND d.first = gone.first;
    DELETE FROM vault_etl.archived_erasures AS e WHERE e.event = gone.event AND e.first = gone.first;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.archive_drop(text, bytea) FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.archive_drop(text, bytea) IS 'Ends an archived month, whose files were deleted.';

CREATE FUNCTION vault_etl.restore_make(event text, partition text, first uuid, until uuid) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
BEGIN
    EXECUTE format(
        'CREATE TABLE vault_etl_detached.%I'
        ' (LIKE %s INCLUDING DEFAULTS INCLUDING CONSTRAINTS, PRIMARY KEY (record_id))'
        ' WITH (fillfactor = 80)',
        partition, (SELECT e.place FROM vault_etl.event_tables() AS e WHERE e.event = restore_make.event)
    );
    EXECUTE format(
        'ALTER TABLE vault_etl_detached.%I DROP CONSTRAINT tokens_of_one_generation, ADD CONSTRAINT ids_of_the_month'
        ' CHECK (record_id IS NOT NULL AND record_id >= %L AND record_id < %L)',
        partition, first, until
    );
END
$$;
REVOKE ALL ON FUNCTION vault_etl.restore_make(text, text, uuid, uuid) FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.restore_make(text, text, uuid, uuid) IS
    'Makes the table that an archive is read into, like a partition, but without the constraint of the '
    'generation, since its tokens may be of an older one, and without the indexes, which are built when the '
    'rows are there.';

CREATE FUNCTION vault_etl.restore_end(
    event text, partition text, first uuid, until uuid, location text, manifest_sha256 bytea, recorded boolean
) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s' AS $$
DECLARE
    place regclass := format('vault_etl_detached.%I', partition)::regclass;
    month vault_etl.closed_months;
    erased bigint;
BEGIN
    PERFORM vault_etl.partition_fit(event, partition);
    LOCK TABLE vault_etl.closed_months IN ROW EXCLUSIVE MODE;  -- this waits for an erasure under way
    SELECT m.* INTO month FROM vault_etl.closed_months AS m
    WHERE m.event = restore_end.event AND m.first = restore_end.first AND m.until = restore_end.until
        AND m.partition = restore_end.partition
    FOR UPDATE;
    IF month.archive_sha256 <> manifest_sha256 OR recorded AND month.archive IS NULL
        OR month.first IS NOT NULL AND month.archive IS NULL AND month.dropped_at IS NULL
        OR EXISTS (
            SELECT FROM vault_etl.closed_months AS m
            WHERE m.event = restore_end.event AND m.first < restore_end.until AND m.until > restore_end.first
                AND m.first IS DISTINCT FROM month.first
        )
        OR EXISTS (
            SELECT FROM vault_etl.partition_ranges() AS r
            WHERE r.event = restore_end.event AND r.first < restore_end.until AND r.until > restore_end.first
        )
    THEN
        RAISE EXCEPTION 'the rows of this month are elsewhere' USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    IF month.archive IS NULL THEN
        INSERT INTO vault_etl.closed_months AS m (event, first, until, partition, archive, archive_sha256, archived_at)
        VALUES (event, first, until, partition, location, manifest_sha256, clock_timestamp())
        ON CONFLICT ON CONSTRAINT closed_months_pkey DO UPDATE SET
            archive = excluded.archive, archive_sha256 = excluded.archive_sha256, archived_at = excluded.archived_at,
            dropped_at = NULL;
    END IF;
    PERFORM vault_etl.detached_epoch(event, first);  -- a table that was dropped by hand may have left changes
    PERFORM vault_etl.partition_watch(partition);
    erased := (
        SELECT coalesce(sum(vault_etl.erase_in(e.event, place, NULL::uuid, e.record_id, e.user_id)), 0)
        FROM vault_etl.archived_erasures AS e WHERE e.event = restore_end.event AND e.first = restore_end.first
    );
    SELECT m.* INTO STRICT month FROM vault_etl.closed_months AS m
    WHERE m.event = restore_end.event AND m.first = restore_end.first;
    PERFORM vault_etl.partition_recount(month);
    EXECUTE format('ANALYZE vault_etl_detached.%I', partition);
    RETURN erased;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.restore_end(text, text, uuid, uuid, text, bytea, boolean) FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.restore_end(text, text, uuid, uuid, text, bytea, boolean) IS
    'Makes the restored month a detached one. For an archive on the record, applies the erasures made since. '
    'Records any other archive, unless it was on the record (`recorded`) when the restore began: its erasures '
    'went with that record. Returns how many rows were erased. Raises 55000 if the month is elsewhere.';

CREATE FUNCTION vault_etl.closed_archives() RETURNS TABLE (partition text, alone boolean, erasures bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT l.partition, l.state = 'archived', l.erasures FROM vault_etl.partition_list() AS l WHERE l.archive IS NOT NULL
    UNION ALL
    SELECT s.set_id::text, false, (SELECT count(*) FROM vault_etl.archived_erasures AS e WHERE e.set_id = s.set_id)
    FROM vault_etl.lake_sets AS s
$$;
REVOKE ALL ON FUNCTION vault_etl.closed_archives() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault_etl.closed_archives() TO
    vault_etl_ingest, vault_etl_reveal, vault_etl_rotate, vault_etl_re_encrypt, vault_etl_erase, vault_etl_audit,
    vault_etl_analyst;
COMMENT ON FUNCTION vault_etl.closed_archives() IS
    'Returns, for `doctor`, the months with an archive, whether their rows are there alone, and the sets; and how many '
    'erasures each lacks.';
