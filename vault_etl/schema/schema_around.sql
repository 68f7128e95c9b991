-- What is around the schema `vault_etl`, as facts of the same shape as those of schema.sql. A database that was only
-- migrated has few. From the catalog.

-- name: facts
WITH RECURSIVE place AS (
    SELECT d.oid, d.datdba FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database()
), ours AS (
    SELECT r.oid FROM pg_catalog.pg_roles AS r
    WHERE r.rolname ~ '^vault_etl_(owner|ingest|reveal|rotate|re_encrypt|erase|audit|analyst)$'
), acting AS (
    -- Our roles, and every role that acts as one of them: by inheriting it or by SET ROLE, directly or through others.
    SELECT oid FROM ours
    UNION
    SELECT m.member FROM pg_catalog.pg_auth_members AS m JOIN acting AS a ON a.oid = m.roleid
    WHERE m.inherit_option OR m.set_option
), holder AS (
    -- Every role that these act as, without the owner of the database, which migrates it and has rights of its own.
    SELECT a.oid FROM acting AS a WHERE a.oid <> (SELECT datdba FROM place)
    UNION
    SELECT m.roleid FROM pg_catalog.pg_auth_members AS m JOIN holder AS h ON h.oid = m.member
    WHERE m.inherit_option OR m.set_option
), of_extension AS (
    -- An extension with an object that matters is listed itself.
    SELECT d.classid, d.objid FROM pg_catalog.pg_depend AS d JOIN pg_catalog.pg_extension AS e ON e.oid = d.refobjid
    WHERE d.refclassid = 'pg_catalog.pg_extension'::regclass AND d.deptype = 'e' AND e.extname <> 'plpgsql'
), relation AS (
    SELECT c.oid FROM pg_catalog.pg_class AS c WHERE c.relnamespace = 'vault_etl'::regnamespace
), compared AS (
    -- Objects that schema.sql compares, with their grants.
    SELECT 'pg_catalog.pg_class'::regclass AS classid, oid AS objid FROM relation
    UNION ALL
    SELECT 'pg_catalog.pg_proc'::regclass, p.oid FROM pg_catalog.pg_proc AS p
    WHERE p.pronamespace = 'vault_etl'::regnamespace
    UNION ALL
    SELECT 'pg_catalog.pg_namespace'::regclass, 'vault_etl'::regnamespace
    UNION ALL
    SELECT classid, objid FROM of_extension
), other AS (
    -- Types, operators, statistics and every other object in the schema.
    SELECT d.classid, d.objid FROM pg_catalog.pg_depend AS d
    WHERE d.refclassid = 'pg_catalog.pg_namespace'::regclass AND d.refobjid = 'vault_etl'::regnamespace
        AND (d.classid, d.objid) NOT IN (SELECT c.classid, c.objid FROM compared AS c)
        AND d.classid <> 'pg_catalog.pg_default_acl'::regclass
), system_object AS (
    SELECT 'pg_catalog.pg_proc'::regclass AS classid, p.oid, 0 AS part, p.proacl AS acl,
        pg_catalog.acldefault('f', p.proowner) AS usual
    FROM pg_catalog.pg_proc AS p WHERE p.pronamespace = 'pg_catalog'::regnamespace
    UNION ALL
    SELECT 'pg_catalog.pg_class'::regclass, c.oid, 0, c.relacl, pg_catalog.acldefault('r', c.relowner)
    FROM pg_catalog.pg_class AS c WHERE c.relnamespace = 'pg_catalog'::regnamespace AND c.relkind IN ('r', 'v')
    UNION ALL
    SELECT 'pg_catalog.pg_class'::regclass, a.attrelid, a.attnum, a.attacl, NULL
    FROM pg_catalog.pg_attribute AS a JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid
    WHERE c.relnamespace = 'pg_catalog'::regnamespace AND a.attacl IS NOT NULL
)

SELECT o.type || ' ' || o.identity AS object, '' AS aspect, '' AS value
FROM other, LATERAL pg_catalog.pg_identify_object(other.classid, other.objid, 0) AS o

UNION ALL
SELECT pg_catalog.concat('table ', i.inhrelid::regclass, ', a part of ', i.inhparent::regclass), '', ''
FROM pg_catalog.pg_inherits AS i
WHERE i.inhparent IN (SELECT oid FROM relation) AND i.inhrelid NOT IN (SELECT oid FROM relation)

UNION ALL
-- Objects of our roles act with the rights of the role, wherever they are. Temporary and large objects are left out: every
-- login may make them, and no other login runs or reads them.
SELECT pg_catalog.concat(o.type, ' ', o.identity, ' of ', s.refobjid::regrole), '', ''
FROM pg_catalog.pg_shdepend AS s JOIN ours ON ours.oid = s.refobjid AND s.deptype = 'o',
    LATERAL pg_catalog.pg_identify_object(s.classid, s.objid, s.objsubid) AS o
