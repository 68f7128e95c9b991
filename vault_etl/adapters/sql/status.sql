-- What `status` looks at, beside what `doctor` does. Each reads an index, and a bounded part of it.

-- name: newest_record
SELECT record_id FROM public.user_logins ORDER BY record_id DESC LIMIT 1

-- name: recent_records
-- Ids begin with the time of sending: those of the last minutes, 100,000 at most.
SELECT count(*) FROM (SELECT record_id FROM public.user_logins WHERE record_id >= %(first)s LIMIT 100000) AS recent

-- name: quarantined_lately
-- Of today and yesterday (UTC): the newest 100,000 at most.
SELECT reason_code, count(*) FILTER (WHERE quarantined_at >= %(today)s), count(*) FILTER (WHERE quarantined_at < %(today)s)
FROM (
    SELECT reason_code, quarantined_at FROM public.quarantine WHERE quarantined_at >= %(yesterday)s
    ORDER BY quarantined_at DESC LIMIT 100000
) AS lately
GROUP BY reason_code ORDER BY reason_code

-- name: sessions
-- Of logins that may ingest, superusers aside. When one did something last is visible to its own login alone.
SELECT a.usename::text, count(*), max(a.state_change)
FROM pg_catalog.pg_stat_activity AS a JOIN pg_catalog.pg_roles AS r ON r.oid = a.usesysid
WHERE a.datname = current_database() AND NOT r.rolsuper AND a.pid <> pg_backend_pid()
    AND pg_has_role(a.usesysid, 'vault_etl_ingest', 'USAGE')
GROUP BY a.usename ORDER BY a.usename

-- name: rotations
SELECT purpose, began_at FROM public.key_rotations ORDER BY purpose
