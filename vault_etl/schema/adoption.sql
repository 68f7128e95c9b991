-- Objects that existed before the first migration, and a table of logins among them whose rows are kept.

-- name: in_the_way
-- Objects with the names of what the migrations make, and their owners.
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
    -- A login that may create in `public` can overload a function of ours.
    SELECT 'right', 'to create in the schema public, of ' || entry.grantee::regrole, NULL
    FROM pg_catalog.pg_namespace AS n, pg_catalog.aclexplode(n.nspacl) AS entry
    WHERE n.nspname = 'public' AND entry.privilege_type = 'CREATE' AND entry.grantee NOT IN (
        0, n.nspowner, current_user::regrole, coalesce(pg_catalog.to_regrole('vault_etl_owner'), 0)
    )
    UNION ALL
    SELECT 'schema', 'public, which is not there', NULL WHERE pg_catalog.to_regnamespace('public') IS NULL
) AS found ORDER BY found.kind DESC, found.name

-- name: closed_schema
-- The owner of public, if this login may not let others create in it, or if another login owns it, who could drop our tables.
SELECT pg_catalog.pg_get_userbyid(n.nspowner) FROM pg_catalog.pg_namespace AS n
WHERE n.nspname = 'public' AND NOT (
    pg_catalog.has_schema_privilege(n.oid, 'CREATE WITH GRANT OPTION') AND EXISTS (
        SELECT FROM pg_catalog.pg_roles AS r WHERE r.oid = n.nspowner AND (
            r.rolsuper OR r.rolname IN (current_user, 'pg_database_owner', 'vault_etl_owner')
        )
    )
)

-- name: table_of_logins
-- Of a table `user_logins` that is not of vault-etl: its owner, whether this login acts as the owner, whether it is a plain
-- table, whether no code runs when it is read or restored, its columns, and whether the schema `adopted` exists already.
SELECT
    pg_catalog.pg_get_userbyid(c.relowner), pg_catalog.pg_has_role(c.relowner, 'USAGE'),
    c.relkind = 'r' AND NOT c.relispartition AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_inherits AS i WHERE c.oid IN (i.inhparent, i.inhrelid)
    ),
    NOT (c.relhasrules OR c.relrowsecurity)
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_policy AS p WHERE p.polrelid = c.oid)
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_trigger AS t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal)
    AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_depend AS d
        WHERE d.refobjid >= 16384 AND d.refclassid IN (
            'pg_catalog.pg_proc'::regclass, 'pg_catalog.pg_operator'::regclass, 'pg_catalog.pg_opclass'::regclass,
            'pg_catalog.pg_opfamily'::regclass, 'pg_catalog.pg_type'::regclass
        ) AND (d.classid, d.objid) IN (
            SELECT 'pg_catalog.pg_class'::regclass, c.oid
            UNION ALL SELECT 'pg_catalog.pg_class'::regclass, i.indexrelid FROM pg_catalog.pg_index AS i
            WHERE i.indrelid = c.oid
            UNION ALL SELECT 'pg_catalog.pg_constraint'::regclass, k.oid FROM pg_catalog.pg_constraint AS k
            WHERE k.conrelid = c.oid
            UNION ALL SELECT 'pg_catalog.pg_attrdef'::regclass, f.oid FROM pg_catalog.pg_attrdef AS f
            WHERE f.adrelid = c.oid
        )
    ),
    ARRAY(
        SELECT a.attname::text FROM pg_catalog.pg_attribute AS a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    ),
    pg_catalog.to_regnamespace('adopted') IS NOT NULL
FROM pg_catalog.pg_class AS c WHERE c.oid = pg_catalog.to_regclass('public.user_logins')

-- name: hold
LOCK TABLE public.user_logins IN ACCESS EXCLUSIVE MODE

-- name: move
-- The table is given to the migrating login: its owner could add a policy, whose code would run as an analyst.
CREATE SCHEMA adopted;
ALTER TABLE public.user_logins SET SCHEMA adopted;
ALTER TABLE adopted.user_logins OWNER TO CURRENT_USER

-- name: show_both
-- The view reads with the rights of the login that asks, so it gives no right to any login.
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
GRANT SELECT ON adopted.user_logins_all TO vault_etl_analyst;
GRANT SELECT (user_id, device_type, masked_ip, masked_device_id, locale, app_version, create_date)
    ON adopted.user_logins TO vault_etl_analyst
