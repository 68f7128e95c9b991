-- Facts that `doctor` reads. Every login may run all queries but the last three.

-- name: server
SELECT current_setting('server_version_num')::integer, current_setting('server_encoding'), pg_backend_pid(),
    session_user::text

-- name: log_settings
SELECT name, setting FROM pg_catalog.pg_settings
WHERE name IN ('log_statement', 'log_transaction_sample_rate')
    OR name ~ '^log_(min_duration|parameter_max_length)' OR name ~ '^(auto_explain|pgaudit)\.log'

-- name: fence_bytes
SELECT pg_catalog.pg_relation_size('vault_etl.key_fence')

-- name: missing_months
-- The months that one of these events lacks.
SELECT DISTINCT to_char(month, 'YYYY-MM')
FROM vault_etl.event_tables() AS e, generate_series(
    date_trunc('month', now() AT TIME ZONE 'UTC'),
    date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => %(ahead)s),
    interval '1 month'
) AS month,
    LATERAL (
        SELECT vault_etl.first_record_id(month AT TIME ZONE 'UTC') AS first,
            vault_etl.first_record_id((month + interval '1 month') AT TIME ZONE 'UTC') AS until
    ) AS ids
-- A month has a hole if no partition holds its begin, or the id at which a partition ends in it.
WHERE e.event = ANY (%(events)s::text[]) AND EXISTS (
    SELECT FROM (
        SELECT ids.first AS hole
        UNION ALL
        SELECT r.until FROM vault_etl.partition_ranges() AS r
        WHERE r.event = e.event AND NOT r.detaching AND r.until > ids.first AND r.until < ids.until
    ) AS edge
    WHERE NOT EXISTS (
        SELECT FROM vault_etl.partition_ranges() AS r
        WHERE r.event = e.event AND NOT r.detaching AND r.first <= edge.hole AND r.until > edge.hole
    )
)
ORDER BY 1

-- name: detached
-- Every table in the schema of detached months, even one that is not on the record.
SELECT c.relname::text FROM pg_catalog.pg_class AS c
WHERE c.relnamespace = pg_catalog.to_regnamespace('vault_etl_detached') AND c.relkind IN ('r', 'p', 'f') ORDER BY 1

-- name: slots
SELECT slot_name::text, active, coalesce(wal_status, ''), coalesce(
    CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()
        ELSE pg_catalog.pg_current_wal_lsn() END - restart_lsn, 0
)::bigint
FROM pg_catalog.pg_replication_slots ORDER BY 1

-- name: archives
SELECT partition, alone, erasures FROM vault_etl.closed_archives() ORDER BY partition

-- name: wrappings
SELECT purpose, kms_key_arn, count(*) FROM vault_etl.data_keys WHERE state <> 'destroyed'
GROUP BY purpose, kms_key_arn ORDER BY purpose, kms_key_arn

-- name: turn
SELECT pid, login, extract(epoch FROM clock_timestamp() - since)::double precision, visible
FROM vault_etl.audit_holder()

-- name: token_generations
SELECT active, held, others, rows_read FROM vault_etl.token_generations(%(every_row)s)

-- name: miscounted
-- Reads all records.
SELECT field, id, to_char(month, 'YYYY-MM'), kept, counted FROM vault_etl.values_miscounted()

-- name: registrations
SELECT coalesce(seq, 0), coalesce(left(note, 4096), '') FROM vault_etl.audit_keys ORDER BY seq DESC

-- name: checkpoints
-- Values are cut to a length: an owner may store longer ones without the constraints, and `doctor` must go on.
SELECT (SELECT v.vault_id FROM vault_etl.vault AS v LIMIT 1), c.seq, coalesce(substr(c.hash, 1, 64), ''),
    coalesce(substr(c.key_hash, 1, 64), ''), coalesce(substr(c.signature, 1, 128), ''), left(c.stored_by, 64)
FROM (SELECT) AS always LEFT JOIN (
    SELECT * FROM vault_etl.audit_checkpoints ORDER BY seq DESC, checkpoint_id DESC LIMIT 300
) AS c ON true
ORDER BY c.seq DESC

-- name: unsigned
SELECT count(*), clock_timestamp() - min(logged_at) FROM vault_etl.audit_log WHERE seq > %(seq)s
