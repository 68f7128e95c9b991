-- What a command asks a primary and its replica before it reads from the replica. Every login may run these.

-- name: identity
SELECT v.vault_id, (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = current_database()),
    pg_catalog.pg_is_in_recovery(), pg_catalog.pg_postmaster_start_time(), current_setting('max_standby_streaming_delay'), current_setting('hot_standby_feedback')
FROM vault_etl.vault AS v LIMIT 1

-- name: position
-- The position up to which the log of the server is written, or replayed, and when the last replayed commit was made.
SELECT (SELECT c.system_identifier FROM pg_catalog.pg_control_system() AS c), clock_timestamp(),
    CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()
        ELSE pg_catalog.pg_current_wal_lsn() END - '0/0'::pg_lsn,
    pg_catalog.pg_last_xact_replay_timestamp()

-- name: migrations
SELECT name, checksum FROM vault_etl.migrations
