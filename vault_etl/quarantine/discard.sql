-- name: quarantine_matching
-- Returns the time that the age means, so that a discard is of the messages that were counted, however long it takes.
SELECT m.messages, m.oldest, m.newest, counted.until
FROM (SELECT coalesce(%(until)s::timestamptz, clock_timestamp() - %(older_than)s::interval) AS until) AS counted,
    vault_etl.quarantine_matching(%(record_ids)s::uuid[], %(reason_code)s, %(since)s, counted.until, %(source)s) AS m

-- name: quarantine_discard
-- Returns how many were deleted, when the last one was quarantined, and seq and hash of the entry; all NULL if nothing matches.
CALL vault_etl.commit_quarantine_discard(
    %(request_id)s, %(actor)s, %(host)s, %(ticket)s, %(reason)s, %(record_ids)s::uuid[], %(reason_code)s,
    %(since)s::timestamptz, %(until)s::timestamptz, %(source)s, NULL, NULL, NULL, NULL
)
