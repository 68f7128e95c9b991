-- How many values need each key, counted as they are written (docs/adr/0040-values-are-counted-as-they-are-written.md).

SET LOCAL ROLE vault_etl_owner;

CREATE TABLE vault_etl.value_counts (
    field text NOT NULL CHECK (
        field IN ({{ fields | map(attribute="name") | map("literal") | join(", ") }}, 'quarantine', 'token')
    ),
    id bigint NOT NULL,
    month date NOT NULL,
    writer integer NOT NULL,
    held bigint NOT NULL,
    PRIMARY KEY (field, id, month, writer)
) WITH (fillfactor = 50);
COMMENT ON TABLE vault_etl.value_counts IS
    'How many values are sealed under each data key, and how many rows name each generation of tokens in either '
    'place, by the month of their record ids. Triggers keep it in the transaction that writes, whichever role '
    'that is. Each session has rows of its own, so that no session waits for another: only the sum over all '
    'writers is a count.';
COMMENT ON COLUMN vault_etl.value_counts.id IS 'A key id; of the field `token` a generation.';
COMMENT ON COLUMN vault_etl.value_counts.writer IS
    'The process id of the session. 0: the sum of sessions that have ended.';
-- A rotation reads what is left to do.
GRANT SELECT ON vault_etl.value_counts TO vault_etl_re_encrypt;

CREATE TABLE vault_etl.detached_values (
    event text NOT NULL,
    first uuid,
    field text NOT NULL,
    id bigint NOT NULL,
    month date,
    held bigint NOT NULL,
    set_id uuid REFERENCES vault_etl.lake_sets ON DELETE CASCADE,
    CONSTRAINT of_a_month_or_of_a_set CHECK (num_nonnulls(first, set_id) = 1 AND num_nonnulls(month, set_id) = 1),
    CONSTRAINT each_count_once UNIQUE NULLS NOT DISTINCT (event, first, set_id, field, id, month),
    FOREIGN KEY (event, first) REFERENCES vault_etl.closed_months ON DELETE CASCADE
);
COMMENT ON TABLE vault_etl.detached_values IS
    'The counts of months that are detached on the record, and of sets: a rotation does not see these values, and '
    'their keys are needed.';
CREATE INDEX detached_values_set_id ON vault_etl.detached_values (set_id);
COMMENT ON COLUMN vault_etl.detached_values.field IS
    'As in value_counts, and next_token for the generation beside the tokens in use: it comes back with the '
    'month, and its keys are not needed.';

--% for event in events
CREATE FUNCTION vault_etl.{{ event.name.plus("_counted") }}() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    -- Nearly all rows are of the month of any one of them, and two comparisons cost less than month_of.
    _month date := vault_etl.month_of((SELECT record_id FROM changed LIMIT 1));
    _first uuid := vault_etl.first_record_id(_month::timestamp AT TIME ZONE 'UTC');
    _until uuid := vault_etl.first_record_id((_month + interval '1 month') AT TIME ZONE 'UTC');
BEGIN
    INSERT INTO vault_etl.value_counts AS c (field, id, month, writer, held)
    SELECT v.field, v.id, kinds.month, pg_backend_pid(), TG_ARGV[0]::integer * sum(kinds.rows)
    FROM (
        SELECT
            --% for value in event.personal
            substring({{ value.ciphertext }} FOR 5) AS {{ value.name.plus("_head") }},
            --% endfor
            token_generation, next_token_generation,
            CASE WHEN record_id >= _first AND record_id < _until THEN _month ELSE vault_etl.month_of(record_id) END AS month,
            count(*) AS rows
        FROM changed GROUP BY {{ range(1, event.personal | length + 4) | join(", ") }}
    ) AS kinds, LATERAL (VALUES
        --% for value in event.personal
        ({{ value.field | literal }}, vault_etl.ciphertext_key_id(kinds.{{ value.name.plus("_head") }})),
        --% endfor
        ('token', kinds.token_generation), ('token', kinds.next_token_generation)
    ) AS v (field, id)
    WHERE v.id IS NOT NULL
    GROUP BY v.field, v.id, kinds.month
    ON CONFLICT (field, id, month, writer) DO UPDATE SET held = c.held + EXCLUDED.held;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.{{ event.name.plus("_counted") }}() FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.{{ event.name.plus("_counted") }}() IS
    'Adds the rows that a statement wrote to value_counts, or subtracts those that it replaced: the argument of '
    'the trigger is the sign.';
--% endfor
CREATE FUNCTION vault_etl.quarantine_counted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO vault_etl.value_counts AS c (field, id, month, writer, held)
    SELECT 'quarantine', vault_etl.ciphertext_key_id(body_ciphertext), vault_etl.month_of(record_id), pg_backend_pid(),
        TG_ARGV[0]::integer * count(*)
    FROM changed WHERE body_ciphertext IS NOT NULL
    GROUP BY 2, 3
    ON CONFLICT (field, id, month, writer) DO UPDATE SET held = c.held + EXCLUDED.held;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.quarantine_counted() FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.quarantine_counted() IS
    'Adds the bodies that a statement wrote to value_counts, or subtracts those that it replaced: the argument '
    'of the trigger is the sign.';
