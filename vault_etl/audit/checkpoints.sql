-- Signed heads of the log, and the keys that sign them.

-- name: signer
SELECT vault_id, note FROM public.audit_signer()

-- name: store
SELECT public.audit_checkpoint(%(seq)s, %(hash)s, %(key_hash)s, %(signature)s)

-- name: register
CALL public.commit_audit_register_key(
    %(request_id)s, %(actor)s, %(host)s, %(reason)s, %(kms_key_arn)s, %(public_key)s, %(signed_seq)s, %(signature)s,
    NULL, NULL
)

-- name: head
SELECT seq, hash FROM public.audit_head
