-- Entries of the audit log that are in segments, for the owner.

-- name: kept
SELECT count(*) FROM vault_etl.audit_kept(%(first_seq)s, %(last_seq)s)

-- name: add
SELECT seq, hash FROM vault_etl.audit_segment_add(
    %(request_id)s, %(actor)s, %(host)s, %(reason)s, %(first_seq)s, %(last_seq)s, %(prev_hash)s, %(last_hash)s,
    %(manifest_sha256)s, %(location)s
)

-- name: delete
SELECT vault_etl.audit_segment_delete(%(last_seq)s)
