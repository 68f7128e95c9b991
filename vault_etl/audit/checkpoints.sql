-- Signed heads of the log, and the keys that sign them.

-- name: signer
SELECT vault_id, note FROM vault_etl.audit_signer()

-- name: store
SELECT vault_etl.audit_checkpoint(%(seq)s, %(hash)s, %(key_hash)s, %(signature)s)

-- name: register
CALL vault_etl.commit_audit_register_key(
    %(request_id)s, %(actor)s, %(host)s, %(reason)s, %(kms_key_arn)s, %(public_key)s, %(signed_seq)s, %(signature)s,
    NULL, NULL
)

-- name: head
SELECT seq, hash FROM vault_etl.audit_head
