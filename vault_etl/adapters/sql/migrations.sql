-- What the migrations themselves need.

-- name: lock
SELECT pg_advisory_xact_lock(hashtextextended('vault-etl/migrate', 0))

-- name: lengthen_timeouts
SET LOCAL statement_timeout = 0

-- name: pin_search_path
SET LOCAL search_path = pg_catalog, pg_temp

-- name: server
SELECT current_setting('server_version_num')::integer, current_setting('server_encoding')

-- name: act_as_login
RESET ROLE

-- name: exists
SELECT to_regclass('public.vault_etl_migrations') IS NOT NULL

-- name: applied
SELECT name, checksum FROM public.vault_etl_migrations

-- name: make_table
SET LOCAL ROLE vault_etl_owner;
CREATE TABLE IF NOT EXISTS public.vault_etl_migrations (
    name text PRIMARY KEY,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
GRANT SELECT ON public.vault_etl_migrations TO PUBLIC

-- name: record
INSERT INTO public.vault_etl_migrations (name, checksum) VALUES (%s, %s)
