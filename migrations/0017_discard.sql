-- Discarding quarantined messages. The role erase has no right to a table, and executes these functions.

SET LOCAL ROLE vault_etl_owner;

CREATE FUNCTION vault_etl.quarantine_matching(
    record_ids uuid[], reason_code text, since timestamptz, until timestamptz, source text
) RETURNS TABLE (messages bigint, oldest timestamptz, newest timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan AS $$
BEGIN
    RETURN QUERY
        SELECT count(*), min(q.quarantined_at), max(q.quarantined_at)
        FROM vault_etl.quarantine AS q
        WHERE ($1 IS NULL OR q.record_id = ANY ($1)) AND q.body_ciphertext IS NOT NULL
            AND vault_etl.quarantine_matches(q.reason_code, q.quarantined_at, q.source_id, $2, $3, $4, $5);
END
$$;
REVOKE ALL ON FUNCTION vault_etl.quarantine_matching(uuid[], text, timestamptz, timestamptz, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault_etl.quarantine_matching(uuid[], text, timestamptz, timestamptz, text) TO vault_etl_erase;
COMMENT ON FUNCTION vault_etl.quarantine_matching(uuid[], text, timestamptz, timestamptz, text) IS
    'Returns how many quarantined messages match all arguments that are not NULL, and would be discarded. '
    'Leaves out a message whose body was erased: its row stays, so that the message conflicts with it when it '
    'comes again.';

CREATE FUNCTION vault_etl.quarantine_discard(
    request_id uuid, actor text, host text, ticket text, reason text,
    record_ids uuid[], reason_code text, since timestamptz, until timestamptz, source text
) RETURNS TABLE (messages bigint, newest timestamptz, seq bigint, hash bytea)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s' AS $$
DECLARE
    batch CONSTANT integer := 1000;
    chosen uuid[];
    oldest timestamptz;
    gone bigint := 0;
    the_one uuid;
    outcome vault_etl.audit_log;
BEGIN
    PERFORM vault_etl.ensure_short_transaction();
    IF num_nonnulls(record_ids, reason_code, since, until, source) = 0 THEN
        RAISE EXCEPTION 'a discard must name its messages' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    WHILE gone = 0 LOOP
        chosen := ARRAY(
            SELECT q.record_id FROM vault_etl.quarantine AS q
            WHERE ($6 IS NULL OR q.record_id = ANY ($6)) AND q.body_ciphertext IS NOT NULL
                AND vault_etl.quarantine_matches(q.reason_code, q.quarantined_at, q.source_id, $7, $8, $9, $10)
            ORDER BY q.quarantined_at LIMIT batch
        );
        IF chosen = '{}' THEN
            RETURN;
        END IF;
        -- Rows are locked in the order of their ids, as by a retry and a rotation. A message that a retry has moved
        -- meanwhile is gone, and one that was erased meanwhile stays.
        SELECT array_agg(l.record_id), count(*), min(l.quarantined_at), max(l.quarantined_at)
        INTO chosen, gone, oldest, newest FROM (
            SELECT q.record_id, q.quarantined_at FROM vault_etl.quarantine AS q
            WHERE q.record_id = ANY (chosen) AND q.body_ciphertext IS NOT NULL ORDER BY q.record_id FOR UPDATE
        ) AS l;
    END LOOP;
    -- Only locked rows: a message that came meanwhile under the id of another one stays.
    DELETE FROM vault_etl.quarantine AS q WHERE q.record_id = ANY (chosen);
    the_one := CASE WHEN gone = 1 THEN chosen[1] END;
    -- Entries come last, because the head of the log is locked from here to the commit.
    PERFORM vault_etl.audit_write(
        request_id, 'intent', actor, host, 'quarantine discard', the_one, ARRAY['quarantine'], NULL, ticket, reason,
        'allowed', NULL
    );
    outcome := vault_etl.audit_write(
        request_id, 'outcome', actor, host, 'quarantine discard', the_one, ARRAY['quarantine'], NULL, ticket,
        format(
            'discarded messages: %s, quarantined %s to %s, reason code: %s, source: %s', gone,
            to_char(oldest AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
            to_char(newest AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
            coalesce(reason_code, 'any'), coalesce(source, 'any')
        ), 'done', NULL
    );
    messages := gone;
    seq := outcome.seq;
    hash := outcome.hash;
    RETURN NEXT;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.quarantine_discard(
    uuid, text, text, text, text, uuid[], text, timestamptz, timestamptz, text
) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault_etl.quarantine_discard(
    uuid, text, text, text, text, uuid[], text, timestamptz, timestamptz, text
) TO vault_etl_erase;
COMMENT ON FUNCTION vault_etl.quarantine_discard(
    uuid, text, text, text, text, uuid[], text, timestamptz, timestamptz, text
) IS
    'Deletes a batch of matching messages, the oldest first, and writes two entries that say so: all or '
    'nothing. The next batch begins at `newest`. Returns no row, and writes no entry, if nothing matches.';
