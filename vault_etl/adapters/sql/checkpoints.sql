-- Signed heads of the log, and the key that signs them.

-- name: signer
SELECT vault_id, kms_key_arn, public_key FROM public.audit_signer()

-- name: store
SELECT public.audit_checkpoint(%(seq)s, %(hash)s, %(note)s)

-- name: register
SELECT seq, hash FROM public.audit_register_key(
    %(request_id)s, %(actor)s, %(host)s, %(reason)s, %(kms_key_arn)s, %(public_key)s
)

-- name: head
SELECT seq, hash FROM public.audit_head
