-- Messages that could not be records: their metadata, for the role reveal, and the retry, for the role re-encrypt.

-- name: rows
SELECT record_id, reason_code, path, receive_count, quarantined_at, source_id FROM vault_etl.quarantine
WHERE vault_etl.quarantine_matches(
    reason_code, quarantined_at, source_id, %(reason_code)s, %(since)s, %(until)s, %(source)s
)
AND (
    %(after_time)s::timestamptz IS NULL
    OR (quarantined_at, record_id) > (%(after_time)s::timestamptz, %(after_id)s::uuid)
)
ORDER BY quarantined_at, record_id LIMIT 1000

-- name: before_the_newest
-- The last row that is not among the newest ones. A listing of the newest begins after it.
SELECT quarantined_at, record_id FROM vault_etl.quarantine
WHERE vault_etl.quarantine_matches(
    reason_code, quarantined_at, source_id, %(reason_code)s, %(since)s, %(until)s, %(source)s
)
ORDER BY quarantined_at DESC, record_id DESC OFFSET %(limit)s LIMIT 1

-- name: counts
SELECT reason_code, path, source_id, count(*), min(quarantined_at), max(quarantined_at),
    count(*) FILTER (WHERE quarantined_at >= date_trunc('day', now(), 'UTC')),
    count(*) FILTER (
        WHERE quarantined_at < date_trunc('day', now(), 'UTC')
            AND quarantined_at >= date_trunc('day', now(), 'UTC') - interval '1 day'
    )
FROM vault_etl.quarantine
WHERE vault_etl.quarantine_matches(
    reason_code, quarantined_at, source_id, %(reason_code)s, %(since)s, %(until)s, %(source)s
)
GROUP BY reason_code, path, source_id ORDER BY 4 DESC, 1, 2, 3 NULLS FIRST

-- name: row
SELECT record_id, reason_code, path, receive_count, quarantined_at, source_id FROM vault_etl.quarantine
WHERE record_id = %(record_id)s

-- name: bodies
-- A page ends at %(limit)s rows or %(bytes)s bytes, as in reencrypt.sql.
SELECT record_id, body_ciphertext, source_id, queue, found FROM (
    SELECT record_id, body_ciphertext, source_id, queue, octet_length(body_ciphertext) AS bytes,
        count(*) OVER () AS found,
        sum(octet_length(body_ciphertext)) OVER (ORDER BY record_id ROWS UNBOUNDED PRECEDING) AS up_to_here
    FROM (
        SELECT record_id, body_ciphertext, source_id, queue FROM vault_etl.quarantine
        WHERE body_ciphertext IS NOT NULL
            AND (%(only)s::uuid[] IS NULL OR record_id = ANY (%(only)s::uuid[]))
            AND (%(reason_code)s::text IS NULL OR reason_code = %(reason_code)s)
            AND (%(after)s::uuid IS NULL OR record_id > %(after)s::uuid)
        ORDER BY record_id LIMIT %(limit)s
    ) AS page
) AS sized
WHERE up_to_here <= %(bytes)s OR up_to_here = bytes
ORDER BY record_id

-- name: lock_bodies
-- Rows are locked and compared before a record is stored: an erasure of a body waits for the retry, or the retry for
-- the erasure. They are deleted after the records are stored, when the retry waits for no other session any more: an
-- ingest that meets a record or a row of the retry waits for the retry, and never the retry for it in turn.
SELECT q.record_id FROM vault_etl.quarantine AS q
JOIN unnest(%(record_ids)s::uuid[], %(bodies)s::bytea[]) AS was_read (record_id, body_ciphertext)
    ON q.record_id = was_read.record_id AND q.body_ciphertext = was_read.body_ciphertext
ORDER BY q.record_id FOR UPDATE OF q

-- name: delete_rows
DELETE FROM vault_etl.quarantine WHERE record_id = ANY (%(record_ids)s::uuid[])
