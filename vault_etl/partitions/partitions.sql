-- Months that are detached from the table and attached again, for the owner.

-- name: list
SELECT partition, first, until, state, rows, bytes, closed_at, archive, archive_sha256, archived_at,
    erasures, changed
FROM vault_etl.partition_list()

-- name: ensure
SELECT vault_etl.ensure_partition(%(day)s)

-- name: reopen
SELECT vault_etl.partition_reopen(%(day)s)

-- name: close
SELECT vault_etl.partition_close(%(partition)s, %(first)s, %(end)s)

-- name: open
DELETE FROM vault_etl.closed_months WHERE first = %(first)s

-- name: has_default
SELECT partdefid <> 0 FROM pg_catalog.pg_partitioned_table WHERE partrelid = 'vault_etl.user_logins'::regclass

-- name: detach
SELECT vault_etl.partition_move_detached(%(partition)s)

-- name: misfits
SELECT vault_etl.partition_misfits(%(partition)s)

-- name: prepare
SELECT vault_etl.partition_prepare(%(partition)s)

-- name: attach
SELECT vault_etl.partition_attach(%(partition)s)

-- name: drop
SELECT vault_etl.partition_drop(%(partition)s, %(manifest_sha256)s)
