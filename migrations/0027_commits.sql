-- Functions that take a lock which others wait for run in a transaction of their own: CALL vault_etl.commit_X(…) calls the
-- function X and commits. X refuses every other caller (ensure_short_transaction), so no client can hold the lock: neither idle,
-- nor by work of its own, nor by a message that it does not read.

SET LOCAL ROLE vault_etl_owner;

-- All procedures have one shape. The first COMMIT raises in a transaction of the client. An error that is raised while locks
-- are held is raised again without them. The parameters are those of the function, and then its columns; or its value as
-- `answer`, an array if it has more than one.
DO $migration$
DECLARE
    made record;
    grantee text;
BEGIN
    FOR made IN
        SELECT
            p.proname AS name, p.proacl AS acl, i.parameters, i.places, i.types,
            coalesce(o.parameters, 'OUT answer ' || format_type(p.prorettype, NULL)
                || CASE WHEN p.proretset THEN '[]' ELSE '' END) AS results,
            CASE
                WHEN o.names IS NOT NULL THEN format('SELECT * INTO %s FROM', o.names)
                WHEN p.proretset THEN 'answer := ARRAY(SELECT'
                ELSE 'answer :='
            END AS call,
            CASE WHEN o.names IS NULL AND p.proretset THEN ')' ELSE '' END AS call_end
        FROM pg_proc AS p,
            LATERAL (
                SELECT
                    string_agg(format('IN %I %s', p.proargnames[n], format_type(type, NULL)), ', ' ORDER BY n)
                        AS parameters,
                    string_agg('$' || n, ', ' ORDER BY n) AS places,
                    string_agg(format_type(type, NULL), ', ' ORDER BY n) AS types
                FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY AS input (type, n)
            ) AS i,
            LATERAL (
                SELECT
                    string_agg(format('OUT %I %s', p.proargnames[n], format_type(type, NULL)), ', ' ORDER BY n)
                        AS parameters,
                    string_agg(quote_ident(p.proargnames[n]), ', ' ORDER BY n) AS names
                FROM unnest(p.proallargtypes, p.proargmodes) WITH ORDINALITY AS output (type, mode, n)
                WHERE mode IN ('o', 't')
            ) AS o
        WHERE p.pronamespace = 'vault_etl'::regnamespace AND p.proname IN (
            'audit_append', 'audit_register_key', 'erase', 'quarantine_discard', 'token_cut_over',
            'keys_init', 'token_keys_begin', 'token_keys_abort', 'data_keys_retire', 'data_keys_retire_expired',
            'keys_destroy', 'key_rewrap', 'rotation_claim', 'rotation_free', 'retoken_begin',
            'file_source', 'file_load_reached', 'file_load_whole', 'fold_value_counts',
            'lake_begin', 'lake_record', 'lake_rotated', 'lake_erased'
        )
    LOOP
        EXECUTE format(
            $create$
            CREATE PROCEDURE vault_etl.commit_%1$s(%2$s) LANGUAGE plpgsql AS $$
            BEGIN
                COMMIT;
                SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
                BEGIN
                    %3$s vault_etl.%1$s(%4$s)%5$s;
                EXCEPTION WHEN OTHERS OR query_canceled OR assert_failure THEN
                    RAISE;
                END;
                COMMIT;
            END
            $$;
            REVOKE ALL ON PROCEDURE vault_etl.commit_%1$s(%6$s) FROM PUBLIC;
            COMMENT ON PROCEDURE vault_etl.commit_%1$s(%6$s) IS 'Calls the function %1$s in a transaction of its own, and commits.'
            $create$,
            made.name, concat_ws(', ', made.parameters, made.results), made.call, made.places, made.call_end, made.types
        );
        FOR grantee IN
            SELECT DISTINCT a.grantee::regrole::text COLLATE "C" FROM aclexplode(made.acl) AS a ORDER BY 1
        LOOP
            EXECUTE format(
                'GRANT EXECUTE ON PROCEDURE vault_etl.commit_%s(%s) TO %s', made.name, made.types, grantee
            );
        END LOOP;
    END LOOP;
END
$migration$;
