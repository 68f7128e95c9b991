-- How many rows still need each key, and the end of tokens that none needs: without a right to any row.

SET LOCAL ROLE vault_etl_owner;

-- How many values lie under each key, by the month of their record ids, and how many rows name each generation of tokens,
-- in either place. The triggers below keep it in the transaction that writes, whoever that is. Each session has rows of
-- its own here, so that none waits for another: only the sum over all writers is a count.
CREATE TABLE public.value_counts (
    field text NOT NULL CHECK (field IN ('ip', 'device_id', 'quarantine', 'token')),
    -- A key id, or of `token` a generation.
    id bigint NOT NULL,
    month date NOT NULL,
    writer integer NOT NULL,
    held bigint NOT NULL,
    PRIMARY KEY (field, id, month, writer)
) WITH (fillfactor = 50);
COMMENT ON TABLE public.value_counts IS
    'How many values lie under each key, by month: the sum over all writers, each of which is a session.';

-- The counts of months that are detached on the record: a rotation does not see these values, and their keys are needed.
-- `next_token` is of the generation beside the tokens in use: it comes back with the month, and nothing needs its keys.
CREATE TABLE public.detached_values (
    first uuid NOT NULL REFERENCES public.closed_months ON DELETE CASCADE,
    field text NOT NULL,
    id bigint NOT NULL,
    month date NOT NULL,
    held bigint NOT NULL,
    PRIMARY KEY (first, field, id, month)
);
COMMENT ON TABLE public.detached_values IS 'How many values lie under each key in the months that are detached.';

-- The first day of the month (UTC) in which a record id begins: its first 48 bits are milliseconds.
CREATE FUNCTION public.month_of(record_id uuid) RETURNS date
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN date_trunc(
    'month',
    timestamp '1970-01-01'
        + ('x' || translate(left(record_id::text, 13), '-', ''))::bit(48)::bigint * interval '1 millisecond'
)::date;
REVOKE ALL ON FUNCTION public.month_of(uuid) FROM PUBLIC;

-- Adds the rows that a statement wrote, or takes away those that it replaced: the trigger's argument is the sign.
CREATE FUNCTION public.user_logins_counted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO public.value_counts AS c (field, id, month, writer, held)
    SELECT v.field, v.id, kinds.month, pg_backend_pid(), TG_ARGV[0]::integer * sum(kinds.rows)
    FROM (
        SELECT substring(ip_ciphertext FOR 5) AS ip, substring(device_id_ciphertext FOR 5) AS device_id,
            token_generation, next_token_generation, public.month_of(record_id) AS month, count(*) AS rows
        FROM changed GROUP BY 1, 2, 3, 4, 5
    ) AS kinds, LATERAL (VALUES
        ('ip', public.ciphertext_key_id(kinds.ip)), ('device_id', public.ciphertext_key_id(kinds.device_id)),
        ('token', kinds.token_generation), ('token', kinds.next_token_generation)
    ) AS v (field, id)
    WHERE v.id IS NOT NULL
    GROUP BY v.field, v.id, kinds.month
    ON CONFLICT (field, id, month, writer) DO UPDATE SET held = c.held + EXCLUDED.held;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION public.user_logins_counted() FROM PUBLIC;

CREATE FUNCTION public.quarantine_counted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO public.value_counts AS c (field, id, month, writer, held)
    SELECT 'quarantine', public.ciphertext_key_id(body_ciphertext), public.month_of(record_id), pg_backend_pid(),
        TG_ARGV[0]::integer * count(*)
    FROM changed WHERE body_ciphertext IS NOT NULL
    GROUP BY 2, 3
    ON CONFLICT (field, id, month, writer) DO UPDATE SET held = c.held + EXCLUDED.held;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION public.quarantine_counted() FROM PUBLIC;

-- An emptied table holds nothing.
CREATE FUNCTION public.values_truncated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM public.value_counts AS c WHERE (c.field = 'quarantine') = (TG_TABLE_NAME = 'quarantine');
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION public.values_truncated() FROM PUBLIC;

DO $$
DECLARE
    place text;
    kind text[];
