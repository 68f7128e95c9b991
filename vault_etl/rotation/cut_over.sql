-- The cut-over to the tokens of the pending generation, for the role re-encrypt, and what it waits for.

-- name: cut_over
CALL vault_etl.commit_token_cut_over(
    %(request_id)s, %(actor)s, %(host)s, %(reason)s, %(generation)s::smallint, %(allow_publication)s,
    %(partitions)s::oid[], NULL, NULL, NULL
)

-- name: partitions
SELECT inhrelid::bigint, inhrelid::regclass::text FROM pg_catalog.pg_inherits
WHERE inhparent IN (
--% for event in events
    'vault_etl.{{ event.name }}'::regclass{{ ',' if not loop.last }}
--% endfor
) ORDER BY 1

-- name: publications
SELECT vault_etl.token_publications()

-- name: lock_holders
-- Sessions that keep the cut-over from its locks: every session on the view and the table, and writers elsewhere.
SELECT DISTINCT a.pid, coalesce(a.usename, ''), coalesce(a.application_name, '')
FROM pg_catalog.pg_locks AS l
JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid
WHERE l.granted AND l.pid <> pg_catalog.pg_backend_pid()
    AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
    AND (
        (
            l.mode <> 'AccessShareLock' AND l.relation IN (
                'vault_etl.key_fence'::regclass, 'vault_etl.audit_turn'::regclass, 'vault_etl.data_keys'::regclass,
                'vault_etl.key_rotations'::regclass, 'vault_etl.rotation_ranges'::regclass
            )
        )
--% for event in events
        OR l.relation IN ('vault_etl.{{ event.name.plus('_masked') }}'::regclass, 'vault_etl.{{ event.name }}'::regclass)
        OR l.relation IN (
            SELECT inhrelid FROM pg_catalog.pg_inherits WHERE inhparent = 'vault_etl.{{ event.name }}'::regclass
        )
--% endfor
    )
ORDER BY a.pid LIMIT 10

-- name: dependents
-- The same objects as the cut-over finds (migrations/0021_cut_over.sql).
SELECT DISTINCT pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid)
FROM pg_catalog.pg_depend AS d
JOIN pg_catalog.pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
JOIN vault_etl.token_columns() AS t ON t.relation = d.refobjid AND a.attname IN (t.name, 'next_' || t.name)
WHERE d.refclassid = 'pg_catalog.pg_class'::regclass
    AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_class AS c
        WHERE d.classid = 'pg_catalog.pg_class'::regclass AND c.oid = d.objid AND c.relkind IN ('i', 'I')
    )
    AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_constraint AS c
        WHERE d.classid = 'pg_catalog.pg_constraint'::regclass AND c.oid = d.objid
            AND c.conname = 'tokens_of_one_generation'
    )
    AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_rewrite AS w JOIN pg_catalog.pg_class AS c ON c.oid = w.ev_class
        WHERE d.classid = 'pg_catalog.pg_rewrite'::regclass AND w.oid = d.objid AND w.rulename = '_RETURN'
            AND (
--% for event in events
                c.oid = 'vault_etl.{{ event.name.plus('_masked') }}'::regclass OR
--% endfor
                c.relpersistence = 't'
            )
    )
    AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_proc AS f JOIN pg_catalog.pg_namespace AS n ON n.oid = f.pronamespace
        WHERE d.classid = 'pg_catalog.pg_proc'::regclass AND f.oid = d.objid AND n.nspname ~ '^pg_temp_'
    )
ORDER BY 1