CREATE FUNCTION vault_etl.values_truncated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    --% if events | length == 1
    DELETE FROM vault_etl.value_counts AS c WHERE (c.field = 'quarantine') = (TG_TABLE_NAME = 'quarantine');
    --% else
    PERFORM vault_etl.recount_values();
    --% endif
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.values_truncated() FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.values_truncated() IS 'Deletes the counts of an emptied table.';

--% for event in events
CREATE TRIGGER counted_added AFTER INSERT ON vault_etl.{{ event.name }} REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION vault_etl.{{ event.name.plus("_counted") }}('1');
CREATE TRIGGER counted_removed AFTER DELETE ON vault_etl.{{ event.name }} REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION vault_etl.{{ event.name.plus("_counted") }}('-1');
CREATE TRIGGER counted_replacing AFTER UPDATE ON vault_etl.{{ event.name }} REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION vault_etl.{{ event.name.plus("_counted") }}('1');
CREATE TRIGGER counted_replaced AFTER UPDATE ON vault_etl.{{ event.name }} REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION vault_etl.{{ event.name.plus("_counted") }}('-1');
CREATE TRIGGER counted_none AFTER TRUNCATE ON vault_etl.{{ event.name }}
    FOR EACH STATEMENT EXECUTE FUNCTION vault_etl.values_truncated();
--% endfor
CREATE TRIGGER counted_added AFTER INSERT ON vault_etl.quarantine REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION vault_etl.quarantine_counted('1');
CREATE TRIGGER counted_removed AFTER DELETE ON vault_etl.quarantine REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION vault_etl.quarantine_counted('-1');
CREATE TRIGGER counted_replacing AFTER UPDATE ON vault_etl.quarantine REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION vault_etl.quarantine_counted('1');
CREATE TRIGGER counted_replaced AFTER UPDATE ON vault_etl.quarantine REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION vault_etl.quarantine_counted('-1');
CREATE TRIGGER counted_none AFTER TRUNCATE ON vault_etl.quarantine
    FOR EACH STATEMENT EXECUTE FUNCTION vault_etl.values_truncated();

CREATE FUNCTION vault_etl.counted_tables() RETURNS TABLE (event text, place regclass)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT e.event, e.place FROM vault_etl.event_tables() AS e
    UNION ALL
    SELECT e.event, c.oid::regclass
    FROM vault_etl.event_tables() AS e, pg_class AS c LEFT JOIN pg_inherits AS i ON i.inhrelid = c.oid
    WHERE c.relnamespace = 'vault_etl'::regnamespace AND c.relkind = 'r' AND (
        i.inhdetachpending AND i.inhparent = e.place
        OR i.inhrelid IS NULL AND (
            c.relname ~ format('^%s_[0-9]{4}_(0[1-9]|1[0-2])$', e.event)
            OR EXISTS (
                SELECT FROM vault_etl.closed_months AS m
                WHERE m.event = e.event AND m.partition = c.relname AND m.dropped_at IS NULL AND m.archive IS NULL
            )
        )
    )
$$;
REVOKE ALL ON FUNCTION vault_etl.counted_tables() FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.counted_tables() IS
    'Returns the tables whose rows value_counts counts: the tables of records, and those of months that a query '
    'of them does not read, because their detaching is under way, or they are not moved yet, or they were '
    'detached by hand.';

CREATE FUNCTION vault_etl.values_in(event text, place regclass)
RETURNS TABLE (field text, id bigint, month date, held bigint)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    --% for event in events
    IF event = {{ event.name | literal }} THEN
        RETURN QUERY EXECUTE format(
            $query$
            SELECT v.field, v.id, kinds.month, sum(kinds.rows)::bigint
            FROM (
                SELECT
                    --% for value in event.personal
                    substring({{ value.ciphertext }} FOR 5) AS {{ value.name.plus("_head") }},
                    --% endfor
                    token_generation, next_token_generation, vault_etl.month_of(record_id) AS month, count(*) AS rows
                FROM %s GROUP BY {{ range(1, event.personal | length + 4) | join(", ") }}
            ) AS kinds, LATERAL (VALUES
                --% for value in event.personal
                ({{ value.field | literal }}, vault_etl.ciphertext_key_id(kinds.{{ value.name.plus("_head") }})),
                --% endfor
                ('token', kinds.token_generation), ('next_token', kinds.next_token_generation)
            ) AS v (field, id)
            WHERE v.id IS NOT NULL GROUP BY v.field, v.id, kinds.month
            $query$, place
        );
    END IF;
    --% endfor
