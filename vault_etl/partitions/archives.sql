-- Archives of detached months, for the owner.

-- name: patience
-- The session is idle while a part is copied to or from the archive.
SET LOCAL idle_in_transaction_session_timeout = '30min'

-- name: begin
SELECT vault_etl.archive_begin(%(partition)s)

-- name: record
SELECT vault_etl.archive_record(%(partition)s, %(version)s, %(location)s, %(manifest_sha256)s)

-- name: drop
SELECT vault_etl.archive_drop(%(partition)s, %(manifest_sha256)s)

-- name: make
SELECT vault_etl.restore_make(%(event)s, %(partition)s, %(first)s, %(end)s)

-- name: restored
SELECT vault_etl.restore_end(
    %(event)s, %(partition)s, %(first)s, %(end)s, %(location)s, %(manifest_sha256)s, %(recorded)s
)

-- name: keys
-- The keys that rows under these data keys, and with tokens of these generations, need.
SELECT key_id, purpose, field, generation, state, kms_key_arn, wrapped_key, fingerprint, created_at,
    created_by, expires_at, retired_at, destroyed_at
FROM vault_etl.data_keys
WHERE purpose = 'data' AND key_id = ANY (%(key_ids)s::bigint[])
    OR purpose = 'token' AND generation = ANY (%(generations)s::smallint[])

-- name: lost_keys
-- The given data keys that are destroyed or missing: their values cannot be opened.
SELECT given.key_id FROM unnest(%(key_ids)s::bigint[]) AS given (key_id)
LEFT JOIN vault_etl.data_keys AS k ON k.key_id = given.key_id
WHERE k.key_id IS NULL OR k.state = 'destroyed'

-- name: active_generation
SELECT k.generation FROM vault_etl.data_keys AS k WHERE k.purpose = 'token' AND k.state = 'active'