BEGIN
    FOREACH place IN ARRAY ARRAY['user_logins', 'quarantine'] LOOP
        FOREACH kind SLICE 1 IN ARRAY ARRAY[
            ['added', 'INSERT', 'NEW', '1'], ['removed', 'DELETE', 'OLD', '-1'],
            ['replacing', 'UPDATE', 'NEW', '1'], ['replaced', 'UPDATE', 'OLD', '-1']
        ] LOOP
            EXECUTE format(
                'CREATE TRIGGER counted_%s AFTER %s ON public.%I REFERENCING %s TABLE AS changed'
                ' FOR EACH STATEMENT EXECUTE FUNCTION public.%I(%L)',
                kind[1], kind[2], place, kind[3], place || '_counted', kind[4]
            );
        END LOOP;
        EXECUTE format(
            'CREATE TRIGGER counted_none AFTER TRUNCATE ON public.%I'
            ' FOR EACH STATEMENT EXECUTE FUNCTION public.values_truncated()', place
        );
    END LOOP;
END
$$;

-- The tables whose rows `value_counts` counts: that of records, and those of months that a look at it does not see, since
-- their detaching is under way, or they are not put away yet, or they were detached by hand.
CREATE FUNCTION public.counted_tables() RETURNS SETOF regclass
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT 'public.user_logins'::regclass
    UNION ALL
    SELECT c.oid::regclass
    FROM pg_class AS c
    LEFT JOIN pg_inherits AS i ON i.inhrelid = c.oid AND i.inhparent = 'public.user_logins'::regclass
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND (
        i.inhdetachpending
        OR i.inhrelid IS NULL AND (
            c.relname ~ '^user_logins_[0-9]{4}_(0[1-9]|1[0-2])$'
            OR EXISTS (
                SELECT FROM public.closed_months AS m
                WHERE m.partition = c.relname AND m.dropped_at IS NULL AND m.archive IS NULL
            )
        )
    )
$$;
REVOKE ALL ON FUNCTION public.counted_tables() FROM PUBLIC;

-- How many values of a table of records lie under each key, and how many rows have tokens of each generation, or have them as
-- their next ones (`next_token`). Reads every row, once.
CREATE FUNCTION public.values_in(place regclass) RETURNS TABLE (field text, id bigint, month date, held bigint)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN QUERY EXECUTE format(
        $query$
        SELECT v.field, v.id, kinds.month, sum(kinds.rows)::bigint
        FROM (
            SELECT substring(ip_ciphertext FOR 5) AS ip, substring(device_id_ciphertext FOR 5) AS device_id,
                token_generation, next_token_generation, public.month_of(record_id) AS month, count(*) AS rows
            FROM %s GROUP BY 1, 2, 3, 4, 5
        ) AS kinds, LATERAL (VALUES
            ('ip', public.ciphertext_key_id(kinds.ip)), ('device_id', public.ciphertext_key_id(kinds.device_id)),
            ('token', kinds.token_generation), ('next_token', kinds.next_token_generation)
        ) AS v (field, id)
        WHERE v.id IS NOT NULL GROUP BY v.field, v.id, kinds.month
        $query$, place
    );
END
$$;
REVOKE ALL ON FUNCTION public.values_in(regclass) FROM PUBLIC;

