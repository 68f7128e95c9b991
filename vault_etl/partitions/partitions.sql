-- Months that are detached from the table and attached again, for the owner.

-- name: list
SELECT partition, first, until, state, rows, bytes, closed_at, archive, archive_sha256, archived_at,
    erasures, changed
FROM public.partition_list()

-- name: ensure
SELECT public.ensure_partition(%(day)s)

-- name: reopen
SELECT public.partition_reopen(%(day)s)

-- name: close
SELECT public.partition_close(%(partition)s, %(first)s, %(end)s)

-- name: open
DELETE FROM public.closed_months WHERE first = %(first)s

-- name: has_default
SELECT partdefid <> 0 FROM pg_catalog.pg_partitioned_table WHERE partrelid = 'public.user_logins'::regclass

-- name: detach
SELECT public.partition_move_detached(%(partition)s)

-- name: misfits
SELECT public.partition_misfits(%(partition)s)

-- name: prepare
SELECT public.partition_prepare(%(partition)s)

-- name: attach
SELECT public.partition_attach(%(partition)s)

-- name: drop
SELECT public.partition_drop(%(partition)s, %(manifest_sha256)s)
