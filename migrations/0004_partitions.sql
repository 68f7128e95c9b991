-- Months of each event: which record ids belong to which partition, which months take no rows, and how a partition is made.

SET LOCAL ROLE vault_etl_owner;

CREATE FUNCTION vault_etl.first_record_id(moment timestamptz) RETURNS uuid
LANGUAGE sql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
    SELECT (lpad(to_hex((extract(epoch FROM moment) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
$$;
REVOKE ALL ON FUNCTION vault_etl.first_record_id(timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault_etl.first_record_id(timestamptz) TO
    vault_etl_ingest, vault_etl_reveal, vault_etl_rotate, vault_etl_re_encrypt, vault_etl_erase, vault_etl_audit,
    vault_etl_analyst;
COMMENT ON FUNCTION vault_etl.first_record_id(timestamptz) IS
    'Returns the first UUIDv7 of a moment: its milliseconds in the first 48 bits, and zeros after them.';

CREATE FUNCTION vault_etl.month_of(record_id uuid) RETURNS date
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN date_trunc(
    'month',
    timestamp '1970-01-01'
        + ('x' || translate(left(record_id::text, 13), '-', ''))::bit(48)::bigint * interval '1 millisecond'
)::date;
REVOKE ALL ON FUNCTION vault_etl.month_of(uuid) FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.month_of(uuid) IS
    'Returns the first day of the month (UTC) in which a record id begins: its first 48 bits are milliseconds.';

CREATE FUNCTION vault_etl.event_tables() RETURNS TABLE (event text, place regclass)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    VALUES
        --% for event in events
        ({{ event.name | literal }}, 'vault_etl.{{ event.name }}'::regclass){{ "," if not loop.last }}
        --% endfor
$$;
REVOKE ALL ON FUNCTION vault_etl.event_tables() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault_etl.event_tables() TO
    vault_etl_ingest, vault_etl_reveal, vault_etl_rotate, vault_etl_re_encrypt, vault_etl_erase, vault_etl_audit,
    vault_etl_analyst;
COMMENT ON FUNCTION vault_etl.event_tables() IS
    'Returns the events and their tables. A function that is given the name of an event takes the table from here.';

CREATE FUNCTION vault_etl.partition_ranges()
RETURNS TABLE (event text, partition text, first uuid, until uuid, detaching boolean)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT
        e.event, c.relname::text, coalesce(bounds[2], '00000000-0000-0000-0000-000000000000')::uuid,
        coalesce(bounds[4], 'ffffffff-ffff-ffff-ffff-ffffffffffff')::uuid, i.inhdetachpending
    FROM vault_etl.event_tables() AS e
    JOIN pg_inherits AS i ON i.inhparent = e.place
    JOIN pg_class AS c ON c.oid = i.inhrelid,
        LATERAL regexp_match(
            pg_get_expr(c.relpartbound, c.oid),
            $bounds$FROM \((MINVALUE|'([0-9a-f-]{36})')\) TO \((MAXVALUE|'([0-9a-f-]{36})')\)$bounds$
        ) AS bounds
    WHERE bounds IS NOT NULL
$$;
REVOKE ALL ON FUNCTION vault_etl.partition_ranges() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault_etl.partition_ranges() TO
    vault_etl_ingest, vault_etl_reveal, vault_etl_rotate, vault_etl_re_encrypt, vault_etl_erase, vault_etl_audit,
    vault_etl_analyst;
COMMENT ON FUNCTION vault_etl.partition_ranges() IS
    'Returns which record ids of an event go to which partition, by the bounds of the partitions, whatever their '
    'names. A partition whose DETACH CONCURRENTLY is under way takes no rows.';

CREATE TABLE vault_etl.closed_months (
    event text NOT NULL,
    first uuid NOT NULL,
    until uuid NOT NULL,
    partition text NOT NULL,
    closed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    dropped_at timestamptz,
    archive text CHECK (archive ~ '^(/|s3://)' AND char_length(archive) <= 300),
    archive_sha256 bytea CHECK (octet_length(archive_sha256) = 32),
    archived_at timestamptz,
    earliest date,
    latest date,
    epoch uuid NOT NULL DEFAULT gen_random_uuid(),
    PRIMARY KEY (event, first),
    CONSTRAINT some_ids CHECK (first < until),
    CONSTRAINT whole_archive CHECK (num_nonnulls(archive, archive_sha256, archived_at) IN (0, 3)),
    CONSTRAINT nothing_of_a_dropped_one CHECK (dropped_at IS NULL OR archive IS NULL)
);
COMMENT ON TABLE vault_etl.closed_months IS
    'Ranges of record ids of an event that take no rows. A message that was sent in one is quarantined as '
    'month_closed, and no partition is made for it. The rows of a detached month are in the table `partition` of the schema '
    'vault_etl_detached, those of an archived month in the archive alone. A dropped month has none.';
COMMENT ON COLUMN vault_etl.closed_months.archive IS
    'The place of the archive: an absolute path or s3://bucket/prefix. The function unattached_months shows it '
    'to the logins that may know it.';
COMMENT ON COLUMN vault_etl.closed_months.archive_sha256 IS 'The SHA-256 of the manifest of the archive.';
COMMENT ON COLUMN vault_etl.closed_months.earliest IS
    'The first day that its rows name. NULL before they were counted, or if it has no rows.';
COMMENT ON COLUMN vault_etl.closed_months.latest IS 'The last day that its rows name.';
COMMENT ON COLUMN vault_etl.closed_months.epoch IS
    'The rows of detached_changes count from here on. A new value whenever they are deleted or a table is made; '
    'no value comes twice.';
GRANT SELECT (event, first, until) ON vault_etl.closed_months TO vault_etl_ingest, vault_etl_re_encrypt;

CREATE TABLE vault_etl.lake_sets (
    set_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    event text NOT NULL,
    location text NOT NULL UNIQUE CHECK (location ~ '^(/|s3://)' AND char_length(location) <= 300),
    manifest_sha256 bytea CHECK (octet_length(manifest_sha256) = 32),
    version integer NOT NULL DEFAULT 1 CHECK (version > 0),
    rows bigint NOT NULL DEFAULT 0 CHECK (rows >= 0),
    made_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE vault_etl.lake_sets IS
    'Sets: folders of Parquet files with sealed rows of an event, which were never in its table (docs/formats.md). '
    'Archives of months are in closed_months.';
COMMENT ON COLUMN vault_etl.lake_sets.location IS 'The place of the set: an absolute path or s3://bucket/prefix.';
COMMENT ON COLUMN vault_etl.lake_sets.manifest_sha256 IS
    'The SHA-256 of the manifest in force. NULL while the set is written for the first time.';
COMMENT ON COLUMN vault_etl.lake_sets.recorded_at IS 'When rows or the manifest were recorded last.';

CREATE TABLE vault_etl.archived_erasures (
    erasure_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event text NOT NULL,
    first uuid,
    set_id uuid REFERENCES vault_etl.lake_sets ON DELETE CASCADE,
    record_id uuid,
    user_id text,
    erased_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT of_a_month_or_of_a_set CHECK (num_nonnulls(first, set_id) = 1),
    CONSTRAINT of_a_record_or_of_a_user CHECK (num_nonnulls(record_id, user_id) = 1),
    CONSTRAINT each_once UNIQUE NULLS NOT DISTINCT (event, first, set_id, record_id, user_id),
    FOREIGN KEY (event, first) REFERENCES vault_etl.closed_months ON DELETE CASCADE
);
COMMENT ON TABLE vault_etl.archived_erasures IS
    'What an erasure could not take out of the archive of a closed month, or out of a set: one record, or all records '
    'of a user. A restore applies it in the transaction that makes the table. `lake erase` and a new archive of the '
    'month delete it.';
CREATE INDEX archived_erasures_set_id ON vault_etl.archived_erasures (set_id);

CREATE TABLE vault_etl.detached_changes (
    event text NOT NULL,
    first uuid NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    FOREIGN KEY (event, first) REFERENCES vault_etl.closed_months ON DELETE CASCADE
);
COMMENT ON TABLE vault_etl.detached_changes IS
    'One row for each statement that changed rows of a detached month since its archive was recorded. An '
    'archive that is recorded, or that a drop relies on, holds the rows of now if no row was added in the same '
    'epoch. No two statements wait for each other.';

CREATE FUNCTION vault_etl.partition_table(partition text) RETURNS regclass
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(
        to_regclass(format('vault_etl_detached.%I', $1)),
        CASE WHEN NOT EXISTS (
            SELECT FROM vault_etl.closed_months AS m WHERE m.partition = $1 AND m.archive IS NOT NULL
        ) THEN to_regclass(format('vault_etl.%I', $1)) END
    )
$$;
REVOKE ALL ON FUNCTION vault_etl.partition_table(text) FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.partition_table(text) IS
    'Returns the table of a partition, attached or not; NULL if it has none. A table in public is that of a '
    'closed month until partition_move_detached has moved it, which comes before any archive. Later it is '
    'another table with the name of the month.';

CREATE FUNCTION vault_etl.ensure_partition(event text, month date) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    parent regclass := (SELECT e.place FROM vault_etl.event_tables() AS e WHERE e.event = ensure_partition.event);
    first_day timestamp := date_trunc('month', month::timestamp);
    this_month timestamp := date_trunc('month', now() AT TIME ZONE 'UTC');
    partition_name text := event || '_' || to_char(first_day, 'YYYY_MM');
    first_id uuid;
    end_id uuid;
    -- This check comes first: the bounds of a table that another process makes and attaches meanwhile are read below.
    is_there boolean := to_regclass(format('vault_etl.%I', partition_name)) IS NOT NULL;
BEGIN
    IF parent IS NULL THEN
        RAISE EXCEPTION 'no such event has a table' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF (first_day BETWEEN this_month - interval '24 months' AND this_month + interval '3 months') IS NOT TRUE THEN
        RAISE EXCEPTION 'a partition is made for 24 months back to 3 months ahead'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    first_id := vault_etl.first_record_id(first_day AT TIME ZONE 'UTC');
    end_id := vault_etl.first_record_id((first_day + interval '1 month') AT TIME ZONE 'UTC');
    IF EXISTS (
        SELECT FROM vault_etl.partition_ranges() AS r
        WHERE r.event = ensure_partition.event AND r.first < end_id AND r.until > first_id
    ) THEN
        RETURN (
            SELECT r.partition FROM vault_etl.partition_ranges() AS r
            WHERE r.event = ensure_partition.event AND r.first < end_id AND r.until > first_id AND NOT r.detaching
            ORDER BY r.first LIMIT 1
        );
    END IF;
    IF is_there OR EXISTS (
        SELECT FROM vault_etl.closed_months AS m
        WHERE m.event = ensure_partition.event AND m.first < end_id AND m.until > first_id
    ) THEN
        RETURN NULL;
    END IF;
    EXECUTE format(
        'CREATE TABLE vault_etl.%I (LIKE %s INCLUDING DEFAULTS INCLUDING CONSTRAINTS)'
        ' WITH (fillfactor = 80)',  -- room for the fifth of its rows that a rotation updates at once
        partition_name, parent
    );
    EXECUTE format(
        'ALTER TABLE %s ATTACH PARTITION vault_etl.%I FOR VALUES FROM (%L) TO (%L)',
        parent, partition_name, first_id, end_id
    );
    RETURN partition_name;
-- Another process made the table, its row type, or a partition with these bounds first.
EXCEPTION WHEN duplicate_table OR duplicate_object OR unique_violation OR invalid_object_definition THEN
    RETURN (
        SELECT r.partition FROM vault_etl.partition_ranges() AS r
        WHERE r.event = ensure_partition.event AND r.first < end_id AND r.until > first_id AND NOT r.detaching
        ORDER BY r.first LIMIT 1
    );
END
$$;
REVOKE ALL ON FUNCTION vault_etl.ensure_partition(text, date) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault_etl.ensure_partition(text, date) TO vault_etl_ingest, vault_etl_re_encrypt;
COMMENT ON FUNCTION vault_etl.ensure_partition(text, date) IS
    'Makes the partition of a month of an event, if it is missing, with CREATE and ATTACH, which lock out no '
    'loader. The month is any day of it, two years back to three months ahead. Returns the name of the partition that holds '
    'the month or a part of it; NULL if it makes none, because the month is closed or a table of its name is '
    'not attached.';

--% for event in events if not event.retired
SELECT vault_etl.ensure_partition({{ event.name | literal }}, (now() AT TIME ZONE 'UTC' + make_interval(months => ahead))::date)
FROM generate_series(-2, 3) AS ahead;
--% endfor
