-- Wrapped keys, wrapped anew, for the roles rotate and re-encrypt. No fence: the keys stay what they are.

-- name: live_key_ids
SELECT key_id FROM public.data_keys WHERE state <> 'destroyed'

-- name: swap
CALL public.commit_key_rewrap(
    %(request_id)s, %(actor)s, %(host)s, %(key_id)s, %(old_wrapped_key)s, %(old_kms_key_arn)s,
    %(wrapped_key)s, %(kms_key_arn)s, NULL
)
