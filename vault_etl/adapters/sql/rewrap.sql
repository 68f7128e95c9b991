-- Wrapped keys, wrapped anew, for the roles rotate and re-encrypt. No fence: the keys stay what they are.

-- name: live_key_ids
SELECT key_id FROM public.data_keys WHERE state <> 'destroyed'

-- name: swap
UPDATE public.data_keys SET wrapped_key = %(wrapped_key)s, kms_key_arn = %(kms_key_arn)s
WHERE key_id = %(key_id)s AND state <> 'destroyed'
    AND wrapped_key = %(old_wrapped_key)s AND kms_key_arn = %(old_kms_key_arn)s
