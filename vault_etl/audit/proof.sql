-- The whole log, for `audit verify`. Text and numbers are formatted here, because that is faster for a million rows. A
-- value far longer than its column allows was put there without the constraints: it is NULL here, so its hash differs.

-- name: freeze
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY

-- name: vaults
SELECT vault_id FROM vault_etl.vault LIMIT 2

-- name: heads
SELECT coalesce(seq, -1), substr(hash, 1, 64) FROM vault_etl.audit_head LIMIT 2

-- name: bound
SELECT coalesce(seq, 0) AS number, 'policy set' AS action, encode(sha256(convert_to(document, 'UTF8')), 'hex') AS digest, NULL AS note
FROM vault_etl.reveal_policies
UNION ALL
SELECT coalesce(seq, 0), 'audit key', encode(sha256(convert_to(note, 'UTF8')), 'hex'), left(note, 4096)
FROM vault_etl.audit_keys
UNION ALL
SELECT
    coalesce(seq, 0), coalesce((SELECT left(l.action, 64) FROM vault_etl.audit_log AS l WHERE l.seq = c.seq), ''),
    encode(sha256(convert_to(E'vault-etl/1/key-changes\n' || string_agg(concat_ws(
        ' ', key_id, purpose, field, coalesce(generation::text, '-'), state,
        encode(fingerprint, 'hex'), coalesce(encode(wrapped_key_sha256, 'hex'), '-'), kms_key_arn
    ) || E'\n', '' ORDER BY key_id), 'UTF8')), 'hex'),
    NULL
FROM vault_etl.key_changes AS c GROUP BY seq
UNION ALL
SELECT
    coalesce(seq, 0), 'audit trim',
    encode(sha256(convert_to(E'vault-etl/1/audit-segment\n' || concat_ws(
        ' ', first_seq, last_seq, encode(prev_hash, 'hex'), encode(last_hash, 'hex'),
        (extract(epoch FROM last_at) * 1000000)::bigint, kept, encode(kept_sha256, 'hex'),
        encode(manifest_sha256, 'hex'), location
    ) || E'\n', 'UTF8')), 'hex'),
    NULL
FROM vault_etl.audit_segments
UNION ALL
SELECT
    coalesce(s.seq, 0), 'schema apply',
    encode(sha256(convert_to(E'vault-etl/1/schema-version\n' || concat_ws(
        ' ', s.version, encode(sha256(convert_to(s.document, 'UTF8')), 'hex'),
        encode(sha256(convert_to(s.before, 'UTF8')), 'hex'), coalesce(encode(s.admits, 'hex'), '-')
    ) || E'\n', 'UTF8')), 'hex'),
    NULL
FROM (SELECT v.*, lag(v.document) OVER (ORDER BY v.version) AS before FROM vault_etl.schema_versions AS v) AS s
-- The first version has no entry. Its document is in the ticket of the second.
WHERE (s.version = 1 AND s.seq IS NULL) IS NOT TRUE
ORDER BY number

-- name: segments
-- `present` is how many entries of a segment the log still has: all, until they are deleted, and then those that stay.
SELECT coalesce(s.first_seq, 0), s.last_seq, substr(s.prev_hash, 1, 64), substr(s.last_hash, 1, 64),
    coalesce(s.kept, 0), substr(s.kept_sha256, 1, 64), substr(s.manifest_sha256, 1, 64), left(s.location, 2048),
    coalesce(s.seq, 0),
    (SELECT count(*) FROM vault_etl.audit_log AS l WHERE l.seq >= s.first_seq AND l.seq <= s.last_seq)
FROM vault_etl.audit_segments AS s WHERE s.last_seq IS NOT NULL ORDER BY s.last_seq

