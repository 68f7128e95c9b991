-- Months that are detached from the table and attached again, for the owner.

-- name: list
SELECT event, partition, first, until, state, rows, bytes, closed_at, archive, archive_sha256, archived_at,
    erasures, changed
FROM vault_etl.partition_list()

-- name: ensure
SELECT vault_etl.ensure_partition(%(event)s, %(day)s)

-- name: reopen
SELECT vault_etl.partition_reopen(%(event)s, %(day)s)

-- name: close
SELECT vault_etl.partition_close(%(event)s, %(partition)s, %(first)s, %(end)s)

-- name: open
DELETE FROM vault_etl.closed_months WHERE event = %(event)s AND first = %(first)s

-- name: has_default
SELECT t.partdefid <> 0 FROM vault_etl.event_tables() AS e
JOIN pg_catalog.pg_partitioned_table AS t ON t.partrelid = e.place
WHERE e.event = %(event)s

-- name: detach
SELECT vault_etl.partition_move_detached(%(partition)s)

-- name: misfits
SELECT vault_etl.partition_misfits(%(event)s, %(partition)s)

-- name: prepare
SELECT vault_etl.partition_prepare(%(partition)s)

-- name: attach
SELECT vault_etl.partition_attach(%(partition)s)

-- name: drop
SELECT vault_etl.partition_drop(%(partition)s, %(manifest_sha256)s)
