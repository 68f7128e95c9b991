-- How many rows still need each key, and the end of tokens that none needs: without a right to any row.

SET LOCAL ROLE vault_etl_owner;

CREATE FUNCTION public.key_usage() RETURNS TABLE (key_id bigint, rows bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT k.key_id, coalesce(sum(u.rows), 0)::bigint
    FROM public.data_keys AS k
    LEFT JOIN (
        SELECT public.ciphertext_key_id(ip_ciphertext) AS key_id, count(*) AS rows
        FROM public.user_logins WHERE ip_ciphertext IS NOT NULL GROUP BY 1
        UNION ALL
        SELECT public.ciphertext_key_id(device_id_ciphertext), count(*)
        FROM public.user_logins WHERE device_id_ciphertext IS NOT NULL GROUP BY 1
        UNION ALL
        SELECT public.ciphertext_key_id(body_ciphertext), count(*)
        FROM public.quarantine WHERE body_ciphertext IS NOT NULL GROUP BY 1
        UNION ALL
        SELECT t.key_id, g.rows
        FROM (
            SELECT generation, sum(rows) AS rows FROM (
                SELECT token_generation AS generation, count(*) AS rows
                FROM public.user_logins WHERE token_generation IS NOT NULL GROUP BY 1
                UNION ALL
                SELECT next_token_generation, count(*)
                FROM public.user_logins WHERE next_token_generation IS NOT NULL GROUP BY 1
            ) AS counted GROUP BY 1
        ) AS g
        JOIN public.data_keys AS t ON t.purpose = 'token' AND t.generation = g.generation
    ) AS u ON u.key_id = k.key_id
    GROUP BY k.key_id
$$;
REVOKE ALL ON FUNCTION public.key_usage() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.key_usage() TO vault_etl_audit, vault_etl_rotate, vault_etl_re_encrypt;

-- What needs a data key, whatever field the key is of: a value in another field's place needs it as well.
CREATE FUNCTION public.needs_of_data_key(key_id bigint)
RETURNS TABLE (in_records bigint, bodies bigint, leases bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT records.count, quarantined.count, leased.count
    FROM (
        SELECT count(*) FILTER (WHERE public.ciphertext_key_id(ip_ciphertext) = needs_of_data_key.key_id)
            + count(*) FILTER (WHERE public.ciphertext_key_id(device_id_ciphertext) = needs_of_data_key.key_id)
        FROM public.user_logins
    ) AS records (count), (
        SELECT count(*) FROM public.quarantine
        WHERE public.ciphertext_key_id(body_ciphertext) = needs_of_data_key.key_id
    ) AS quarantined (count), (
        SELECT count(*) FROM public.data_keys AS k
        WHERE k.key_id = needs_of_data_key.key_id AND k.purpose = 'data' AND k.state = 'active'
            AND k.expires_at > clock_timestamp()
    ) AS leased (count)
$$;
REVOKE ALL ON FUNCTION public.needs_of_data_key(bigint) FROM PUBLIC;

-- How many rows have tokens of a generation, and how many have them as their next ones.
CREATE FUNCTION public.needs_of_generation(generation smallint) RETURNS TABLE (tokens bigint, next_tokens bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT
        count(*) FILTER (WHERE token_generation = needs_of_generation.generation),
        count(*) FILTER (WHERE next_token_generation = needs_of_generation.generation)
    FROM public.user_logins
$$;
REVOKE ALL ON FUNCTION public.needs_of_generation(smallint) FROM PUBLIC;

-- Takes the tokens of a generation that is not in use out of next_*: of a page of rows behind `after`. How many
-- rows that were, and the last of the page; NULL if there is no page left. Behind the fence, as a writer is.
CREATE FUNCTION public.clear_old_tokens(generation smallint, after uuid, page integer)
RETURNS TABLE (cleared bigint, last uuid)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    ids uuid[];
BEGIN
    LOCK TABLE public.key_fence IN ROW EXCLUSIVE MODE;
    IF NOT EXISTS (
        SELECT FROM public.data_keys AS k
        WHERE k.purpose = 'token' AND k.generation = clear_old_tokens.generation
            AND k.state IN ('active', 'pending')
    ) THEN
        -- OFFSET 0 keeps the planner from reading and sorting all rows for each page, as it does where it
        -- takes these rows to be rare.
        ids := ARRAY(
            SELECT r.record_id FROM (
                SELECT l.record_id, l.next_token_generation FROM public.user_logins AS l
                WHERE after IS NULL OR l.record_id > after
                ORDER BY l.record_id OFFSET 0
            ) AS r
            WHERE r.next_token_generation = clear_old_tokens.generation
            ORDER BY r.record_id LIMIT least(page, 5000)
        );
    END IF;
    last := ids[cardinality(ids)];
    UPDATE public.user_logins AS r
    SET next_masked_ip = NULL, next_masked_device_id = NULL, next_token_generation = NULL
    WHERE r.record_id = ANY (ids) AND r.record_id BETWEEN ids[1] AND last
        AND r.next_token_generation = clear_old_tokens.generation;  -- a row that was changed meanwhile stays
    GET DIAGNOSTICS cleared = ROW_COUNT;
    RETURN NEXT;
END
$$;
REVOKE ALL ON FUNCTION public.clear_old_tokens(smallint, uuid, integer) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION
    public.needs_of_data_key(bigint), public.needs_of_generation(smallint),
    public.clear_old_tokens(smallint, uuid, integer)
    TO vault_etl_rotate, vault_etl_re_encrypt;
