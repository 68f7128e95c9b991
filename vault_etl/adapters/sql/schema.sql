-- What the migrations made, as facts: an object, the object whose facts it must have, an aspect, a value.
-- From the catalog alone, which every login may read. The owner's own rights are no grants.

-- name: facts
WITH namespace AS (
    SELECT n.oid, n.nspowner, n.nspacl FROM pg_catalog.pg_namespace AS n WHERE n.nspname = 'public'
), relation AS (
    SELECT c.*,
        CASE c.relkind WHEN 'v' THEN 'view ' WHEN 'm' THEN 'materialized view ' WHEN 'S' THEN 'sequence '
            WHEN 'f' THEN 'foreign table ' ELSE 'table ' END || c.relname AS object,
        -- A month that was detached, to be archived, is still one.
        CASE WHEN c.relispartition THEN 'partition of ' || parent.relname
            WHEN c.relname ~ '^user_logins_[0-9]{4}_[0-9]{2}$' THEN 'partition of user_logins'
        END AS partition_of
    FROM pg_catalog.pg_class AS c
    LEFT JOIN pg_catalog.pg_inherits AS i ON i.inhrelid = c.oid
    LEFT JOIN pg_catalog.pg_class AS parent ON parent.oid = i.inhparent
    WHERE c.relnamespace = (SELECT oid FROM namespace) AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
        AND NOT EXISTS (
            SELECT FROM pg_catalog.pg_depend AS d
            WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
        )
), routine AS (
    SELECT p.*,
        'function ' || p.proname || '(' || pg_catalog.pg_get_function_identity_arguments(p.oid) || ')' AS object
    FROM pg_catalog.pg_proc AS p
    WHERE p.pronamespace = (SELECT oid FROM namespace)
        AND NOT EXISTS (
            SELECT FROM pg_catalog.pg_depend AS d
            WHERE d.classid = 'pg_catalog.pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
        )
), role AS (
    SELECT r.* FROM pg_catalog.pg_roles AS r WHERE r.rolname ~ '^vault_etl_'
), granted AS (
    SELECT object, coalesce(partition_of, object) AS alike, relowner AS owner, '' AS part,
        coalesce(relacl, pg_catalog.acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", relowner)) AS acl
    FROM relation
    UNION ALL
    SELECT r.object, coalesce(r.partition_of, r.object), r.relowner, ' (' || a.attname || ')', a.attacl
    FROM relation AS r JOIN pg_catalog.pg_attribute AS a ON a.attrelid = r.oid
    WHERE a.attacl IS NOT NULL
    UNION ALL
    SELECT object, object, proowner, '', coalesce(proacl, pg_catalog.acldefault('f', proowner)) FROM routine
    UNION ALL
    SELECT 'schema public', 'schema public', nspowner, '', coalesce(nspacl, pg_catalog.acldefault('n', nspowner))
    FROM namespace
    UNION ALL
    SELECT 'database', 'database', datdba, '', coalesce(datacl, pg_catalog.acldefault('d', datdba))
    FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()
)
SELECT object, coalesce(partition_of, object) AS alike, aspect, value
FROM relation, LATERAL (VALUES
    ('owner', relowner::regrole::text),
    ('kind', CASE WHEN partition_of IS NOT NULL THEN 'r' ELSE relkind::text END || relpersistence::text),
    ('options', coalesce(reloptions::text, '')),
    ('row security', relrowsecurity::text || relforcerowsecurity::text),
    ('definition', CASE WHEN relkind IN ('v', 'm') THEN pg_catalog.pg_get_viewdef(oid) ELSE '' END)
) AS fact (aspect, value)

UNION ALL
SELECT r.object, coalesce(r.partition_of, r.object), 'column ' || a.attname,
    pg_catalog.format_type(a.atttypid, a.atttypmod)
    || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END || ' ' || a.attstorage::text
    || a.attidentity::text || a.attgenerated::text
    || coalesce(' ' || pg_catalog.pg_get_expr(d.adbin, d.adrelid), '')
FROM relation AS r
JOIN pg_catalog.pg_attribute AS a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_catalog.pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE r.relkind <> 'S'

UNION ALL
-- PostgreSQL 18 has constraints of NOT NULL too, which the columns above say already.
SELECT r.object, coalesce(r.partition_of, r.object),
    'constraint ' || CASE WHEN r.partition_of IS NOT NULL AND c.contype <> 'c' THEN c.contype::text ELSE c.conname END,
    pg_catalog.pg_get_constraintdef(c.oid) || ' ' || c.convalidated::text
FROM relation AS r JOIN pg_catalog.pg_constraint AS c ON c.conrelid = r.oid
WHERE c.contype NOT IN ('n', 't')

UNION ALL
SELECT r.object, r.object, 'index ' || i.relname,
    pg_catalog.regexp_replace(pg_catalog.pg_get_indexdef(x.indexrelid), '^.* USING ', '')
    || CASE WHEN x.indisunique THEN ' unique' ELSE '' END
    || CASE WHEN x.indisvalid AND x.indisready THEN '' ELSE ' invalid' END
FROM relation AS r JOIN pg_catalog.pg_index AS x ON x.indrelid = r.oid
JOIN pg_catalog.pg_class AS i ON i.oid = x.indexrelid
WHERE r.partition_of IS NULL

UNION ALL
SELECT r.object, coalesce(r.partition_of, r.object), 'trigger ' || t.tgname,
    pg_catalog.concat_ws(
        ' ', t.tgenabled, t.tgtype, t.tgfoid::regprocedure, t.tgdeferrable, t.tginitdeferred,
        pg_catalog.encode(t.tgargs, 'hex'), t.tgattr, t.tgoldtable, t.tgnewtable,
        pg_catalog.substring(pg_catalog.pg_get_triggerdef(t.oid), ' WHEN .*$')
    )
FROM relation AS r JOIN pg_catalog.pg_trigger AS t ON t.tgrelid = r.oid
WHERE NOT t.tgisinternal

UNION ALL
SELECT DISTINCT r.object, coalesce(r.partition_of, r.object), 'a disabled trigger of a constraint', ''
FROM relation AS r JOIN pg_catalog.pg_trigger AS t ON t.tgrelid = r.oid
WHERE t.tgisinternal AND t.tgenabled <> 'O'

UNION ALL
SELECT r.object, coalesce(r.partition_of, r.object), 'rule ' || w.rulename, pg_catalog.pg_get_ruledef(w.oid)
FROM relation AS r JOIN pg_catalog.pg_rewrite AS w ON w.ev_class = r.oid
WHERE NOT (w.rulename = '_RETURN' AND r.relkind IN ('v', 'm'))

UNION ALL
SELECT r.object, coalesce(r.partition_of, r.object), 'policy ' || p.polname,
    pg_catalog.concat_ws(
        ' ', p.polcmd, p.polpermissive, pg_catalog.pg_get_expr(p.polqual, p.polrelid),
        pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid)
    )
