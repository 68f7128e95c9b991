-- The schema as facts: an object, the object whose facts it must have, an aspect, a value. From the catalog, which every
-- login may read, except in the last block. Rights that the owner has as the owner are not listed.

-- name: facts
WITH namespace AS (
    SELECT n.oid, n.nspowner, n.nspacl FROM pg_catalog.pg_namespace AS n WHERE n.nspname = 'vault_etl'
), of_extension AS (
    -- schema_around.sql names an extension that has an object in the schema. An object could hide in an extension.
    SELECT d.classid, d.objid FROM pg_catalog.pg_depend AS d JOIN pg_catalog.pg_extension AS e ON e.oid = d.refobjid
    WHERE d.refclassid = 'pg_catalog.pg_extension'::regclass AND d.deptype = 'e' AND e.extname <> 'plpgsql'
), relation AS (
    SELECT c.*,
        CASE c.relkind WHEN 'v' THEN 'view ' WHEN 'm' THEN 'materialized view ' WHEN 'S' THEN 'sequence '
            WHEN 'f' THEN 'foreign table ' ELSE
                -- A reveal, an erasure or a rotation does not see the rows of a month that was detached by hand.
                CASE WHEN parent.oid IS NULL AND c.relname ~ '^({{ events | map(attribute="name.raw") | join("|") }})_[0-9]{4}_[0-9]{2}$'
                    THEN 'detached partition ' ELSE 'table ' END
            END || c.relname AS object,
        'partition of ' || parent.relname AS partition_of
    FROM pg_catalog.pg_class AS c
    LEFT JOIN (
        pg_catalog.pg_inherits AS i JOIN pg_catalog.pg_class AS parent ON parent.oid = i.inhparent
            AND NOT i.inhdetachpending AND parent.relnamespace = (SELECT oid FROM namespace)
    ) ON i.inhrelid = c.oid AND c.relispartition
    WHERE c.relnamespace = (SELECT oid FROM namespace) AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
        AND ('pg_catalog.pg_class'::regclass, c.oid) NOT IN (SELECT classid, objid FROM of_extension)
), routine AS (
    SELECT p.*,
        'function ' || p.proname || '(' || pg_catalog.pg_get_function_identity_arguments(p.oid) || ')' AS object
    FROM pg_catalog.pg_proc AS p
    WHERE p.pronamespace = (SELECT oid FROM namespace)
        AND ('pg_catalog.pg_proc'::regclass, p.oid) NOT IN (SELECT classid, objid FROM of_extension)
), role AS (
    SELECT r.* FROM pg_catalog.pg_roles AS r
    WHERE r.rolname ~ '^vault_etl_(owner|ingest|reveal|rotate|re_encrypt|erase|audit|analyst)$'
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
    SELECT 'schema vault_etl', 'schema vault_etl', nspowner, '', coalesce(nspacl, pg_catalog.acldefault('n', nspowner))
    FROM namespace
    UNION ALL
    SELECT 'database', 'database', datdba, '', coalesce(datacl, pg_catalog.acldefault('d', datdba))
    FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()
)
SELECT object, coalesce(partition_of, object) AS alike, aspect, value
FROM relation, LATERAL (VALUES
    ('owner', relowner::regrole::text),
    ('kind', relkind::text || relpersistence::text),
    ('options', coalesce(reloptions::text, '')),
    ('row security', relrowsecurity::text || relforcerowsecurity::text),
    -- In lines, sorted: a column that is added later comes last in a view.
    ('definition', CASE WHEN relkind IN ('v', 'm') THEN (
        SELECT pg_catalog.string_agg(line, E'\n' ORDER BY line COLLATE "C")
        FROM pg_catalog.regexp_split_to_table(pg_catalog.pg_get_viewdef(oid), ',?\n') AS line
    ) ELSE '' END)
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
-- Constraints of NOT NULL, which PostgreSQL 18 has, are left out: the columns above say it.
SELECT r.object, coalesce(r.partition_of, r.object),
    'constraint ' || CASE WHEN r.partition_of IS NOT NULL AND c.contype <> 'c' THEN c.contype::text ELSE c.conname END,
    -- A cut-over puts another generation there; a check of `doctor` compares it with the active one.
    CASE c.conname WHEN 'tokens_of_one_generation'
        THEN pg_catalog.regexp_replace(pg_catalog.pg_get_constraintdef(c.oid), ' = [0-9]+\)\)( NOT VALID)?$', '')
        ELSE pg_catalog.pg_get_constraintdef(c.oid) || ' ' || c.convalidated::text
    END
FROM relation AS r JOIN pg_catalog.pg_constraint AS c ON c.conrelid = r.oid
WHERE c.contype NOT IN ('n', 't')

UNION ALL
-- The index of a partition is listed under the name of its parent index.
SELECT r.object, coalesce(r.partition_of, r.object), 'index ' || i.relname,
    pg_catalog.regexp_replace(pg_catalog.pg_get_indexdef(x.indexrelid), '^.* USING ', '')
    || CASE WHEN x.indisunique THEN ' unique' ELSE '' END
    || CASE WHEN x.indisvalid AND x.indisready THEN '' ELSE ' invalid' END
FROM relation AS r JOIN pg_catalog.pg_index AS x ON x.indrelid = r.oid
LEFT JOIN pg_catalog.pg_inherits AS part ON part.inhrelid = x.indexrelid
JOIN pg_catalog.pg_class AS i ON i.oid = coalesce(part.inhparent, x.indexrelid)

UNION ALL
-- Bounds of partitions that differ from those of their month, which `ensure_partition` makes.
SELECT 'table ' || parent.relname, 'table ' || parent.relname, 'partition ' || c.relname, bounds.found
FROM relation AS c
JOIN pg_catalog.pg_inherits AS i ON i.inhrelid = c.oid JOIN relation AS parent ON parent.oid = i.inhparent,
    LATERAL (SELECT pg_catalog.pg_get_expr(c.relpartbound, c.oid) AS found) AS bounds,
    LATERAL (
        SELECT CASE WHEN c.relname ~ '^({{ events | map(attribute="name.raw") | join("|") }})_[0-9]{4}_(0[1-9]|1[0-2])$'
            THEN pg_catalog.to_date(pg_catalog.right(c.relname, 7), 'YYYY_MM')::timestamp AT TIME ZONE 'UTC'
        END AS first
    ) AS month
WHERE bounds.found IS DISTINCT FROM (
    SELECT 'FOR VALUES FROM (' || pg_catalog.string_agg(pg_catalog.quote_literal((
            pg_catalog.lpad(pg_catalog.to_hex((extract(epoch FROM moment) * 1000)::bigint), 12, '0')
            || pg_catalog.repeat('0', 20)
        )::uuid), ') TO (' ORDER BY moment) || ')'
    FROM (VALUES
        (month.first), ((month.first AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC')
    ) AS bound (moment)
)

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
    ('source', coalesce(pg_catalog.pg_get_function_sqlbody(oid), prosrc) || coalesce(probin, '')),
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
    -- The rights of other applications on the database are theirs; only our roles are compared.
    AND NOT (g.object = 'database' AND entry.grantee NOT IN (SELECT oid FROM role))

UNION ALL
SELECT 'role ' || rolname, 'role ' || rolname, aspect, value
FROM role, LATERAL (VALUES
    ('attributes', pg_catalog.concat_ws(
        ' ', rolsuper, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication, rolbypassrls
    ))
) AS fact (aspect, value)

UNION ALL
-- 0001_roles.sql gives pg_read_all_stats to the owner if the migrating login may grant it.
SELECT DISTINCT 'role ' || r.rolname, 'role ' || r.rolname, 'membership of ' || m.roleid::regrole::text, ''
FROM role AS r JOIN pg_catalog.pg_auth_members AS m ON m.member = r.oid
WHERE NOT (
    r.rolname = 'vault_etl_owner' AND NOT m.admin_option
    AND m.roleid = 'pg_read_all_stats'::regrole
)

UNION ALL
-- The owner is a fact, because the rights of an owner are not listed.
SELECT 'schema vault_etl', 'schema vault_etl', 'owner', nspowner::regrole::text FROM namespace

UNION ALL
SELECT 'database', 'database', 'owner',
    CASE WHEN datdba IN (SELECT oid FROM role WHERE rolname <> 'vault_etl_owner') THEN datdba::regrole::text
    ELSE 'a login' END
FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()

ORDER BY 1, 3, 4

-- name: rows
-- Rows that the migrations write and no command changes.
SELECT 'row of ' || a.action, pg_catalog.to_jsonb(a)::text FROM vault_etl.audit_actions AS a
