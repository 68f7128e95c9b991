-- name: blockers
-- The sessions that a session waits for: those that hold the lock, and those that asked for it before.
SELECT a.pid, coalesce(a.usename, '')::text, coalesce(a.application_name, '')
FROM pg_catalog.pg_stat_activity AS a WHERE a.pid = ANY (pg_catalog.pg_blocking_pids(%(pid)s)) ORDER BY a.pid LIMIT 10
