-- What is asked of a primary and of its replica, before anything is read from the replica. Visible to every login.

-- name: identity
SELECT v.vault_id, (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = current_database()),
    pg_catalog.pg_is_in_recovery(), pg_catalog.pg_postmaster_start_time(), current_setting('max_standby_streaming_delay'), current_setting('hot_standby_feedback')
FROM public.vault AS v LIMIT 1

-- name: position
-- Up to where the log of the server is written, or replayed; and when what was replayed last was committed.
SELECT (SELECT c.system_identifier FROM pg_catalog.pg_control_system() AS c), clock_timestamp(),
    CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()
        ELSE pg_catalog.pg_current_wal_lsn() END - '0/0'::pg_lsn,
    pg_catalog.pg_last_xact_replay_timestamp()

-- name: migrations
SELECT name, checksum FROM public.vault_etl_migrations
