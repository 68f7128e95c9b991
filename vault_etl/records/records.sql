-- Loading behind the fence, for the role ingest.

-- name: lock_fence
LOCK TABLE vault_etl.key_fence IN ROW EXCLUSIVE MODE

-- name: read_fence
SELECT f.active, f.pending, f.good_keys, f.declared,
    (SELECT set_config('synchronous_commit', 'on', true)
        WHERE current_setting('synchronous_commit') IN ('off', 'local', 'remote_write')) AS raised
FROM vault_etl.fence_state(%(key_ids)s::bigint[], %(fingerprints)s::bytea[], %(declaration)s::bytea) AS f

-- name: in_closed_months
SELECT vault_etl.in_closed_months(%(record_ids)s::uuid[])

-- name: insert_rejections
INSERT INTO vault_etl.quarantine (record_id, reason_code, path, body_ciphertext, receive_count, source_id, queue)
SELECT * FROM unnest(
    %(record_ids)s::uuid[], %(reasons)s::text[], %(paths)s::text[], %(bodies)s::bytea[], %(receives)s::int[],
    %(sources)s::uuid[], %(queues)s::text[]
) AS rejected (record_id, reason_code, path, body_ciphertext, receive_count, source_id, queue)
ORDER BY record_id
ON CONFLICT (record_id) DO NOTHING
RETURNING record_id

-- name: committed
SELECT vault_etl.ingest_committed(%(messages)s, %(newest_sent)s)

-- name: ensure_partition
SELECT vault_etl.ensure_partition(%(event)s, (now() AT TIME ZONE 'UTC' + make_interval(months => %(month)s))::date)

-- name: ensure_month
SELECT vault_etl.ensure_partition(%(event)s, %(month)s)

-- name: fold_counts
CALL vault_etl.commit_fold_value_counts(NULL)

-- name: ranges
SELECT r.event, r.first, r.until, false FROM vault_etl.partition_ranges() AS r WHERE NOT r.detaching
UNION ALL
SELECT m.event, m.first, m.until, true FROM vault_etl.closed_months AS m
ORDER BY 2, 4, 1

-- name: probe
-- True on a standby, which could not store a batch.
SELECT current_setting('transaction_read_only')::boolean
