-- What `doctor` looks at. All but the last three are visible to every login.

-- name: server
SELECT current_setting('server_version_num')::integer, current_setting('server_encoding')

-- name: fence_bytes
SELECT pg_catalog.pg_relation_size('public.key_fence')

-- name: missing_months
SELECT to_char(month, 'YYYY-MM')
FROM generate_series(
    date_trunc('month', now() AT TIME ZONE 'UTC'),
    date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => %(ahead)s),
    interval '1 month'
) AS month
WHERE NOT EXISTS (
    SELECT FROM pg_catalog.pg_inherits AS i JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'public.user_logins'::regclass AND NOT i.inhdetachpending
        AND c.relname = 'user_logins_' || to_char(month, 'YYYY_MM')
)
ORDER BY month

-- name: rights
SELECT
    (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = session_user),
    array(
        SELECT rolname::text FROM pg_catalog.pg_roles
        WHERE rolname LIKE 'vault\_etl\_%%' AND pg_has_role(current_user, oid, 'USAGE')
        ORDER BY rolname
    )

-- name: mixed_logins
-- ingest and reveal open token keys, and may read no token; re-encrypt does both by its nature.
-- Membership with ADMIN alone, which PostgreSQL gives to who makes a role, is neither USAGE nor SET.
WITH readers AS (
    SELECT r.oid FROM pg_catalog.pg_roles AS r
    WHERE has_table_privilege(r.oid, 'public.user_logins_masked', 'SELECT')
        OR EXISTS (
            SELECT FROM pg_catalog.pg_attribute AS a
            WHERE a.attrelid = 'public.user_logins'::regclass AND a.attnum > 0 AND NOT a.attisdropped
                AND (a.attname LIKE '%%masked%%' OR a.attname LIKE '%%ciphertext')
                AND has_column_privilege(r.oid, a.attrelid, a.attnum, 'SELECT')
        )
), mixed AS (
    SELECT l.rolname FROM pg_catalog.pg_roles AS l
    WHERE l.rolcanlogin AND NOT l.rolsuper
        AND EXISTS (
            SELECT FROM unnest(ARRAY['vault_etl_ingest', 'vault_etl_reveal']) AS opener
            WHERE pg_has_role(l.oid, opener, 'USAGE') OR pg_has_role(l.oid, opener, 'SET')
        )
        AND EXISTS (
            SELECT FROM readers AS r
            WHERE pg_has_role(l.oid, r.oid, 'USAGE') OR pg_has_role(l.oid, r.oid, 'SET')
        )
)
SELECT
    count(*) FILTER (WHERE rolname = session_user) > 0,
    count(*) FILTER (WHERE rolname <> session_user)
FROM mixed

-- name: wrappings
SELECT purpose, kms_key_arn, count(*) FROM public.data_keys WHERE state <> 'destroyed'
GROUP BY purpose, kms_key_arn ORDER BY purpose, kms_key_arn

-- name: turn
SELECT pid, login, extract(epoch FROM clock_timestamp() - since)::double precision, may_end
FROM public.audit_holder()

-- name: registrations
SELECT seq, note FROM public.audit_keys ORDER BY seq DESC

-- name: checkpoints
SELECT v.vault_id, c.seq, c.hash, c.key_hash, c.signature, c.stored_by
FROM public.vault AS v LEFT JOIN (
    SELECT * FROM public.audit_checkpoints ORDER BY seq DESC, checkpoint_id DESC LIMIT 300
) AS c ON true
ORDER BY c.seq DESC

-- name: unsigned
SELECT count(*), clock_timestamp() - min(logged_at) FROM public.audit_log WHERE seq > %(seq)s