-- The same counts as are kept, from the rows themselves: reads all of them, once.
CREATE FUNCTION public.values_counted() RETURNS TABLE (field text, id bigint, month date, held bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT found.field, found.id, found.month, sum(found.held)::bigint
    FROM (
        SELECT CASE v.field WHEN 'next_token' THEN 'token' ELSE v.field END AS field, v.id, v.month, v.held
        FROM public.counted_tables() AS place, LATERAL public.values_in(place) AS v
        UNION ALL
        SELECT 'quarantine', public.ciphertext_key_id(bodies.head), bodies.month, bodies.rows
        FROM (
            SELECT substring(q.body_ciphertext FOR 5) AS head, public.month_of(q.record_id) AS month, count(*) AS rows
            FROM public.quarantine AS q WHERE q.body_ciphertext IS NOT NULL GROUP BY 1, 2
        ) AS bodies
    ) AS found
    WHERE found.id IS NOT NULL
    GROUP BY found.field, found.id, found.month
$$;
REVOKE ALL ON FUNCTION public.values_counted() FROM PUBLIC;

-- Where the counts that are kept are not those of the rows. One statement, so one snapshot. Reads all rows, once.
CREATE FUNCTION public.values_miscounted()
RETURNS TABLE (field text, id bigint, month date, kept bigint, counted bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT field, id, month, sum(kept)::bigint, sum(counted)::bigint
    FROM (
        SELECT c.field, c.id, c.month, c.held AS kept, 0 AS counted FROM public.value_counts AS c
        UNION ALL
        SELECT v.field, v.id, v.month, 0, v.held FROM public.values_counted() AS v
    ) AS both_counts
    GROUP BY field, id, month HAVING sum(kept) <> sum(counted)
    ORDER BY field, id, month
$$;
REVOKE ALL ON FUNCTION public.values_miscounted() FROM PUBLIC;

-- Adds what they differ by, for a month that was attached, detached or written into by hand; how many were wrong. Nobody
-- waits: what is written meanwhile is in neither count.
CREATE FUNCTION public.recount_values() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    mended bigint;
BEGIN
    INSERT INTO public.value_counts AS c (field, id, month, writer, held)
    SELECT m.field, m.id, m.month, pg_backend_pid(), m.counted - m.kept FROM public.values_miscounted() AS m
    ON CONFLICT (field, id, month, writer) DO UPDATE SET held = c.held + EXCLUDED.held;
    GET DIAGNOSTICS mended = ROW_COUNT;
    RETURN mended;
END
$$;
REVOKE ALL ON FUNCTION public.recount_values() FROM PUBLIC;

-- Puts the counts of sessions that have ended into one row a key and month, of writer 0, and drops those that come to
-- nothing: else each connection, which lives for half an hour, leaves a few rows for good. How many rows it took. One session
-- folds at a time, and no other one writes the rows of one that has ended: so nobody waits for it, if it looks at the
-- sessions of this moment, and not at a list that its transaction has kept. A server process may have the number of one that has
-- ended: it waits for no longer than this takes, since no client holds these rows (0012_commits.sql).
CREATE FUNCTION public.fold_value_counts() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    folded bigint;
BEGIN
    PERFORM public.short_transaction();
    PERFORM pg_stat_clear_snapshot();
    PERFORM FROM public.vault FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    WITH ended AS (
        DELETE FROM public.value_counts AS c
        WHERE c.writer <> 0 AND c.writer NOT IN (SELECT a.pid FROM pg_stat_activity AS a WHERE a.pid IS NOT NULL)
        RETURNING c.field, c.id, c.month, c.held
    ), summed AS (
        INSERT INTO public.value_counts AS c (field, id, month, writer, held)
        SELECT e.field, e.id, e.month, 0, sum(e.held) FROM ended AS e GROUP BY e.field, e.id, e.month
        ON CONFLICT (field, id, month, writer) DO UPDATE SET held = c.held + EXCLUDED.held
    )
    SELECT count(*) INTO folded FROM ended;
    DELETE FROM public.value_counts AS c WHERE c.writer = 0 AND c.held = 0;
    RETURN folded;
END
$$;
REVOKE ALL ON FUNCTION public.fold_value_counts() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.fold_value_counts() TO vault_etl_ingest, vault_etl_re_encrypt;

-- How many values need each key: by the counts that are kept, or `counted` from all rows. Those of detached months
-- need theirs too.
CREATE FUNCTION public.key_usage(counted boolean) RETURNS TABLE (key_id bigint, rows bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN QUERY
        SELECT k.key_id, coalesce(sum(v.held), 0)::bigint
        FROM public.data_keys AS k LEFT JOIN (
            SELECT u.field = 'token' AS of_tokens, u.id, sum(u.held) AS held
            FROM (
                SELECT c.field, c.id, c.held FROM public.value_counts AS c WHERE NOT counted
                UNION ALL SELECT c.field, c.id, c.held FROM public.values_counted() AS c WHERE counted
                UNION ALL SELECT d.field, d.id, d.held FROM public.detached_values AS d WHERE d.field <> 'next_token'
            ) AS u GROUP BY 1, 2
        ) AS v ON v.of_tokens = (k.purpose = 'token')
            AND v.id = CASE WHEN k.purpose = 'token' THEN k.generation ELSE k.key_id END
        GROUP BY k.key_id;
END
$$;
REVOKE ALL ON FUNCTION public.key_usage(boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.key_usage(boolean) TO vault_etl_audit, vault_etl_rotate, vault_etl_re_encrypt;
GRANT EXECUTE ON FUNCTION public.values_miscounted() TO vault_etl_audit, vault_etl_rotate, vault_etl_re_encrypt;
-- What is left of a rotation.
GRANT SELECT ON public.value_counts TO vault_etl_re_encrypt;

-- What needs a data key, whatever field the key is of: a value in another field's place needs it as well. What the kept
-- counts show to be needed is needed. That nothing is, all rows have to say: whoever may write around the triggers
-- cannot have a key destroyed that values lie under.
CREATE FUNCTION public.needs_of_data_key(key_id bigint)
RETURNS TABLE (in_records bigint, bodies bigint, leases bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    leases := (
        SELECT count(*) FROM public.data_keys AS k
        WHERE k.key_id = needs_of_data_key.key_id AND k.purpose = 'data' AND k.state = 'active'
            AND k.expires_at > clock_timestamp()
    );
    SELECT coalesce(sum(c.held) FILTER (WHERE c.field <> 'quarantine'), 0),
        coalesce(sum(c.held) FILTER (WHERE c.field = 'quarantine'), 0)
    INTO in_records, bodies
    FROM public.value_counts AS c
    WHERE c.field IN ('ip', 'device_id', 'quarantine') AND c.id = needs_of_data_key.key_id;
    IF in_records <= 0 AND bodies <= 0 AND leases = 0 THEN
        SELECT coalesce(sum(v.held) FILTER (WHERE v.field IN ('ip', 'device_id')), 0),
            coalesce(sum(v.held) FILTER (WHERE v.field = 'quarantine'), 0)
        INTO in_records, bodies
        FROM public.values_counted() AS v WHERE v.id = needs_of_data_key.key_id;
    END IF;
    in_records := in_records + (
        SELECT coalesce(sum(d.held), 0) FROM public.detached_values AS d
        WHERE d.field IN ('ip', 'device_id') AND d.id = needs_of_data_key.key_id
    );
    RETURN NEXT;
END
$$;
REVOKE ALL ON FUNCTION public.needs_of_data_key(bigint) FROM PUBLIC;

-- The generation that is active, the one that the table's constraint names, and how many rows have tokens of another one than
-- the active: of all rows, or of the pages of each partition that a sample reads, 64 or so.
CREATE FUNCTION public.token_generations(
    every_row boolean, OUT active smallint, OUT held smallint, OUT others bigint, OUT rows_read bigint
)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    place record;
BEGIN
    active := (
        SELECT k.generation FROM public.data_keys AS k WHERE k.purpose = 'token' AND k.state = 'active' LIMIT 1
    );
    held := (
        SELECT substring(pg_get_constraintdef(c.oid) FROM ' = ([0-9]+)')::smallint FROM pg_constraint AS c
        WHERE c.conrelid = 'public.user_logins'::regclass AND c.conname = 'tokens_of_one_generation'
    );
    others := 0;
    rows_read := 0;
    FOR place IN
        SELECT r.partition, pg_relation_size(format('public.%I', r.partition)::regclass) / 8192 AS pages, 0::bigint AS bad,
            0::bigint AS rows
        FROM public.partition_ranges() AS r
    LOOP
        EXECUTE format(
            'SELECT count(*) FILTER (WHERE token_generation <> $1), count(*) FROM public.%I TABLESAMPLE SYSTEM (%s)',
            place.partition, CASE WHEN every_row THEN 100 ELSE least(100, 6400.0 / greatest(place.pages, 1)) END
        ) INTO place.bad, place.rows USING active;
        others := others + place.bad;
        rows_read := rows_read + place.rows;
    END LOOP;
END
$$;
REVOKE ALL ON FUNCTION public.token_generations(boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.token_generations(boolean) TO vault_etl_audit, vault_etl_rotate, vault_etl_re_encrypt;

-- How many rows have tokens of a generation, how many have them as their next ones, and how many rows of closed months
-- have them. By the counts that are kept, which do not tell the first two apart: the table's constraint does. `counted` from all
-- rows, or where that constraint lets rows have them.
CREATE FUNCTION public.needs_of_generation(generation smallint, counted boolean)
RETURNS TABLE (tokens bigint, next_tokens bigint, closed bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    place regclass;
BEGIN
    closed := (
        SELECT coalesce(sum(d.held), 0)::bigint FROM public.detached_values AS d
        WHERE d.field = 'token' AND d.id = needs_of_generation.generation
    );
    IF NOT counted AND EXISTS (
        SELECT FROM pg_constraint AS c
        WHERE c.conrelid = 'public.user_logins'::regclass AND c.conname = 'tokens_of_one_generation'
            AND substring(pg_get_constraintdef(c.oid) FROM ' = ([0-9]+)')::smallint <> needs_of_generation.generation
    ) THEN
        tokens := 0;
        next_tokens := (
            SELECT greatest(0, coalesce(sum(v.held), 0))::bigint FROM public.value_counts AS v
            WHERE v.field = 'token' AND v.id = needs_of_generation.generation
        );
    ELSE
        tokens := 0;
        next_tokens := 0;
        FOR place IN SELECT public.counted_tables() LOOP
            EXECUTE format(
                'SELECT $2 + count(*) FILTER (WHERE token_generation = $1),'
                ' $3 + count(*) FILTER (WHERE next_token_generation = $1) FROM %s', place
            ) INTO tokens, next_tokens USING generation, tokens, next_tokens;
        END LOOP;
    END IF;
    RETURN NEXT;
END
$$;
REVOKE ALL ON FUNCTION public.needs_of_generation(smallint, boolean) FROM PUBLIC;

-- Takes the tokens of a generation that is not in use out of next_*: of a page of rows behind `after`. How many
-- of them had some, and the last of the page; NULL if there is no page left. Behind the fence, as a writer is: so a page is
-- rows that are looked at, and not rows that are found, which could be as far apart as the table is long.
CREATE FUNCTION public.clear_old_tokens(generation smallint, after uuid, page integer)
RETURNS TABLE (cleared bigint, last uuid)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s' AS $$
DECLARE
    ids uuid[];
BEGIN
    LOCK TABLE public.key_fence IN ROW EXCLUSIVE MODE;
    IF NOT EXISTS (
        SELECT FROM public.data_keys AS k
        WHERE k.purpose = 'token' AND k.generation = clear_old_tokens.generation
            AND k.state IN ('active', 'pending')
    ) THEN
        SELECT array_agg(p.record_id) FILTER (WHERE p.next_token_generation = clear_old_tokens.generation),
            (array_agg(p.record_id))[count(*)]
        INTO ids, last
        FROM (
            SELECT l.record_id, l.next_token_generation FROM public.user_logins AS l
            -- One condition of the index, in whatever plan is kept for the next page.
            WHERE l.record_id >= coalesce(after, '00000000-0000-0000-0000-000000000000')
                AND (l.record_id = after) IS NOT TRUE
            ORDER BY l.record_id LIMIT least(page, 5000)
        ) AS p;
    END IF;
    UPDATE public.user_logins AS r
    SET next_masked_ip = NULL, next_masked_device_id = NULL, next_token_generation = NULL
    WHERE r.record_id = ANY (ids) AND r.record_id BETWEEN ids[1] AND ids[cardinality(ids)]
        AND r.next_token_generation = clear_old_tokens.generation;  -- a row that was changed meanwhile stays
    GET DIAGNOSTICS cleared = ROW_COUNT;
    RETURN NEXT;
END
$$;
REVOKE ALL ON FUNCTION public.clear_old_tokens(smallint, uuid, integer) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION
    public.needs_of_data_key(bigint), public.needs_of_generation(smallint, boolean),
    public.clear_old_tokens(smallint, uuid, integer)
    TO vault_etl_rotate, vault_etl_re_encrypt;