-- name: unexplained
-- The query of `unexplained_keys` (migrations/0011_key_changes.sql), repeated because an owner could replace the function.
SELECT k.key_id
FROM vault_etl.data_keys AS k
LEFT JOIN LATERAL (
    SELECT * FROM vault_etl.key_changes AS c WHERE c.key_id = k.key_id ORDER BY c.seq DESC LIMIT 1
) AS said ON true
WHERE CASE
    WHEN said.key_id IS NULL THEN (k.purpose, k.state) <> ('data', 'active')
    ELSE (k.purpose, k.field, k.generation, k.state, k.fingerprint, k.kms_key_arn, sha256(k.wrapped_key))
        IS DISTINCT FROM (
            said.purpose, said.field, said.generation, said.state, said.fingerprint, said.kms_key_arn,
            said.wrapped_key_sha256
        )
END
UNION
SELECT c.key_id FROM vault_etl.key_changes AS c
WHERE NOT EXISTS (SELECT FROM vault_etl.data_keys AS k WHERE k.key_id = c.key_id)
ORDER BY key_id

-- name: wrong_amounts
-- Intents whose amount differs from the number in their reason, and amounts that belong to no such intent.
SELECT coalesce(l.seq, a.seq, 0)
FROM vault_etl.audit_log AS l FULL JOIN vault_etl.audit_amounts AS a ON a.seq = l.seq
WHERE CASE
    WHEN l.phase = 'intent' AND l.decision = 'allowed' AND l.action IN ('find', 'tokens')
        THEN substring(left(l.reason, 32) FROM '^([0-9]+) values: ')
    WHEN l.phase = 'intent' AND l.decision = 'allowed' AND l.action = 'lake open'
        THEN substring(left(l.reason, 32) FROM '^([0-9]+) rows: ')
END IS DISTINCT FROM a.amount::text
ORDER BY 1

-- name: log
SELECT
    coalesce(seq, 0),
    CASE WHEN logged_at >= '1970-01-01Z' AND logged_at < '10000-01-01Z'
        THEN (extract(epoch FROM logged_at) * 1000000)::bigint END,
    request_id::text,
    CASE WHEN octet_length(phase) < 16384 THEN phase END,
    CASE WHEN octet_length(login) < 16384 THEN login END,
    CASE WHEN octet_length(client_address) < 16384 THEN client_address END,
    CASE WHEN octet_length(actor) < 16384 THEN actor END,
    CASE WHEN octet_length(host) < 16384 THEN host END,
    CASE WHEN octet_length(action) < 16384 THEN action END,
    record_id::text,
    -- A nested list, which no function writes, would have the same hash as a flat one.
    CASE WHEN array_ndims(fields) > 1 THEN NULL WHEN pg_column_size(fields) < 4096 THEN fields END,
    CASE WHEN octet_length(purpose) < 16384 THEN purpose END,
    CASE WHEN octet_length(ticket) < 16384 THEN ticket END,
    CASE WHEN octet_length(reason) < 16384 THEN reason END,
    CASE WHEN octet_length(decision) < 16384 THEN decision END,
    CASE WHEN octet_length(error_code) < 16384 THEN error_code END,
    CASE WHEN length(prev_hash) = 32 THEN prev_hash END,
    CASE WHEN length(hash) = 32 THEN hash END
FROM vault_etl.audit_log
WHERE %(first_seq)s::bigint IS NULL OR (seq >= %(first_seq)s AND seq <= %(last_seq)s)
ORDER BY seq

-- name: ends
-- Entries in this span that have a checkpoint, so that a segment may end with them; the newest first.
SELECT l.seq, l.hash, l.logged_at, c.hash, c.key_hash, c.signature, c.stored_by
FROM vault_etl.audit_checkpoints AS c JOIN vault_etl.audit_log AS l ON l.seq = c.seq
WHERE c.seq >= %(first_seq)s AND c.seq <= %(last_seq)s AND l.logged_at < %(until)s
ORDER BY c.seq DESC, c.checkpoint_id

-- name: checkpoints
SELECT coalesce(seq, 0), substr(hash, 1, 64), substr(key_hash, 1, 64), substr(signature, 1, 128), left(stored_by, 64)
FROM vault_etl.audit_checkpoints
WHERE %(first_seq)s::bigint IS NULL OR (seq >= %(first_seq)s AND seq <= %(last_seq)s)
ORDER BY seq, checkpoint_id
