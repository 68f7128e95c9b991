-- Accesses of the role reveal, each against a committed intent.

-- name: disclose
SELECT event, name, field, ciphertext, subject, day, tokens, token_generation FROM vault_etl.audit_disclose(%(seq)s)

-- name: search
SELECT vault_etl.audit_search(%(seq)s, %(digest)s)

-- name: find
-- Moments are in UTC, because Python cannot read the first and the last ones in every time zone.
SELECT event, record_id, subject, day, moment AT TIME ZONE 'UTC' AS moment, holders, value
FROM vault_etl.audit_find(%(seq)s, %(nonce)s, %(tokens)s::uuid[], %(limit)s)

-- name: find_user
SELECT event, record_id, day, moment AT TIME ZONE 'UTC' AS moment, details, holders
FROM vault_etl.audit_find_user(%(seq)s, %(nonce)s, %(user_id)s)

-- name: about
SELECT seq, logged_at, request_id, phase, login, client_address, actor, host, action, record_id, fields,
    purpose, ticket, reason, decision, error_code, prev_hash, hash
FROM vault_etl.audit_about(%(seq)s, %(after)s)
