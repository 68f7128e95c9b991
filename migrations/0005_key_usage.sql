-- How many rows still need each key.

SET LOCAL ROLE vault_etl_owner;

-- The key id of a ciphertext: bytes 1 to 4, big-endian (docs/formats.md). Its names are bound here and
-- now, so it needs no search_path of its own, with which it could not be inlined (4.6 times slower).
CREATE FUNCTION public.ciphertext_key_id(ciphertext bytea) RETURNS bigint
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN ('x' || lpad(encode(substring(ciphertext FROM 2 FOR 4), 'hex'), 16, '0'))::bit(64)::bigint;
REVOKE ALL ON FUNCTION public.ciphertext_key_id(bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.ciphertext_key_id(bytea) TO vault_etl_rotate, vault_etl_re_encrypt;

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
