-- The end of keys, for the roles rotate and re-encrypt.

-- name: needs_of_data_key
SELECT in_records, bodies, leases FROM public.needs_of_data_key(%(key_id)s)

-- name: needs_of_generation
SELECT tokens, next_tokens FROM public.needs_of_generation(%(generation)s::smallint)

-- name: retire_expired
UPDATE public.data_keys SET state = 'decrypt_only'
WHERE key_id = %(key_id)s AND purpose = 'data' AND state = 'active' AND expires_at <= clock_timestamp()

-- name: commit_for_good
-- What is reported as destroyed must not be back after a crash.
SELECT set_config('synchronous_commit', 'on', true)
WHERE current_setting('synchronous_commit') IN ('off', 'local', 'remote_write')

-- name: destroy
UPDATE public.data_keys SET state = 'destroyed', wrapped_key = NULL
WHERE key_id = ANY (%(key_ids)s::bigint[]) AND state = 'decrypt_only'
RETURNING key_id
