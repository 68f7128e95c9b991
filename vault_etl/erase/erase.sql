-- Erasing, for the role erase.

-- name: preview
SELECT matching, records, bodies, archives FROM vault_etl.erase_preview(%(record_id)s, %(user_id)s)

-- name: erase
-- Returns records, bodies, archives by their months, the time, and seq and hash of the entry; all NULL if nothing matches.
CALL vault_etl.commit_erase(
    %(request_id)s, %(actor)s, %(host)s, %(record_id)s, %(user_id)s, %(ticket)s, %(reason)s, %(declaration)s,
    NULL, NULL, NULL, NULL, NULL, NULL
)
