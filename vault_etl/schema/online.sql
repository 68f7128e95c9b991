-- Online migrations, for the owner in a session of its own. `table` is a name without its schema.

-- name: one_at_a_time
SELECT pg_catalog.pg_try_advisory_lock(pg_catalog.hashtextextended('vault-etl/migrate --online vault_etl', 0))

-- name: who_is_at_it
SELECT a.pid, coalesce(a.usename, ''), coalesce(a.application_name, '')
FROM (SELECT pg_catalog.hashtextextended('vault-etl/migrate --online vault_etl', 0) AS key) AS k
JOIN pg_catalog.pg_locks AS l ON l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
    AND (l.classid::bigint << 32) | l.objid::bigint = k.key
    AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = current_database())
JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid

-- name: begin
INSERT INTO vault_etl.migrations (name, checksum, applied_at) VALUES (%(name)s, %(checksum)s, NULL)
ON CONFLICT (name) DO NOTHING

-- name: is_done
SELECT applied_at IS NOT NULL FROM vault_etl.migrations WHERE name = %(name)s

-- name: finish
UPDATE vault_etl.migrations SET applied_at = pg_catalog.now(), filled_to = NULL WHERE name = %(name)s

-- name: filled_to
SELECT filled_to FROM vault_etl.migrations WHERE name = %(name)s

-- name: fill_to
UPDATE vault_etl.migrations SET filled_to = %(filled_to)s WHERE name = %(name)s

-- name: tables
-- The table first, then its partitions. A partition that is being detached is skipped: it gets the shape of the table
-- when it is attached again.
SELECT
    c.oid::bigint, n.nspname::text, c.relname::text, c.relkind = 'p', pg_catalog.pg_table_size(c.oid)
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_inherits AS i ON i.inhrelid = c.oid AND NOT i.inhdetachpending
    AND i.inhparent = pg_catalog.to_regclass(pg_catalog.format('vault_etl.%%I', %(table)s::text))
WHERE c.oid = pg_catalog.to_regclass(pg_catalog.format('vault_etl.%%I', %(table)s::text)) OR i.inhparent IS NOT NULL
ORDER BY i.inhparent IS NOT NULL, c.relname

-- name: indexes
-- Indexes of these tables: the table, the name, whether the index is valid, its definition, and its parent index.
SELECT
    x.indrelid::bigint, c.relname::text, x.indisvalid AND x.indisready,
    pg_catalog.regexp_replace(pg_catalog.pg_get_indexdef(c.oid), '^.* USING ', ''), whole.relname::text
FROM pg_catalog.pg_index AS x JOIN pg_catalog.pg_class AS c ON c.oid = x.indexrelid
LEFT JOIN pg_catalog.pg_inherits AS i ON i.inhrelid = c.oid
LEFT JOIN pg_catalog.pg_class AS whole ON whole.oid = i.inhparent
WHERE x.indrelid = ANY (%(tables)s::bigint[])

-- name: constraints
SELECT c.conrelid::bigint, c.convalidated FROM pg_catalog.pg_constraint AS c
WHERE c.conname = %(name)s AND c.contype = 'c' AND c.conrelid = ANY (%(tables)s::bigint[])

-- name: primary_key
SELECT a.attname::text, pg_catalog.format_type(a.atttypid, a.atttypmod)
FROM pg_catalog.pg_index AS x JOIN pg_catalog.pg_attribute AS a ON a.attrelid = x.indrelid AND a.attnum = x.indkey[0]
WHERE x.indrelid = pg_catalog.to_regclass(pg_catalog.format('vault_etl.%%I', %(table)s::text)) AND x.indisprimary AND x.indnkeyatts = 1

-- name: activity
-- How far the session has built an index, in percent of the current phase, and the session that it waits for.
SELECT
    p.phase, (100 * CASE WHEN p.tuples_total > 0 THEN p.tuples_done ELSE p.blocks_done END
        / nullif(CASE WHEN p.tuples_total > 0 THEN p.tuples_total ELSE p.blocks_total END, 0))::integer,
    ARRAY(
        SELECT ARRAY[a.pid::text, coalesce(a.usename, ''), coalesce(a.application_name, '')]
        FROM pg_catalog.pg_stat_activity AS a WHERE a.pid = ANY (pg_catalog.pg_blocking_pids(me.pid)) ORDER BY a.pid
    )
FROM (SELECT %(pid)s::integer AS pid) AS me
LEFT JOIN pg_catalog.pg_stat_progress_create_index AS p ON p.pid = me.pid
