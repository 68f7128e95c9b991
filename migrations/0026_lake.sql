-- Sets: how `vault-etl lake` registers, replaces and lists them, and archives of months beside them.

SET LOCAL ROLE vault_etl_owner;

CREATE FUNCTION vault_etl.lake_count(event text, first uuid, set_id uuid, counts jsonb) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
BEGIN
    IF jsonb_array_length(counts) > 100000 THEN  -- each key is looked up while the end of a key waits
        RAISE EXCEPTION 'too many counts at once' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF EXISTS (
        SELECT FROM jsonb_to_recordset(counts) AS c (field text, id bigint, held bigint)
        WHERE (c.held > 0 AND CASE
            WHEN c.field <> 'token' THEN c.id IN (
                SELECT d.id FROM vault_etl.detached_values AS d
                WHERE (d.set_id = set_id OR d.event = event AND d.first = first) AND d.field NOT IN ('token', 'next_token')
            ) OR EXISTS (
                SELECT FROM vault_etl.data_keys AS k
                WHERE k.key_id = c.id AND k.purpose = 'data' AND k.field = c.field AND k.state <> 'destroyed'
            )
            ELSE c.id IN (
                SELECT d.id FROM vault_etl.detached_values AS d
                WHERE (d.set_id = set_id OR d.event = event AND d.first = first) AND d.field IN ('token', 'next_token')
                UNION ALL
                SELECT k.generation FROM vault_etl.data_keys AS k WHERE k.purpose = 'token' AND k.state <> 'destroyed'
            )
        END) IS NOT TRUE
    ) THEN
        RAISE EXCEPTION 'a key of these values is destroyed or missing' USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    DELETE FROM vault_etl.detached_values AS d WHERE d.set_id = set_id OR d.event = event AND d.first = first;
    INSERT INTO vault_etl.detached_values (event, first, set_id, field, id, month, held)
    SELECT event, first, set_id, c.field, c.id, vault_etl.month_of(first), sum(c.held)
    FROM jsonb_to_recordset(counts) AS c (field text, id bigint, held bigint) GROUP BY c.field, c.id;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.lake_count(text, uuid, uuid, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.lake_count(text, uuid, uuid, jsonb) IS
    'Replaces the counts of a set, or of the archive of a month, by these objects with field, id and held: how many values '
    'need each data key, and how many rows each generation (`token`). Called behind the fence. Raises 55000 if a key '
    'that was not needed before is destroyed or missing.';

CREATE FUNCTION vault_etl.lake_begin(event text, location text, declaration bytea) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s' AS $$
DECLARE
    there vault_etl.lake_sets;
BEGIN
    PERFORM vault_etl.ensure_short_transaction();
    PERFORM vault_etl.ensure_declared(declaration);
    -- Commands of other roles print it, and open what is there.
    IF (location ~ '^(/|s3://)[^/]' AND location !~ '/$' AND vault_etl.audit_is_text(location, 300)) IS NOT TRUE
        OR NOT EXISTS (SELECT FROM vault_etl.event_tables() AS e WHERE e.event = lake_begin.event)
    THEN
        RAISE EXCEPTION 'this is no place of a set of an event' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF EXISTS (SELECT FROM vault_etl.closed_months AS m WHERE m.archive = location) THEN
        RETURN NULL;
    END IF;
    INSERT INTO vault_etl.lake_sets AS s (event, location) VALUES (lake_begin.event, lake_begin.location)
    ON CONFLICT ON CONSTRAINT lake_sets_location_key DO NOTHING;
    SELECT s.* INTO STRICT there FROM vault_etl.lake_sets AS s WHERE s.location = lake_begin.location;
    RETURN CASE WHEN there.manifest_sha256 IS NULL AND there.event = lake_begin.event THEN there.set_id END;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.lake_begin(text, text, bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault_etl.lake_begin(text, text, bytea) TO vault_etl_ingest;
COMMENT ON FUNCTION vault_etl.lake_begin(text, text, bytea) IS
    'Registers a set that is to be written at a place, and returns its id; of a set that is not finished the id that it '
    'has. Returns NULL if a finished set, one of another event, or an archive is at this place.';

CREATE FUNCTION vault_etl.lake_record(set_id uuid, manifest_sha256 bytea, rows bigint, counts jsonb) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s' AS $$
DECLARE
    there vault_etl.lake_sets;
BEGIN
    PERFORM vault_etl.ensure_short_transaction();
    LOCK TABLE vault_etl.key_fence IN ROW EXCLUSIVE MODE;
    SELECT s.* INTO there FROM vault_etl.lake_sets AS s WHERE s.set_id = lake_record.set_id FOR UPDATE;
    IF there.manifest_sha256 = lake_record.manifest_sha256 THEN
        RETURN false;
    END IF;
    IF there.set_id IS NULL OR there.manifest_sha256 IS NOT NULL THEN
        RAISE EXCEPTION 'no such set is being written' USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    PERFORM vault_etl.lake_count(there.event, NULL::uuid, there.set_id, counts);
    UPDATE vault_etl.lake_sets AS s
    SET manifest_sha256 = lake_record.manifest_sha256, rows = lake_record.rows, recorded_at = clock_timestamp()
    WHERE s.set_id = there.set_id;
    RETURN true;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.lake_record(uuid, bytea, bigint, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault_etl.lake_record(uuid, bytea, bigint, jsonb) TO vault_etl_ingest;
COMMENT ON FUNCTION vault_etl.lake_record(uuid, bytea, bigint, jsonb) IS
    'Records how far a set is written, or with the SHA-256 of its manifest that it is finished; its keys are needed from '
    'here on. Returns false if it was finished with this manifest before. Raises 55000 for a set that is finished, and '
    'if a key of its values is destroyed or missing.';

CREATE FUNCTION vault_etl.lake_replace(
    set_id uuid, old_sha256 bytea, new_sha256 bytea, version integer, counts jsonb, OUT event text, OUT first uuid
)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s' AS $$
BEGIN
    LOCK TABLE vault_etl.key_fence IN ROW EXCLUSIVE MODE;
    LOCK TABLE vault_etl.closed_months IN ROW EXCLUSIVE MODE;  -- this waits for an erasure under way
    UPDATE vault_etl.lake_sets AS s
    SET manifest_sha256 = new_sha256, version = lake_replace.version, recorded_at = clock_timestamp()
    WHERE s.set_id = lake_replace.set_id AND s.manifest_sha256 = old_sha256
        AND (lake_replace.version > s.version OR lake_replace.version = s.version AND new_sha256 = old_sha256)
    RETURNING s.event INTO event;
    IF FOUND THEN
        PERFORM vault_etl.lake_count(event, NULL::uuid, lake_replace.set_id, counts);
        RETURN;
    END IF;
    UPDATE vault_etl.closed_months AS m SET archive_sha256 = new_sha256, archived_at = clock_timestamp()
    WHERE m.archive_sha256 = old_sha256 AND vault_etl.partition_table(m.partition) IS NULL
    RETURNING m.event, m.first INTO event, first;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the record names another manifest of this set' USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    PERFORM vault_etl.lake_count(event, first, NULL::uuid, counts);
END
$$;
REVOKE ALL ON FUNCTION vault_etl.lake_replace(uuid, bytea, bytea, integer, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.lake_replace(uuid, bytea, bytea, integer, jsonb) IS
    'Puts a manifest in the place of another one, of a set or of the archive of a month without a table, and returns the '
    'event, and the first id of the month. Raises 55000 if another manifest is on the record.';

CREATE FUNCTION vault_etl.lake_rotated(
    request_id uuid, actor text, host text, fields text[], purpose text, ticket text,
    set_id uuid, old_sha256 bytea, new_sha256 bytea, version integer, counts jsonb
) RETURNS TABLE (seq bigint, hash bytea)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s' AS $$
DECLARE
    outcome vault_etl.audit_log;
BEGIN
    PERFORM vault_etl.ensure_short_transaction();
    PERFORM vault_etl.lake_replace(set_id, old_sha256, new_sha256, version, counts);
    outcome := vault_etl.audit_write(
        request_id, 'outcome', actor, host, 'lake rotate', set_id, fields, purpose, ticket,
        format('version %s: manifest %s became %s', version, encode(old_sha256, 'hex'), encode(new_sha256, 'hex')),
        'done', NULL
    );
    RETURN QUERY SELECT outcome.seq, outcome.hash;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.lake_rotated(
    uuid, text, text, text[], text, text, uuid, bytea, bytea, integer, jsonb
) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault_etl.lake_rotated(
    uuid, text, text, text[], text, text, uuid, bytea, bytea, integer, jsonb
) TO vault_etl_re_encrypt;
COMMENT ON FUNCTION vault_etl.lake_rotated(
    uuid, text, text, text[], text, text, uuid, bytea, bytea, integer, jsonb
) IS
    'Records the new manifest of a set that was rotated, and the outcome of the intent of this login to do so: all or '
    'nothing.';

CREATE FUNCTION vault_etl.lake_erased(
    request_id uuid, actor text, host text, ticket text, reason text, set_id uuid, old_sha256 bytea, new_sha256 bytea,
    version integer, counts jsonb, erasures bigint[], rows bigint
) RETURNS TABLE (seq bigint, hash bytea, erased_at timestamptz)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s' AS $$
DECLARE
    fields text[] := ARRAY[{{ fields | map(attribute="name.raw") | sort | map("literal") | join(", ") }}];
    place record;
    ended bigint;
    outcome vault_etl.audit_log;
BEGIN
    PERFORM vault_etl.ensure_short_transaction();
    place := vault_etl.lake_replace(set_id, old_sha256, new_sha256, version, counts);
    DELETE FROM vault_etl.archived_erasures AS e
    WHERE e.erasure_id = ANY (erasures) AND CASE
        WHEN place.first IS NULL THEN e.set_id = lake_erased.set_id
        ELSE e.event = place.event AND e.first = place.first
    END;
    GET DIAGNOSTICS ended = ROW_COUNT;
    PERFORM vault_etl.audit_write(
        request_id, 'intent', actor, host, 'lake erase', set_id, fields, NULL, ticket, reason, 'allowed', NULL
    );
    outcome := vault_etl.audit_write(
        request_id, 'outcome', actor, host, 'lake erase', set_id, fields, NULL, ticket,
        format(
            'erased rows: %s, erasures that waited: %s, version %s: manifest %s became %s', rows, ended, version,
            encode(old_sha256, 'hex'), encode(new_sha256, 'hex')
        ),
        'done', NULL
    );
    RETURN QUERY SELECT outcome.seq, outcome.hash, outcome.logged_at;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.lake_erased(
    uuid, text, text, text, text, uuid, bytea, bytea, integer, jsonb, bigint[], bigint
) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault_etl.lake_erased(
    uuid, text, text, text, text, uuid, bytea, bytea, integer, jsonb, bigint[], bigint
) TO vault_etl_erase;
COMMENT ON FUNCTION vault_etl.lake_erased(
    uuid, text, text, text, text, uuid, bytea, bytea, integer, jsonb, bigint[], bigint
) IS
    'Records the new manifest of a set that rows were erased in, ends the erasures that it waited for, and writes two '
    'entries: all or nothing. Without a row of the user the manifest stays the same.';

CREATE FUNCTION vault_etl.lake_pending(set_id uuid, manifest_sha256 bytea)
RETURNS TABLE (erasure_id bigint, record_id uuid, user_id text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT e.erasure_id, e.record_id, e.user_id FROM vault_etl.archived_erasures AS e
    WHERE e.set_id = $1 OR EXISTS (
        SELECT FROM vault_etl.closed_months AS m
        WHERE m.event = e.event AND m.first = e.first AND m.archive_sha256 = $2
    )
    ORDER BY e.erasure_id
$$;
REVOKE ALL ON FUNCTION vault_etl.lake_pending(uuid, bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault_etl.lake_pending(uuid, bytea) TO vault_etl_erase;
COMMENT ON FUNCTION vault_etl.lake_pending(uuid, bytea) IS
    'Returns the erasures that a set, or the archive of a month with this manifest, lacks.';

CREATE FUNCTION vault_etl.lake_list() RETURNS TABLE (
    set_id uuid, event text, partition text, location text, manifest_sha256 bytea, version integer, rows bigint,
    made_at timestamptz, recorded_at timestamptz, erasures bigint, alone boolean
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT s.set_id, s.event, NULL, s.location, s.manifest_sha256, s.version, s.rows, s.made_at, s.recorded_at,
        (SELECT count(*) FROM vault_etl.archived_erasures AS e WHERE e.set_id = s.set_id), true
    FROM vault_etl.lake_sets AS s
    UNION ALL
    SELECT NULL, m.event, m.partition, m.archive, m.archive_sha256, NULL, NULL, m.closed_at, m.archived_at,
        (SELECT count(*) FROM vault_etl.archived_erasures AS e WHERE e.event = m.event AND e.first = m.first),
        vault_etl.partition_table(m.partition) IS NULL
    FROM vault_etl.closed_months AS m
    WHERE m.archive IS NOT NULL AND EXISTS (
        SELECT FROM unnest(ARRAY[
            'vault_etl_reveal', 'vault_etl_re_encrypt', 'vault_etl_erase', 'vault_etl_audit', 'vault_etl_owner'
        ]) AS role
        WHERE pg_has_role(session_user, role::name, 'USAGE, SET')
    )
    ORDER BY 2, 3, 4
$$;
REVOKE ALL ON FUNCTION vault_etl.lake_list() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault_etl.lake_list()
    TO vault_etl_ingest, vault_etl_reveal, vault_etl_re_encrypt, vault_etl_erase, vault_etl_audit;
COMMENT ON FUNCTION vault_etl.lake_list() IS
    'Returns the sets, and the archives of months, which have no set_id here: the place of an archive is not for a login '
    'that only ingests. `erasures` are those that it lacks. `alone`: no table holds the rows too.';

CREATE FUNCTION vault_etl.lake_drop(set_id uuid) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s' AS $$
DECLARE
    place text;
BEGIN
    DELETE FROM vault_etl.lake_sets AS s WHERE s.set_id = lake_drop.set_id RETURNING s.location INTO place;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such set is on the record' USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    RETURN place;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.lake_drop(uuid) FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.lake_drop(uuid) IS
    'Takes a set, whose files were deleted, off the record, with its counts and erasures. Returns its place.';
