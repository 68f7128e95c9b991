-- Objects that were there before the first migration, and a table of logins among them whose rows are kept.

-- name: in_the_way
-- What the migrations would make, and is there already: an object that is not of vault-etl, and whose it is.
SELECT found.kind, found.name, found.owner FROM (
    SELECT
        CASE c.relkind
            WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'S' THEN 'sequence' WHEN 'i' THEN 'index'
            WHEN 'f' THEN 'foreign table' WHEN 'c' THEN 'type' ELSE 'table'
        END AS kind,
        'public.' || c.relname AS name, pg_catalog.pg_get_userbyid(c.relowner) AS owner
    FROM pg_catalog.pg_class AS c
    WHERE c.relnamespace = pg_catalog.to_regnamespace('public')
        AND (c.relname = ANY (%(relations)s) OR c.relname ~ '^user_logins_([0-9]{4}_[0-9]{2}|undated)$')
    UNION ALL
    SELECT 'type', 'public.' || t.typname, pg_catalog.pg_get_userbyid(t.typowner)
    FROM pg_catalog.pg_type AS t
    WHERE t.typnamespace = pg_catalog.to_regnamespace('public') AND t.typrelid = 0
        AND t.typname = ANY (%(relations)s)
    UNION ALL
    SELECT DISTINCT
        CASE p.prokind WHEN 'p' THEN 'procedure' ELSE 'function' END, 'public.' || p.proname,
        pg_catalog.pg_get_userbyid(p.proowner)
    FROM pg_catalog.pg_proc AS p
    WHERE p.pronamespace = pg_catalog.to_regnamespace('public') AND p.proname = ANY (%(functions)s)
    UNION ALL
    SELECT 'role', r.rolname || ', which may log in or has rights over the whole cluster', NULL
    FROM pg_catalog.pg_roles AS r
    WHERE r.rolname = ANY (%(roles)s) AND (
        r.rolcanlogin OR r.rolsuper OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication OR r.rolbypassrls
    )
    UNION ALL
    SELECT 'schema', 'public, which is not there', NULL WHERE pg_catalog.to_regnamespace('public') IS NULL
) AS found ORDER BY found.kind DESC, found.name

-- name: closed_schema
-- The owner of public, if this login may not let others create in it.
SELECT pg_catalog.pg_get_userbyid(n.nspowner) FROM pg_catalog.pg_namespace AS n
WHERE n.nspname = 'public' AND NOT pg_catalog.has_schema_privilege(n.oid, 'CREATE WITH GRANT OPTION')

-- name: table_of_logins
-- Of a table `user_logins` that is not of vault-etl: whose it is, whether this login acts as its owner, whether it is a
-- plain table, its columns of the system's own types, and whether a schema has the name of the one that it would go to.
SELECT
    pg_catalog.pg_get_userbyid(c.relowner), pg_catalog.pg_has_role(c.relowner, 'USAGE'),
    c.relkind = 'r' AND NOT c.relispartition AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_inherits AS i WHERE c.oid IN (i.inhparent, i.inhrelid)
    ),
    ARRAY(
        SELECT a.attname::text FROM pg_catalog.pg_attribute AS a
        JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
            AND t.typnamespace = 'pg_catalog'::regnamespace
    ),
    pg_catalog.to_regnamespace('adopted') IS NOT NULL
FROM pg_catalog.pg_class AS c WHERE c.oid = pg_catalog.to_regclass('public.user_logins')

-- name: limit_wait
SET LOCAL lock_timeout = '10s'

-- name: move
CREATE SCHEMA adopted;
ALTER TABLE public.user_logins SET SCHEMA adopted

-- name: show_both
-- With the rights of the login that asks: the view opens nothing to anybody.
CREATE VIEW adopted.user_logins_all WITH (security_invoker = true) AS
SELECT
    'token' AS masked_by, record_id, user_id, device_type, masked_ip::text, masked_device_id::text, locale,
    app_version, create_date, event_time
FROM public.user_logins_masked
UNION ALL
SELECT
    'unkeyed hash', NULL, user_id::text, device_type::text, masked_ip::text, masked_device_id::text, locale::text,
    app_version::text, create_date::date, NULL
FROM adopted.user_logins;
COMMENT ON VIEW adopted.user_logins_all IS
    'Records, and the rows of the table that was there before. Only values that were masked_by the same compare.';
GRANT USAGE ON SCHEMA adopted TO vault_etl_analyst;
GRANT SELECT ON adopted.user_logins, adopted.user_logins_all TO vault_etl_analyst