FROM relation AS r JOIN pg_catalog.pg_policy AS p ON p.polrelid = r.oid

UNION ALL
SELECT object, object, aspect, value
FROM routine, LATERAL (VALUES
    ('owner', proowner::regrole::text),
    ('source', pg_catalog.encode(
        pg_catalog.sha256(pg_catalog.convert_to(
            coalesce(pg_catalog.pg_get_function_sqlbody(oid), prosrc) || coalesce(probin, ''), 'UTF8'
        )), 'hex'
    )),
    ('language', (SELECT lanname::text FROM pg_catalog.pg_language AS l WHERE l.oid = prolang)),
    ('SECURITY DEFINER', prosecdef::text),
    ('settings', coalesce(proconfig::text, '')),
    ('result', coalesce(pg_catalog.pg_get_function_result(oid), '') || ' ' || proretset::text),
    ('kind', pg_catalog.concat(prokind, provolatile, proisstrict, proleakproof, proparallel)),
    ('arguments', coalesce(pg_catalog.pg_get_function_arguments(oid), ''))
) AS fact (aspect, value)

UNION ALL
SELECT g.object, g.alike,
    'grant of ' || entry.privilege_type || g.part || ' to '
    || CASE entry.grantee WHEN 0 THEN 'PUBLIC' ELSE entry.grantee::regrole::text END,
    entry.is_grantable::text
FROM granted AS g, LATERAL pg_catalog.aclexplode(g.acl) AS entry
WHERE entry.grantee <> g.owner AND entry.grantee IS DISTINCT FROM to_regrole('vault_etl_owner')
    -- Who may connect is each installation's own affair, but for our roles.
    AND NOT (g.object = 'database' AND entry.privilege_type = 'CONNECT'
        AND entry.grantee NOT IN (SELECT oid FROM role))

UNION ALL
SELECT 'role ' || rolname, 'role ' || rolname, aspect, value
FROM role, LATERAL (VALUES
    ('attributes', pg_catalog.concat_ws(
        ' ', rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication, rolbypassrls
    )),
    ('memberships', (
        SELECT coalesce(pg_catalog.string_agg(m.roleid::regrole::text, ', ' ORDER BY m.roleid::regrole::text), '')
        FROM pg_catalog.pg_auth_members AS m WHERE m.member = role.oid
    )),
    ('settings', (
        SELECT coalesce(pg_catalog.string_agg(s.setconfig::text, ', ' ORDER BY s.setconfig::text), '')
        FROM pg_catalog.pg_db_role_setting AS s WHERE s.setrole = role.oid
    ))
) AS fact (aspect, value)

UNION ALL
-- Settings that turn triggers off, for whomever.
SELECT 'database', 'database',
    pg_catalog.concat_ws(
        ' ', 'setting', pg_catalog.split_part(setting, '=', 1), 'of', CASE s.setrole WHEN 0 THEN 'all'
        ELSE s.setrole::regrole::text END
    ), setting
FROM pg_catalog.pg_db_role_setting AS s, LATERAL unnest(s.setconfig) AS setting
WHERE s.setdatabase IN (
        0, (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
    )
    AND setting ~ '^(session_replication_role|event_triggers|row_security)='

UNION ALL
SELECT 'database', 'database', 'event trigger ' || evtname,
    pg_catalog.concat_ws(' ', evtevent, evtenabled, evtfoid::regprocedure)
FROM pg_catalog.pg_event_trigger

UNION ALL
SELECT 'database', 'database',
    pg_catalog.concat_ws(' ', 'default privileges of', defaclrole::regrole, defaclobjtype), defaclacl::text
FROM pg_catalog.pg_default_acl

ORDER BY 1, 3, 4
