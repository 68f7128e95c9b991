-- A declaration that is put in force, for the owner.

-- name: other_tables
-- Tables of months that are not attached: they need the columns, since functions read them by name.
SELECT c.oid::regclass::text
FROM pg_catalog.pg_class AS c LEFT JOIN pg_catalog.pg_inherits AS i ON i.inhrelid = c.oid AND NOT i.inhdetachpending
WHERE c.relkind = 'r' AND i.inhrelid IS NULL
    AND c.relnamespace IN ('vault_etl'::regnamespace, 'vault_etl_detached'::regnamespace)
    AND left(c.relname, -8) = %(table)s AND right(c.relname, 8) ~ '^_[0-9]{4}_[0-9]{2}$'

-- name: functions
SELECT p.proname::text, p.oid::regprocedure::text, pg_catalog.pg_get_function_identity_arguments(p.oid),
    pg_catalog.pg_get_function_result(p.oid)
FROM pg_catalog.pg_proc AS p WHERE p.pronamespace = 'vault_etl'::regnamespace AND p.prokind = 'f'

-- name: view
-- The columns of the view of an event, its options, and whether it shows all rows, with nothing computed.
SELECT
    v.columns, v.options,
    regexp_replace(pg_catalog.pg_get_viewdef(v.oid), '\s+', ' ', 'g')
        = ' SELECT ' || array_to_string(v.quoted, ', ') || ' FROM vault_etl.' || quote_ident(%(event)s) || ';'
FROM (
    SELECT c.oid, coalesce(c.reloptions, '{}') AS options, array_agg(a.attname::text ORDER BY a.attnum) AS columns,
        array_agg(quote_ident(a.attname) ORDER BY a.attnum) AS quoted
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.oid = to_regclass(format('vault_etl.%%I', %(event)s || '_masked'))
    GROUP BY c.oid, c.reloptions
) AS v

-- name: active_generation
SELECT max(generation) FROM vault_etl.data_keys WHERE purpose = 'token' AND state = 'active'

-- name: make_months
-- The months that `migrate` makes for the events of a new vault.
SELECT vault_etl.ensure_partition(%(event)s, (now() AT TIME ZONE 'UTC' + make_interval(months => ahead))::date)
FROM generate_series(-2, 3) AS ahead

-- name: free_rotations
-- These constraints are made again with the other fields.
ALTER TABLE vault_etl.key_rotations DROP CONSTRAINT tokens_are_of_all_fields, DROP CONSTRAINT key_rotations_fields_check

-- name: rotations_of_all_fields
-- A rotation of the token keys that is under way is of the new fields too: `keys init` adds their keys to its generation.
UPDATE vault_etl.key_rotations SET fields = %(fields)s::text[] WHERE purpose <> 'data'

-- name: not_validated
-- Constraints that hold for new rows alone so far. That of the generation of a cut-over stays so.
SELECT t.relname::text, c.conname::text, pg_catalog.pg_get_constraintdef(c.oid)
FROM pg_catalog.pg_constraint AS c JOIN pg_catalog.pg_class AS t ON t.oid = c.conrelid
WHERE NOT c.convalidated AND c.contype = 'c' AND c.coninhcount = 0 AND c.conname <> 'tokens_of_one_generation'
    AND t.relnamespace = 'vault_etl'::regnamespace
ORDER BY 1, 2
