-- Statements around the migrations.

-- name: lock
SELECT pg_advisory_xact_lock(hashtextextended('vault-etl/migrate vault_etl', 0))

-- name: limit_waits
-- A migration may work for as long as it takes, but may wait for a lock only shortly, because other sessions wait behind it.
SELECT set_config('statement_timeout', '0', true), set_config('lock_timeout', '1s', true)

-- name: server
SELECT current_setting('server_version_num')::integer, current_setting('server_encoding')

-- name: act_as_login
RESET ROLE

-- name: act_as_owner
SET LOCAL ROLE vault_etl_owner

-- name: in_the_way
-- Schemas that the first migration would make, and roles of our names that may do more than hold rights.
SELECT 'schema ' || n.nspname || ', which belongs to ' || pg_catalog.pg_get_userbyid(n.nspowner)
FROM pg_catalog.pg_namespace AS n WHERE n.nspname IN ('vault_etl', 'vault_etl_detached')
UNION ALL
SELECT 'role ' || r.rolname || ', which may log in or has rights over the whole cluster' FROM pg_catalog.pg_roles AS r
WHERE r.rolname ~ '^vault_etl_(owner|ingest|reveal|rotate|re_encrypt|erase|audit|analyst)$' AND (
    r.rolcanlogin OR r.rolsuper OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication OR r.rolbypassrls
)
ORDER BY 1

-- name: may_create
SELECT pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE')

-- name: exists
SELECT pg_catalog.to_regclass('vault_etl.migrations') IS NOT NULL

-- name: hold
LOCK TABLE vault_etl.migrations IN ACCESS SHARE MODE

-- name: is_plain
-- Whether the table runs no code when it is read or added to. A view or a trigger would run code of the owner with the
-- rights of the login that migrates, which may be a superuser.
SELECT c.relkind = 'r'
    AND NOT (c.relhasrules OR c.relhastriggers OR c.relrowsecurity OR c.relhassubclass OR c.relispartition)
    AND c.relchecks = 0
    AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_attribute AS a
        LEFT JOIN pg_catalog.pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND (
            a.atttypid NOT IN ('pg_catalog.text'::regtype, 'pg_catalog.timestamptz'::regtype) OR a.attgenerated <> ''
            OR pg_catalog.pg_get_expr(d.adbin, d.adrelid) <> 'now()'
        )
    )
    AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_index AS i
        WHERE i.indrelid = c.oid AND (i.indexprs IS NOT NULL OR i.indpred IS NOT NULL)
    )
FROM pg_catalog.pg_class AS c WHERE c.oid = 'vault_etl.migrations'::regclass

-- name: applied
SELECT name, checksum, applied_at IS NOT NULL FROM vault_etl.migrations

-- name: table_bytes
SELECT coalesce(sum(pg_catalog.pg_table_size(t.relid)), 0)::bigint
FROM unnest(%(tables)s::text[]) AS wanted (name),
    pg_catalog.pg_partition_tree(pg_catalog.to_regclass(pg_catalog.format('vault_etl.%%I', wanted.name))) AS t

-- name: make_table
CREATE SCHEMA vault_etl AUTHORIZATION vault_etl_owner;
SET LOCAL ROLE vault_etl_owner;
COMMENT ON SCHEMA vault_etl IS 'The vault. Only its roles have a right to the schema.';
GRANT USAGE ON SCHEMA vault_etl TO
    vault_etl_ingest, vault_etl_reveal, vault_etl_rotate, vault_etl_re_encrypt, vault_etl_erase, vault_etl_audit,
    vault_etl_analyst;
CREATE TABLE vault_etl.migrations (
    name text PRIMARY KEY,
    checksum text NOT NULL,
    -- NULL: an online migration that was begun and is not done.
    applied_at timestamptz DEFAULT now(),
    -- How far an online migration has filled the rows (schema/postgres_online.py).
    filled_to text
);
GRANT SELECT ON vault_etl.migrations TO PUBLIC

-- name: pid
SELECT pg_catalog.pg_backend_pid()

-- name: record
INSERT INTO vault_etl.migrations (name, checksum) VALUES (%s, %s)

-- name: has_versions
-- NULL without the catalogue, and false if reading it would run code of the owner with the rights of the login that migrates.
SELECT c.relkind = 'r' AND NOT (c.relhasrules OR c.relrowsecurity OR c.relhassubclass OR c.relispartition)
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_attribute AS a WHERE a.attrelid = c.oid AND a.attgenerated <> '')
FROM (SELECT pg_catalog.to_regclass('vault_etl.schema_versions') AS oid) AS found
LEFT JOIN pg_catalog.pg_class AS c ON c.oid = found.oid

-- name: first_version
INSERT INTO vault_etl.schema_versions (version, document, digest) VALUES (1, %(document)s, %(digest)s)