WHERE s.refclassid = 'pg_catalog.pg_authid'::regclass AND s.dbid IN (0, (SELECT oid FROM place))
    AND s.classid NOT IN (
        'pg_catalog.pg_database'::regclass, 'pg_catalog.pg_default_acl'::regclass,
        'pg_catalog.pg_largeobject'::regclass
    )
    AND coalesce(o.schema, '') !~ '^pg_temp(_[0-9]+)?$'
    -- Months that `partitions detach` moved there are left out: the check `partitions` of `doctor` names them.
    AND NOT (
        o.schema = 'vault_etl_detached' AND o.type = 'table' AND s.refobjid = 'vault_etl_owner'::regrole
    )
    AND (s.classid, s.objid) NOT IN (SELECT c.classid, c.objid FROM compared AS c)
    AND (s.classid, s.objid) NOT IN (SELECT classid, objid FROM other)

UNION ALL
SELECT pg_catalog.concat('function ', p.oid::regprocedure, ', SECURITY DEFINER as ', p.proowner::regrole), '', ''
FROM pg_catalog.pg_proc AS p
WHERE p.prosecdef AND p.pronamespace NOT IN ('vault_etl'::regnamespace, 'pg_catalog'::regnamespace)
    AND pg_catalog.pg_has_role(p.proowner, 'vault_etl_owner', 'USAGE') AND p.proowner NOT IN (SELECT oid FROM ours)

UNION ALL
SELECT DISTINCT pg_catalog.concat('view ', v.oid::regclass, ', which reads as ', v.relowner::regrole), '', ''
FROM pg_catalog.pg_depend AS d
JOIN pg_catalog.pg_rewrite AS w ON d.classid = 'pg_catalog.pg_rewrite'::regclass AND w.oid = d.objid
JOIN pg_catalog.pg_class AS v ON v.oid = w.ev_class
WHERE d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid IN (SELECT oid FROM relation)
    AND v.oid NOT IN (SELECT oid FROM relation) AND v.relowner NOT IN (SELECT oid FROM ours)
    AND NOT coalesce('security_invoker=true' = ANY (v.reloptions), false)  -- it reads as the login that asks
    AND pg_catalog.pg_has_role(v.relowner, 'vault_etl_owner', 'USAGE')

UNION ALL
SELECT pg_catalog.concat('grant on ', o.type, ' ', o.identity, ' to ', s.refobjid::regrole), '', ''
FROM pg_catalog.pg_shdepend AS s JOIN ours ON ours.oid = s.refobjid AND s.deptype = 'a',
    LATERAL pg_catalog.pg_identify_object(s.classid, s.objid, s.objsubid) AS o
WHERE s.refclassid = 'pg_catalog.pg_authid'::regclass AND s.dbid IN (0, (SELECT oid FROM place))
    AND s.classid NOT IN (
        'pg_catalog.pg_database'::regclass, 'pg_catalog.pg_default_acl'::regclass,
        'pg_catalog.pg_parameter_acl'::regclass
    )
    AND (s.classid, s.objid) NOT IN (SELECT c.classid, c.objid FROM compared AS c)
    AND NOT (s.objid < 16384 AND s.classid IN ('pg_catalog.pg_class'::regclass, 'pg_catalog.pg_proc'::regclass))

UNION ALL
-- Grants on system objects beyond those of initdb and of extensions.
SELECT pg_catalog.concat(
        'grant of ', entry.privilege_type, ' on ', o.identity, ' to ',
        CASE entry.grantee WHEN 0 THEN 'PUBLIC' ELSE entry.grantee::regrole::text END
    ), '', ''
FROM system_object AS s
LEFT JOIN pg_catalog.pg_init_privs AS i ON i.classoid = s.classid AND i.objoid = s.oid AND i.objsubid = s.part,
    LATERAL pg_catalog.aclexplode(coalesce(s.acl, s.usual)) AS entry,
    LATERAL pg_catalog.pg_identify_object(s.classid, s.oid, s.part) AS o
WHERE (s.acl IS NOT NULL OR i.objoid IS NOT NULL)
    AND (entry.grantee = 0 OR entry.grantee IN (SELECT oid FROM holder))
    AND NOT EXISTS (
        SELECT FROM pg_catalog.aclexplode(coalesce(i.initprivs, s.usual)) AS first
        WHERE first.grantee = entry.grantee AND first.privilege_type = entry.privilege_type
    )

UNION ALL
SELECT pg_catalog.concat(
        'grant of ', entry.privilege_type, ' on parameter ', p.parname, ' to ',
        CASE entry.grantee WHEN 0 THEN 'PUBLIC' ELSE entry.grantee::regrole::text END
    ), '', ''
FROM pg_catalog.pg_parameter_acl AS p, LATERAL pg_catalog.aclexplode(p.paracl) AS entry
WHERE (entry.grantee = 0 OR entry.grantee IN (SELECT oid FROM holder))

UNION ALL
-- Settings that turn guards off, or keep an honest client from what it should do.
SELECT DISTINCT pg_catalog.concat(
        'setting ', pg_catalog.split_part(setting, '=', 1), ' of ',
        CASE s.setrole WHEN 0 THEN 'all' ELSE s.setrole::regrole::text END
    ), '', ''
