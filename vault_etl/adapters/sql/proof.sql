-- The whole log, for `audit verify`. Text and numbers are made here: a million rows are quicker so. Texts and
-- bytes are cut behind what their columns allow: whatever is longer was put there without the constraints, and
-- its hash is another one.

-- name: freeze
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY

-- name: vaults
SELECT vault_id FROM public.vault LIMIT 2

-- name: heads
SELECT coalesce(seq, -1), substr(hash, 1, 64) FROM public.audit_head LIMIT 2

-- name: bound
SELECT coalesce(seq, 0) AS number, 'policy set' AS action, encode(sha256(convert_to(document, 'UTF8')), 'hex') AS digest, NULL AS note
FROM public.reveal_policies
UNION ALL
SELECT coalesce(seq, 0), 'audit key', encode(sha256(convert_to(note, 'UTF8')), 'hex'), left(note, 4096)
FROM public.audit_keys ORDER BY number

-- name: log
SELECT
    coalesce(seq, 0),
    CASE WHEN logged_at >= '1970-01-01Z' AND logged_at < '10000-01-01Z'
        THEN (extract(epoch FROM logged_at) * 1000000)::bigint END,
    request_id::text, left(phase, 4096), left(login, 4096), left(client_address, 4096), left(actor, 4096),
    left(host, 4096), left(action, 4096), record_id::text,
    CASE WHEN array_ndims(fields) > 1 THEN ARRAY(SELECT unnest(fields) LIMIT 64)
        WHEN pg_column_size(fields) < 4096 THEN fields END,
    left(purpose, 4096), left(ticket, 4096), left(reason, 4096), left(decision, 4096), left(error_code, 4096),
    substr(prev_hash, 1, 64), substr(hash, 1, 64)
FROM public.audit_log ORDER BY seq

-- name: checkpoints
SELECT coalesce(seq, 0), substr(hash, 1, 64), substr(key_hash, 1, 64), substr(signature, 1, 128), left(stored_by, 64)
FROM public.audit_checkpoints ORDER BY seq, checkpoint_id
