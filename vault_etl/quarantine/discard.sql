-- name: quarantine_matching
-- With the time that the age means, so that a discard is of what was counted, however long it takes.
SELECT m.messages, m.oldest, m.newest, counted.until
FROM (SELECT coalesce(%(until)s::timestamptz, clock_timestamp() - %(older_than)s::interval) AS until) AS counted,
    public.quarantine_matching(%(record_ids)s::uuid[], %(reason_code)s, %(since)s, counted.until, %(source)s) AS m

-- name: quarantine_discard
-- How many are gone, when the last of them was quarantined, and the entry's seq and hash; all NULL if nothing matches.
CALL public.commit_quarantine_discard(
    %(request_id)s, %(actor)s, %(host)s, %(ticket)s, %(reason)s, %(record_ids)s::uuid[], %(reason_code)s,
    %(since)s::timestamptz, %(until)s::timestamptz, %(source)s, NULL, NULL, NULL, NULL
)
