-- The audit log.

-- name: acts_as
SELECT
    bool_or(pg_has_role(current_user, role, 'USAGE')),
    has_function_privilege(
        'public.audit_append(uuid, text, text, text, text, uuid, text[], text, text, text, text, text)',
        'EXECUTE'
    )
FROM unnest(%(roles)s::text[]) AS role

-- name: append
CALL public.commit_audit_append(
    %(request_id)s, %(phase)s, %(actor)s, %(host)s, %(action)s, %(record_id)s, %(fields)s::text[],
    %(purpose)s, %(ticket)s, %(reason)s, %(decision)s, %(error_code)s,
    NULL, NULL, NULL, NULL, NULL, NULL
)

-- name: entries
SELECT seq, logged_at, request_id, phase, login, client_address, actor, host, action, record_id, fields,
    purpose, ticket, reason, decision, error_code, prev_hash, hash
FROM public.audit_log
WHERE (%(since)s::timestamptz IS NULL OR logged_at >= %(since)s)
    AND (%(record_id)s::uuid IS NULL OR record_id = %(record_id)s)
    AND (%(actor)s::text IS NULL OR actor = %(actor)s OR login = %(actor)s)
    AND seq > %(after)s
ORDER BY seq LIMIT 250
