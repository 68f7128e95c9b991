-- Rights of the logins of the cluster, by their memberships. Every login may run these queries.

-- name: rights
SELECT
    (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = session_user),
    array(
        SELECT substr(rolname, length('vault_etl_') + 1) FROM pg_catalog.pg_roles
        WHERE rolname ~ '^vault_etl_(owner|ingest|reveal|rotate|re_encrypt|erase|audit|analyst)$'
            AND pg_has_role(current_user, oid, 'USAGE')
        ORDER BY rolname
    )

-- name: mixed_logins
-- Logins that can open token keys and read tokens. ingest and reveal open token keys and may read no token; re-encrypt
-- must do both. Membership with ADMIN alone, which PostgreSQL gives to the login that makes a role, is neither USAGE nor SET.
WITH readers AS (
    SELECT r.oid FROM pg_catalog.pg_roles AS r
    WHERE EXISTS (
        SELECT FROM vault_etl.event_tables() AS e JOIN pg_catalog.pg_attribute AS a ON a.attrelid IN (
            e.place, pg_catalog.to_regclass(pg_catalog.format('vault_etl.%%I', e.event || '_masked'))
        )
        WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attname <> 'record_id'
            AND a.atttypid IN ('uuid'::regtype, 'bytea'::regtype)  -- no plain column is of these types
            AND has_column_privilege(r.oid, a.attrelid, a.attnum, 'SELECT')
    )
), mixed AS (
    SELECT l.rolname FROM pg_catalog.pg_roles AS l
    WHERE l.rolcanlogin AND NOT l.rolsuper
        AND EXISTS (
            SELECT FROM unnest(ARRAY['vault_etl_ingest', 'vault_etl_reveal']) AS opener
            WHERE pg_has_role(l.oid, opener, 'USAGE') OR pg_has_role(l.oid, opener, 'SET')
        )
        AND EXISTS (
            SELECT FROM readers AS r
            WHERE pg_has_role(l.oid, r.oid, 'USAGE') OR pg_has_role(l.oid, r.oid, 'SET')
        )
)
SELECT rolname::text, rolname = session_user FROM mixed ORDER BY rolname

-- name: other_vaults
-- Other databases with objects of our owner role, and other schemas of this database.
SELECT 'database ' || d.datname FROM pg_catalog.pg_database AS d
WHERE d.datname <> pg_catalog.current_database() AND EXISTS (
    SELECT FROM pg_catalog.pg_shdepend AS s
    WHERE s.dbid = d.oid AND s.refclassid = 'pg_catalog.pg_authid'::regclass
        AND s.refobjid = 'vault_etl_owner'::regrole AND s.deptype = 'o'
)
UNION ALL
SELECT 'schema ' || n.nspname FROM pg_catalog.pg_namespace AS n
WHERE n.nspowner = 'vault_etl_owner'::regrole AND n.nspname NOT IN ('vault_etl', 'vault_etl_detached')
ORDER BY 1

-- name: odd_members
-- Members that are more than a login with one of our roles. The owner of the database is left out: it migrates, so it acts
-- as the owner role, makes roles and grants them. schema.sql compares our roles among themselves with the migrations.
WITH RECURSIVE place AS (
    SELECT datdba FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()
), ours AS (
    SELECT oid, rolname FROM pg_catalog.pg_roles
    WHERE rolname ~ '^vault_etl_(owner|ingest|reveal|rotate|re_encrypt|erase|audit|analyst)$'
), acting (member, role) AS (
    SELECT oid, oid FROM ours
    UNION
    SELECT m.member, a.role FROM pg_catalog.pg_auth_members AS m JOIN acting AS a ON a.member = m.roleid
    WHERE m.inherit_option OR m.set_option
), member AS (
    SELECT r.*, r.oid = (SELECT datdba FROM place) AS is_owner FROM pg_catalog.pg_roles AS r
    WHERE r.oid IN (SELECT a.member FROM acting AS a) AND r.oid NOT IN (SELECT o.oid FROM ours AS o)
), held (member, role) AS (
    SELECT oid, oid FROM member WHERE NOT is_owner
    UNION
    SELECT h.member, m.roleid FROM pg_catalog.pg_auth_members AS m JOIN held AS h ON h.role = m.member
    WHERE (m.inherit_option OR m.set_option) AND m.roleid NOT IN (SELECT o.oid FROM ours AS o)
), odd (oid, what, is_fault) AS (
    SELECT m.oid, 'acts as vault_etl_owner', true FROM member AS m
    WHERE NOT m.is_owner AND (m.oid, 'vault_etl_owner'::regrole::oid) IN (SELECT a.member, a.role FROM acting AS a)
    UNION ALL
    SELECT m.oid, 'owns the database, and acts as ' || o.rolname, true
    FROM member AS m JOIN acting AS a ON a.member = m.oid JOIN ours AS o ON o.oid = a.role
    WHERE m.is_owner AND o.rolname <> 'vault_etl_owner'
    UNION ALL
    SELECT m.oid, 'has ' || attribute, true
    FROM member AS m, LATERAL (VALUES
        ('SUPERUSER', m.rolsuper), ('REPLICATION', m.rolreplication), ('BYPASSRLS', m.rolbypassrls),
        ('CREATEROLE', m.rolcreaterole AND NOT m.is_owner)
    ) AS found (attribute, is_set)
    WHERE is_set
    UNION ALL
    SELECT h.member, 'acts as ' || r.rolname, true
    FROM held AS h JOIN pg_catalog.pg_roles AS r ON r.oid = h.role WHERE r.rolname ~ '^pg_'
    UNION ALL
    SELECT DISTINCT m.member, 'may grant ' || o.rolname,
        NOT r.rolcreaterole OR m.member IN (SELECT f.oid FROM member AS f)
    FROM pg_catalog.pg_auth_members AS m JOIN ours AS o ON o.oid = m.roleid
    JOIN pg_catalog.pg_roles AS r ON r.oid = m.member
    WHERE m.admin_option AND m.member <> (SELECT datdba FROM place) AND NOT r.rolsuper
        AND m.member NOT IN (SELECT oid FROM ours)
    UNION ALL
    SELECT r.oid, 'acts as ' || everything, false
    FROM pg_catalog.pg_roles AS r, unnest(ARRAY['pg_read_all_data', 'pg_write_all_data']) AS everything
    WHERE r.rolcanlogin AND NOT r.rolsuper AND r.oid NOT IN (SELECT m.oid FROM member AS m)
        AND (pg_has_role(r.oid, everything, 'USAGE') OR pg_has_role(r.oid, everything, 'SET'))
)
SELECT oid::regrole::text, pg_catalog.string_agg(what, ', ' ORDER BY what), pg_catalog.bool_or(is_fault)
FROM odd GROUP BY oid ORDER BY 3 DESC, 1
