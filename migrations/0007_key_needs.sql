-- What needs a key: the answers that `keys list`, `keys destroy`, `doctor` and a rotation get without a right to any row.

SET LOCAL ROLE vault_etl_owner;

CREATE FUNCTION vault_etl.key_usage(counted boolean) RETURNS TABLE (key_id bigint, rows bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN QUERY
        SELECT k.key_id, coalesce(sum(v.held), 0)::bigint
        FROM vault_etl.data_keys AS k LEFT JOIN (
            SELECT u.field = 'token' AS of_tokens, u.id, sum(u.held) AS held
            FROM (
                SELECT c.field, c.id, c.held FROM vault_etl.value_counts AS c WHERE NOT counted
                UNION ALL SELECT c.field, c.id, c.held FROM vault_etl.values_counted() AS c WHERE counted
                UNION ALL SELECT d.field, d.id, d.held FROM vault_etl.detached_values AS d WHERE d.field <> 'next_token'
            ) AS u GROUP BY 1, 2
        ) AS v ON v.of_tokens = (k.purpose = 'token')
            AND v.id = CASE WHEN k.purpose = 'token' THEN k.generation ELSE k.key_id END
        GROUP BY k.key_id;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.key_usage(boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault_etl.key_usage(boolean) TO vault_etl_audit, vault_etl_rotate, vault_etl_re_encrypt;
COMMENT ON FUNCTION vault_etl.key_usage(boolean) IS
    'Returns how many values need each key: by the counts that are kept, or `counted` from all rows. Values of '
    'detached months and of sets count too.';

CREATE FUNCTION vault_etl.needs_of_data_key(key_id bigint)
RETURNS TABLE (in_records bigint, bodies bigint, leases bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    leases := (
        SELECT count(*) FROM vault_etl.data_keys AS k
        WHERE k.key_id = needs_of_data_key.key_id AND k.purpose = 'data' AND k.state = 'active'
            AND k.expires_at > clock_timestamp()
    );
    SELECT coalesce(sum(c.held) FILTER (WHERE c.field <> 'quarantine'), 0),
        coalesce(sum(c.held) FILTER (WHERE c.field = 'quarantine'), 0)
    INTO in_records, bodies
    FROM vault_etl.value_counts AS c
    WHERE c.field IN ({{ fields|map(attribute='name')|map('literal')|join(', ') }}, 'quarantine') AND c.id = needs_of_data_key.key_id;
    IF in_records <= 0 AND bodies <= 0 AND leases = 0 THEN
        SELECT coalesce(sum(v.held) FILTER (WHERE v.field IN ({{ fields|map(attribute='name')|map('literal')|join(', ') }})), 0),
            coalesce(sum(v.held) FILTER (WHERE v.field = 'quarantine'), 0)
        INTO in_records, bodies
        FROM vault_etl.values_counted() AS v WHERE v.id = needs_of_data_key.key_id;
    END IF;
    in_records := in_records + (
        SELECT coalesce(sum(d.held), 0) FROM vault_etl.detached_values AS d
        WHERE d.field IN ({{ fields|map(attribute='name')|map('literal')|join(', ') }}) AND d.id = needs_of_data_key.key_id
    );
    RETURN NEXT;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.needs_of_data_key(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault_etl.needs_of_data_key(bigint) TO vault_etl_rotate, vault_etl_re_encrypt;
COMMENT ON FUNCTION vault_etl.needs_of_data_key(bigint) IS
    'Returns what needs a data key, whatever field the key is of: a value in the place of another field needs '
    'it as well. If the kept counts show a need, that is the answer. If they show none, all rows are read: a '
    'login that can write past the triggers cannot have a key destroyed that values are sealed under.';

CREATE FUNCTION vault_etl.token_generations(
    every_row boolean, OUT active smallint, OUT held smallint, OUT others bigint, OUT rows_read bigint
)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    place record;
BEGIN
    active := (
        SELECT k.generation FROM vault_etl.data_keys AS k WHERE k.purpose = 'token' AND k.state = 'active' LIMIT 1
    );
    held := (
        SELECT named.generation
        FROM (
            SELECT substring(pg_get_constraintdef(c.oid) FROM ' = ([0-9]+)')::smallint AS generation
            FROM vault_etl.event_tables() AS e JOIN pg_constraint AS c ON c.conrelid = e.place
            WHERE c.conname = 'tokens_of_one_generation'
        ) AS named
        ORDER BY named.generation = active LIMIT 1
    );
    others := 0;
    rows_read := 0;
    FOR place IN
        SELECT r.partition, pg_relation_size(format('vault_etl.%I', r.partition)::regclass) / 8192 AS pages, 0::bigint AS bad,
            0::bigint AS rows
        FROM vault_etl.partition_ranges() AS r
    LOOP
        EXECUTE format(
            'SELECT count(*) FILTER (WHERE token_generation <> $1), count(*) FROM vault_etl.%I TABLESAMPLE SYSTEM (%s)',
            place.partition, CASE WHEN every_row THEN 100 ELSE least(100, 6400.0 / greatest(place.pages, 1)) END
        ) INTO place.bad, place.rows USING active;
        others := others + place.bad;
        rows_read := rows_read + place.rows;
    END LOOP;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.token_generations(boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault_etl.token_generations(boolean)
    TO vault_etl_audit, vault_etl_rotate, vault_etl_re_encrypt;
COMMENT ON FUNCTION vault_etl.token_generations(boolean) IS
    'Returns the active generation, the one that the constraint of the table names (of several tables: one that is '
    'not the active one, if there is one), and how many rows have '
    'tokens of another generation than the active one: of all rows, or of the pages that a sample reads, about '
    '64 of each partition.';

CREATE FUNCTION vault_etl.needs_of_generation(generation smallint, counted boolean)
RETURNS TABLE (tokens bigint, next_tokens bigint, closed bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    place regclass;
BEGIN
    closed := (
        SELECT coalesce(sum(d.held), 0)::bigint FROM vault_etl.detached_values AS d
        WHERE d.field = 'token' AND d.id = needs_of_generation.generation
    );
    IF NOT counted AND NOT EXISTS (
        SELECT FROM vault_etl.event_tables() AS e
        LEFT JOIN pg_constraint AS c ON c.conrelid = e.place AND c.conname = 'tokens_of_one_generation'
        WHERE (
            substring(pg_get_constraintdef(c.oid) FROM ' = ([0-9]+)')::smallint <> needs_of_generation.generation
        ) IS NOT TRUE
    ) THEN
        tokens := 0;
        next_tokens := (
            SELECT greatest(0, coalesce(sum(v.held), 0))::bigint FROM vault_etl.value_counts AS v
            WHERE v.field = 'token' AND v.id = needs_of_generation.generation
        );
    ELSE
        tokens := 0;
        next_tokens := 0;
        FOR place IN SELECT t.place FROM vault_etl.counted_tables() AS t LOOP
            EXECUTE format(
                'SELECT $2 + count(*) FILTER (WHERE token_generation = $1),'
                ' $3 + count(*) FILTER (WHERE next_token_generation = $1) FROM %s', place
            ) INTO tokens, next_tokens USING generation, tokens, next_tokens;
        END LOOP;
    END IF;
    RETURN NEXT;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.needs_of_generation(smallint, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault_etl.needs_of_generation(smallint, boolean) TO vault_etl_rotate, vault_etl_re_encrypt;
COMMENT ON FUNCTION vault_etl.needs_of_generation(smallint, boolean) IS
    'Returns how many rows have tokens of a generation, how many have them as their next ones, and how many '
    'rows of closed months and of sets have them. The kept counts do not tell the first two apart; the constraint of each '
    'table does. All rows are read if `counted`, or if a constraint lets rows have these tokens.';
