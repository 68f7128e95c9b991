-- The audit log.

-- name: acts_as
SELECT
    bool_or(pg_has_role(current_user, role, 'USAGE')),
    has_function_privilege(
        'vault_etl.audit_append(uuid, text, text, text, text, uuid, text[], text, text, text, text, text, integer)',
        'EXECUTE'
    )
FROM unnest(%(roles)s::text[]) AS role

-- name: append
CALL vault_etl.commit_audit_append(
    %(request_id)s, %(phase)s, %(actor)s, %(host)s, %(action)s, %(record_id)s, %(fields)s::text[],
    %(purpose)s, %(ticket)s, %(reason)s, %(decision)s, %(error_code)s,
    %(amount)s, NULL, NULL, NULL, NULL, NULL, NULL
)

-- name: last_trimmed
SELECT last_seq, last_at FROM vault_etl.audit_segments ORDER BY last_seq DESC LIMIT 1

-- name: before_a_time
-- The entry before the first one of a time, even if the clock went back in between. The index has both columns; for a
-- bare min() the planner would read the log from its first entry on.
SELECT coalesce(min(seq + 0) - 1, 9223372036854775807) FROM vault_etl.audit_log WHERE logged_at >= %(since)s

-- name: resume
-- The columns of `entries`.
SELECT
    l.seq, l.logged_at, l.request_id, l.phase, l.login, l.client_address, l.actor, l.host, l.action, l.record_id, l.fields,
    l.purpose, l.ticket, l.reason, l.decision, l.error_code, l.prev_hash, l.hash
FROM vault_etl.audit_resume(%(seq)s) AS l

-- name: entries
SELECT seq, logged_at, request_id, phase, login, client_address, actor, host, action, record_id, fields,
    purpose, ticket, reason, decision, error_code, prev_hash, hash
FROM vault_etl.audit_log AS l
WHERE vault_etl.audit_matches(
    l, %(since)s, %(until)s, %(record_id)s, %(field)s, %(action)s, %(ticket)s, %(actor)s
) AND l.seq > %(after)s
ORDER BY seq LIMIT 250

-- name: before_the_newest
-- The last entry that is not among the newest ones. A listing of the newest begins after it.
SELECT seq FROM vault_etl.audit_log AS l
WHERE vault_etl.audit_matches(
    l, %(since)s, %(until)s, %(record_id)s, %(field)s, %(action)s, %(ticket)s, %(actor)s
)
ORDER BY seq DESC OFFSET %(limit)s LIMIT 1
