-- Facts that only `status` reads. Each query reads a bounded part of an index.

-- name: commits
-- The last commit, and what was committed since the fifth minute before this one. One row, or no row.
SELECT c.committed_at, c.newest_sent, now(), date_trunc('minute', now(), 'UTC') - interval '5 min', (
    SELECT coalesce(sum(r.messages), 0)::bigint FROM vault_etl.ingest_commits AS r
    WHERE r.minute >= date_trunc('minute', now(), 'UTC') - interval '5 min'
)
FROM vault_etl.ingest_commits AS c ORDER BY c.minute DESC, c.committed_at DESC LIMIT 1

-- name: quarantined_lately
-- Messages of today and yesterday (UTC), the newest 100,000 at most.
SELECT reason_code, count(*) FILTER (WHERE quarantined_at >= %(today)s), count(*) FILTER (WHERE quarantined_at < %(today)s)
FROM (
    SELECT reason_code, quarantined_at FROM vault_etl.quarantine WHERE quarantined_at >= %(yesterday)s
    ORDER BY quarantined_at DESC LIMIT 100000
) AS lately
GROUP BY reason_code ORDER BY 2 DESC, 3 DESC, 1

-- name: sessions
SELECT login, sessions, active_at FROM vault_etl.ingest_sessions()

-- name: rotations
SELECT purpose, began_at FROM vault_etl.key_rotations WHERE month IS NULL ORDER BY purpose
