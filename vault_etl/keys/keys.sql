-- The table of wrapped keys.

-- name: keys_by_id
SELECT key_id, purpose, field, generation, state, kms_key_arn, wrapped_key, fingerprint, created_at,
    created_by, expires_at, retired_at, destroyed_at
FROM vault_etl.data_keys WHERE key_id = ANY (%(key_ids)s::bigint[])

-- name: token_keys
SELECT key_id, purpose, field, generation, state, kms_key_arn, wrapped_key, fingerprint, created_at,
    created_by, expires_at, retired_at, destroyed_at
FROM vault_etl.data_keys WHERE purpose = 'token' AND state IN ('active', 'pending')
ORDER BY generation, field

-- name: field_token_keys
SELECT key_id, purpose, field, generation, state, kms_key_arn, wrapped_key, fingerprint, created_at,
    created_by, expires_at, retired_at, destroyed_at
FROM vault_etl.data_keys WHERE purpose = 'token' AND field = %(field)s AND state <> 'destroyed'
ORDER BY state = 'active' DESC, generation DESC

-- name: source_key
SELECT key_id, purpose, field, generation, state, kms_key_arn, wrapped_key, fingerprint, created_at,
    created_by, expires_at, retired_at, destroyed_at
FROM vault_etl.data_keys WHERE purpose = 'source' AND state = 'active'

-- name: add_data_key
INSERT INTO vault_etl.data_keys (key_id, field, kms_key_arn, wrapped_key, fingerprint, expires_at)
VALUES (
    %(key_id)s, %(field)s, %(kms_key_arn)s, %(wrapped_key)s, %(fingerprint)s,
    clock_timestamp() + %(lease)s
)
ON CONFLICT (key_id) DO NOTHING

-- name: limit_fence
-- Loaders wait behind a process that waits for the fence or holds it.
SELECT set_config('lock_timeout', '2s', true), set_config('idle_in_transaction_session_timeout', '10s', true)

-- name: close_fence
LOCK TABLE vault_etl.key_fence IN SHARE ROW EXCLUSIVE MODE

-- name: add_first_keys
CALL vault_etl.commit_keys_init(%(request_id)s, %(actor)s, %(host)s, %(keys)s::jsonb, NULL)

-- name: retire_data_keys
CALL vault_etl.commit_data_keys_retire(
    %(request_id)s, %(actor)s, %(host)s, %(fields)s::text[], %(expired)s, NULL
)

-- name: unexplained
SELECT key_id FROM vault_etl.unexplained_keys(%(key_ids)s::bigint[])

-- name: oldest
SELECT purpose, clock_timestamp() - min(created_at)
FROM vault_etl.data_keys WHERE state = %(state)s GROUP BY purpose

-- name: usage
SELECT k.key_id, k.purpose, k.field, k.generation, k.state, k.kms_key_arn, k.wrapped_key, k.fingerprint,
    k.created_at, k.created_by, k.expires_at, k.retired_at, k.destroyed_at, u.rows,
    u.rows = 0 AND k.purpose = 'data'
        AND (k.state = 'decrypt_only' OR k.state = 'active' AND k.expires_at <= clock_timestamp())
FROM vault_etl.data_keys AS k JOIN vault_etl.key_usage(%(counted)s) AS u ON u.key_id = k.key_id
ORDER BY k.created_at, k.key_id

-- name: live_key_ids
SELECT key_id FROM vault_etl.data_keys WHERE state <> 'destroyed'

-- name: swap_wrapped_key
-- Needs no fence, because the key and its state stay the same.
CALL vault_etl.commit_key_rewrap(
    %(request_id)s, %(actor)s, %(host)s, %(key_id)s, %(old_wrapped_key)s, %(old_kms_key_arn)s,
    %(wrapped_key)s, %(kms_key_arn)s, %(declaration)s, NULL
)