END
$$;
REVOKE ALL ON FUNCTION vault_etl.values_in(text, regclass) FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.values_in(text, regclass) IS
    'Counts how many values of a table of an event are sealed under each key, and how many rows have tokens of '
    'each generation, or have them as their next ones (next_token). Reads every row, once.';

CREATE FUNCTION vault_etl.values_counted() RETURNS TABLE (field text, id bigint, month date, held bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT found.field, found.id, found.month, sum(found.held)::bigint
    FROM (
        SELECT CASE v.field WHEN 'next_token' THEN 'token' ELSE v.field END AS field, v.id, v.month, v.held
        FROM vault_etl.counted_tables() AS t, LATERAL vault_etl.values_in(t.event, t.place) AS v
        UNION ALL
        SELECT 'quarantine', vault_etl.ciphertext_key_id(bodies.head), bodies.month, bodies.rows
        FROM (
            SELECT substring(q.body_ciphertext FOR 5) AS head, vault_etl.month_of(q.record_id) AS month, count(*) AS rows
            FROM vault_etl.quarantine AS q WHERE q.body_ciphertext IS NOT NULL GROUP BY 1, 2
        ) AS bodies
    ) AS found
    WHERE found.id IS NOT NULL
    GROUP BY found.field, found.id, found.month
$$;
REVOKE ALL ON FUNCTION vault_etl.values_counted() FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.values_counted() IS
    'Makes the counts of value_counts from the rows themselves. Reads all of them, once.';

CREATE FUNCTION vault_etl.values_miscounted()
RETURNS TABLE (field text, id bigint, month date, kept bigint, counted bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT field, id, month, sum(kept)::bigint, sum(counted)::bigint
    FROM (
        SELECT c.field, c.id, c.month, c.held AS kept, 0 AS counted FROM vault_etl.value_counts AS c
        UNION ALL
        SELECT v.field, v.id, v.month, 0, v.held FROM vault_etl.values_counted() AS v
    ) AS both_counts
    GROUP BY field, id, month HAVING sum(kept) <> sum(counted)
    ORDER BY field, id, month
$$;
REVOKE ALL ON FUNCTION vault_etl.values_miscounted() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault_etl.values_miscounted() TO vault_etl_audit, vault_etl_rotate, vault_etl_re_encrypt;
COMMENT ON FUNCTION vault_etl.values_miscounted() IS
    'Returns where value_counts differs from the rows. One statement, so one snapshot. Reads all rows, once.';

CREATE FUNCTION vault_etl.recount_values() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    mended bigint;
BEGIN
    INSERT INTO vault_etl.value_counts AS c (field, id, month, writer, held)
    SELECT m.field, m.id, m.month, pg_backend_pid(), m.counted - m.kept FROM vault_etl.values_miscounted() AS m
    ON CONFLICT (field, id, month, writer) DO UPDATE SET held = c.held + EXCLUDED.held;
    GET DIAGNOSTICS mended = ROW_COUNT;
    RETURN mended;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.recount_values() FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.recount_values() IS
    'Adds the differences to value_counts, after a month was attached, detached or written into by hand. '
    'Returns how many counts were wrong. No session waits: what is written meanwhile is in neither count.';

CREATE FUNCTION vault_etl.fold_value_counts() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    folded bigint;
BEGIN
    PERFORM vault_etl.ensure_short_transaction();
    PERFORM pg_stat_clear_snapshot();
    PERFORM FROM vault_etl.vault FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    WITH ended AS (
        DELETE FROM vault_etl.value_counts AS c
        WHERE c.writer <> 0 AND c.writer NOT IN (SELECT a.pid FROM pg_stat_activity AS a WHERE a.pid IS NOT NULL)
        RETURNING c.field, c.id, c.month, c.held
    ), summed AS (
        INSERT INTO vault_etl.value_counts AS c (field, id, month, writer, held)
        SELECT e.field, e.id, e.month, 0, sum(e.held) FROM ended AS e GROUP BY e.field, e.id, e.month
        ON CONFLICT (field, id, month, writer) DO UPDATE SET held = c.held + EXCLUDED.held
    )
    SELECT count(*) INTO folded FROM ended;
    DELETE FROM vault_etl.value_counts AS c WHERE c.writer = 0 AND c.held = 0;
    RETURN folded;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.fold_value_counts() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault_etl.fold_value_counts() TO vault_etl_ingest, vault_etl_re_encrypt;
COMMENT ON FUNCTION vault_etl.fold_value_counts() IS
    'Adds the counts of sessions that have ended into one row a key and month, of writer 0, and deletes those '
    'that come to 0. Otherwise each connection, which lives for half an hour, leaves a few rows for good. '
    'Returns how many rows it took. One session folds at a time, and no other session writes the rows of one '
    'that has ended, so no session waits for it. For that it reads the sessions of this moment, not a list that '
    'its transaction has kept. A new server process may have the number of one that has ended: it waits no '
    'longer than this takes, because no client holds these rows (0027_commits.sql).';
