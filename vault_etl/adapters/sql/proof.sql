-- The whole log, for `audit verify`. Text and numbers are made here: a million rows are quicker so.

-- name: freeze
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY

-- name: beginning
SELECT vault_id, (SELECT seq FROM public.audit_head), (SELECT hash FROM public.audit_head)
FROM public.vault

-- name: bound
SELECT seq, encode(sha256(convert_to(document, 'UTF8')), 'hex') FROM public.reveal_policies
UNION ALL
SELECT seq, encode(sha256(public_key), 'hex') FROM public.audit_keys

-- name: log
SELECT
    seq, CASE WHEN isfinite(logged_at) THEN (extract(epoch FROM logged_at) * 1000000)::bigint END,
    request_id::text, phase, login, client_address, actor, host, action, record_id::text, fields, purpose,
    ticket, reason, decision, error_code, prev_hash, hash
FROM public.audit_log ORDER BY seq

-- name: notes
SELECT seq, hash, note FROM public.audit_checkpoints ORDER BY seq, checkpoint_id
