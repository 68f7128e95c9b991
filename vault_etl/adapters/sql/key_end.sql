-- The end of keys, for the roles rotate and re-encrypt.

-- name: needs_of_data_key
-- Whatever field the key is of: a value in another field's place needs it as well.
SELECT records.values, bodies.bodies, leases.leases
FROM (
    SELECT
        count(*) FILTER (WHERE public.ciphertext_key_id(ip_ciphertext) = %(key_id)s)
        + count(*) FILTER (WHERE public.ciphertext_key_id(device_id_ciphertext) = %(key_id)s) AS values
    FROM public.user_logins
) AS records, (
    SELECT count(*) AS bodies FROM public.quarantine
    WHERE public.ciphertext_key_id(body_ciphertext) = %(key_id)s
) AS bodies, (
    SELECT count(*) AS leases FROM public.data_keys
    WHERE key_id = %(key_id)s AND purpose = 'data' AND state = 'active' AND expires_at > clock_timestamp()
) AS leases

-- name: needs_of_generation
SELECT
    count(*) FILTER (WHERE token_generation = %(generation)s),
    count(*) FILTER (WHERE next_token_generation = %(generation)s)
FROM public.user_logins

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
