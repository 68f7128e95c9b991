-- Months that are taken out of the table and put back: `vault-etl partitions`, for the owner alone.

-- Detached months live here. No other role has a right to the schema or to a table in it.
CREATE SCHEMA vault_etl_detached AUTHORIZATION vault_etl_owner;

SET LOCAL ROLE vault_etl_owner;

-- Every month that is there or was closed: its bounds, its state, about how many rows it has (NULL: nothing has counted
-- them), and its bytes with its indexes. A table with the name of a month that is not attached was detached by hand.
CREATE FUNCTION public.partition_list() RETURNS TABLE (
    partition text, first uuid, until uuid, state text, rows bigint, bytes bigint, closed_at timestamptz
)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    WITH month AS (
        SELECT r.partition, r.first, r.until, CASE WHEN r.detaching THEN 'detaching' ELSE 'attached' END AS state,
            NULL::timestamptz AS closed_at
        FROM public.partition_ranges() AS r
        UNION ALL
        SELECT m.partition, m.first, m.until, CASE WHEN m.dropped_at IS NULL THEN 'detached' ELSE 'dropped' END,
            m.closed_at
        FROM public.closed_months AS m
        WHERE NOT EXISTS (SELECT FROM public.partition_ranges() AS r WHERE r.first = m.first)
        UNION ALL
        SELECT c.relname::text, public.first_record_id(day.first AT TIME ZONE 'UTC'),
            public.first_record_id((day.first + interval '1 month') AT TIME ZONE 'UTC'), 'detached', NULL
        FROM pg_class AS c, LATERAL (SELECT to_date(right(c.relname, 7), 'YYYY_MM')::timestamp AS first) AS day
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND NOT c.relispartition
            AND c.relname ~ '^user_logins_[0-9]{4}_(0[1-9]|1[0-2])$'
            AND NOT EXISTS (
                SELECT FROM public.closed_months AS m WHERE m.partition = c.relname AND m.dropped_at IS NULL
            )
    )
    SELECT
        m.partition, m.first, m.until, m.state, nullif(c.reltuples, -1)::bigint,
        coalesce(pg_total_relation_size(c.oid), 0), m.closed_at
    FROM month AS m
    LEFT JOIN pg_class AS c ON m.state <> 'dropped' AND c.oid = public.partition_table(m.partition)
    ORDER BY m.first
$$;
REVOKE ALL ON FUNCTION public.partition_list() FROM PUBLIC;

-- Moves the table of a month that was detached out of the schema `public`, where no rotation, erasure or reveal would
-- expect rows that it does not see.
CREATE FUNCTION public.partition_put_away(partition text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
BEGIN
    IF EXISTS (
        SELECT FROM pg_class AS c
        WHERE c.oid = to_regclass(format('public.%I', partition)) AND c.relkind = 'r' AND NOT c.relispartition
    ) THEN
        EXECUTE format('ALTER TABLE public.%I SET SCHEMA vault_etl_detached', partition);
    END IF;
END
$$;
REVOKE ALL ON FUNCTION public.partition_put_away(text) FROM PUBLIC;

-- What keeps a detached month from being attached, a line each, in words; none: it fits. Reads every row. Tokens have to
-- be of the active generation, in the columns that have that name today; what is sealed has to be under keys that there
-- are.
CREATE FUNCTION public.partition_misfits(partition text) RETURNS SETOF text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    active smallint := (
        SELECT k.generation FROM public.data_keys AS k WHERE k.purpose = 'token' AND k.state = 'active' LIMIT 1
    );
BEGIN
    RETURN QUERY EXECUTE format(
        $query$
        SELECT format('%%s rows have tokens of generation %%s, and %%s is active', count(*), token_generation, $1)
        FROM %1$s WHERE token_generation IS DISTINCT FROM $1 AND num_nonnulls(masked_ip, masked_device_id) > 0
        GROUP BY token_generation
        UNION ALL
        SELECT format(
            '%%s values are sealed under data key %%s, which %%s', sum(u.rows), u.key_id,
            CASE WHEN k.key_id IS NULL THEN 'is not there' ELSE 'was destroyed' END
        )
        FROM (
            SELECT public.ciphertext_key_id(ip_ciphertext) AS key_id, count(*) AS rows
            FROM %1$s WHERE ip_ciphertext IS NOT NULL GROUP BY 1
            UNION ALL
            SELECT public.ciphertext_key_id(device_id_ciphertext), count(*)
            FROM %1$s WHERE device_id_ciphertext IS NOT NULL GROUP BY 1
        ) AS u
        LEFT JOIN public.data_keys AS k ON k.key_id = u.key_id
        WHERE k.key_id IS NULL OR k.state = 'destroyed'
        GROUP BY u.key_id, k.key_id
        $query$, public.partition_table(partition)
    ) USING active;
END
$$;
REVOKE ALL ON FUNCTION public.partition_misfits(text) FROM PUBLIC;

-- Puts a detached month back. Behind the fence, so no cut-over comes in between.
CREATE FUNCTION public.partition_attach(partition text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    month record;
    bound text;
BEGIN
    LOCK TABLE public.key_fence IN ROW EXCLUSIVE MODE;
    SELECT * INTO month FROM public.partition_list() AS l
    WHERE l.partition = partition_attach.partition AND l.state = 'detached';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such month is detached' USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    DELETE FROM public.closed_months AS m WHERE m.first = month.first;
    IF to_regclass(format('vault_etl_detached.%I', partition)) IS NOT NULL THEN
        EXECUTE format('ALTER TABLE vault_etl_detached.%I SET SCHEMA public', partition);
    END IF;
    EXECUTE format(
        'ALTER TABLE public.user_logins ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
        partition, month.first, month.until
    );
    -- With the bounds that DETACH CONCURRENTLY left as a CHECK, no row was read just now. They are the partition's again.
    FOR bound IN
        SELECT c.conname FROM pg_constraint AS c
        WHERE c.conrelid = format('public.%I', partition)::regclass AND c.contype = 'c' AND c.coninhcount = 0
    LOOP
        EXECUTE format('ALTER TABLE public.%I DROP CONSTRAINT %I', partition, bound);
    END LOOP;
END
$$;
REVOKE ALL ON FUNCTION public.partition_attach(text) FROM PUBLIC;

-- The end of a detached month. It stays closed.
CREATE FUNCTION public.partition_drop(partition text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    month record;
BEGIN
    SELECT * INTO month FROM public.partition_list() AS l
    WHERE l.partition = partition_drop.partition AND l.state = 'detached';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such month is detached' USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    INSERT INTO public.closed_months AS m (first, until, partition, dropped_at)
    VALUES (month.first, month.until, month.partition, clock_timestamp())
    ON CONFLICT ON CONSTRAINT closed_months_pkey DO UPDATE SET dropped_at = excluded.dropped_at;
    EXECUTE format('DROP TABLE %s', public.partition_table(partition));
END
$$;
REVOKE ALL ON FUNCTION public.partition_drop(text) FROM PUBLIC;

-- Lets a month that was dropped be made and filled again. Whether it was closed.
CREATE FUNCTION public.partition_reopen(month date) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    first_day timestamp := date_trunc('month', month::timestamp);
BEGIN
    DELETE FROM public.closed_months AS m
    WHERE m.dropped_at IS NOT NULL
        AND m.first < public.first_record_id((first_day + interval '1 month') AT TIME ZONE 'UTC')
        AND m.until > public.first_record_id(first_day AT TIME ZONE 'UTC');
    RETURN FOUND;
END
$$;
REVOKE ALL ON FUNCTION public.partition_reopen(date) FROM PUBLIC;