FROM pg_catalog.pg_db_role_setting AS s, LATERAL unnest(s.setconfig) AS setting
WHERE s.setdatabase IN (0, (SELECT oid FROM place)) AND s.setrole IN (SELECT 0 UNION ALL SELECT oid FROM acting)
    AND (s.setrole IN (SELECT oid FROM ours) OR pg_catalog.split_part(setting, '=', 1) IN (
        'session_replication_role', 'event_triggers', 'row_security', 'search_path', 'role',
        'session_authorization', 'synchronous_commit', 'default_transaction_isolation', 'transform_null_equals',
        'session_preload_libraries', 'local_preload_libraries', 'dynamic_library_path',
        'allow_system_table_mods', 'lo_compat_privileges'
    ))

UNION ALL
SELECT pg_catalog.concat('event trigger ', evtname), '', '' FROM pg_catalog.pg_event_trigger

UNION ALL
SELECT pg_catalog.concat_ws(' ', 'default privileges of', defaclrole::regrole, defaclobjtype), '', ''
FROM pg_catalog.pg_default_acl
WHERE defaclnamespace IN (0, 'vault_etl'::regnamespace) AND pg_catalog.pg_has_role(defaclrole, 'vault_etl_owner', 'USAGE')

UNION ALL
-- Objects that take rows out of the database, or bring them in.
SELECT DISTINCT pg_catalog.concat('publication ', pubname), '', ''
FROM pg_catalog.pg_publication_tables WHERE schemaname = 'vault_etl'

UNION ALL
SELECT pg_catalog.concat('subscription ', subname), '', ''
FROM pg_catalog.pg_subscription WHERE subdbid = (SELECT oid FROM place)

UNION ALL
SELECT pg_catalog.concat('replication slot ', slot_name), '', ''
FROM pg_catalog.pg_replication_slots WHERE datoid = (SELECT oid FROM place)

UNION ALL
SELECT pg_catalog.concat('foreign server ', srvname), '', '' FROM pg_catalog.pg_foreign_server

UNION ALL
SELECT pg_catalog.concat('foreign-data wrapper ', fdwname), '', '' FROM pg_catalog.pg_foreign_data_wrapper

UNION ALL
-- Extensions that bring code which no search_path keeps out: in our schema, in the system's, or by a cast between types of
-- the system. Others are of other applications.
SELECT pg_catalog.concat('extension ', e.extname), '', '' FROM pg_catalog.pg_extension AS e
WHERE e.extname = 'plpgsql' OR EXISTS (
    SELECT FROM pg_catalog.pg_depend AS d
    LEFT JOIN pg_catalog.pg_cast AS c ON d.classid = 'pg_catalog.pg_cast'::regclass AND c.oid = d.objid,
        LATERAL pg_catalog.pg_identify_object(d.classid, d.objid, 0) AS o
    WHERE d.refclassid = 'pg_catalog.pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e' AND (
        o.schema IN ('vault_etl', 'vault_etl_detached', 'pg_catalog') OR (c.castsource < 16384 AND c.casttarget < 16384)
    )
)

UNION ALL
SELECT pg_catalog.concat('language ', lanname), aspect, value
FROM pg_catalog.pg_language, LATERAL (VALUES
    ('trusted', lanpltrusted::text),
    ('owner', CASE WHEN lanowner = 10 THEN '' ELSE lanowner::regrole::text END),
    ('grants', coalesce(lanacl::text, ''))
) AS fact (aspect, value)

UNION ALL
SELECT o.type || ' ' || o.identity, '', ''
FROM (
    SELECT 'pg_catalog.pg_cast'::regclass AS classid, c.oid FROM pg_catalog.pg_cast AS c
    WHERE NOT EXISTS (  -- every login may make a type that ends with its session
        SELECT FROM pg_catalog.pg_type AS t JOIN pg_catalog.pg_namespace AS n ON n.oid = t.typnamespace
        WHERE t.oid IN (c.castsource, c.casttarget) AND n.nspname ~ '^pg_temp_'
    )
    UNION ALL
    SELECT 'pg_catalog.pg_proc'::regclass, p.oid FROM pg_catalog.pg_proc AS p
    WHERE p.pronamespace = 'pg_catalog'::regnamespace
    UNION ALL
    SELECT 'pg_catalog.pg_operator'::regclass, p.oid FROM pg_catalog.pg_operator AS p
    WHERE p.oprnamespace = 'pg_catalog'::regnamespace
    UNION ALL
    SELECT 'pg_catalog.pg_class'::regclass, c.oid FROM pg_catalog.pg_class AS c
    WHERE c.relnamespace = 'pg_catalog'::regnamespace AND c.relkind IN ('r', 'v', 'm', 'f')
) AS added, LATERAL pg_catalog.pg_identify_object(added.classid, added.oid, 0) AS o
WHERE added.oid >= 16384 AND (added.classid, added.oid) NOT IN (SELECT classid, objid FROM of_extension)

ORDER BY 1, 2, 3
