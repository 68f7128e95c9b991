-- Rotations that are under way, and their ranges of rows, which workers claim on the record.

SET LOCAL ROLE vault_etl_owner;

CREATE TABLE vault_etl.key_rotations (
    purpose text NOT NULL CHECK (purpose IN ('data', 'token', 'month')),
    rotation_id uuid PRIMARY KEY,
    fields text[] NOT NULL CHECK (
        fields <@ ARRAY[{{ (fields|map(attribute='name.raw')|list + ['quarantine'])|sort|map('literal')|join(', ') }}] AND coalesce(array_ndims(fields), 0) = 1
    ),
    old_keys bigint[] NOT NULL CHECK (coalesce(array_ndims(old_keys), 1) = 1),
    began_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    event text,
    month uuid,
    FOREIGN KEY (event, month) REFERENCES vault_etl.closed_months ON DELETE CASCADE,
    CONSTRAINT months_have_one CHECK (num_nonnulls(event, month) = CASE purpose WHEN 'month' THEN 2 ELSE 0 END),
    CONSTRAINT tokens_are_of_all_fields CHECK (
        purpose = 'data' OR fields @> ARRAY[{{ fields|map(attribute='name.raw')|sort|map('literal')|join(', ') }}] AND cardinality(fields) = {{ fields|length }}
    ),
    CONSTRAINT one_of_each UNIQUE NULLS NOT DISTINCT (purpose, event, month)
);
COMMENT ON TABLE vault_etl.key_rotations IS
    'Rotations that are under way: at most one of the data keys, one of the token keys, and one of each '
    'detached month.';
COMMENT ON COLUMN vault_etl.key_rotations.month IS
    'Of a detached month, whose rows get tokens of the active generation.';
COMMENT ON CONSTRAINT tokens_are_of_all_fields ON vault_etl.key_rotations IS
    'The tokens of a generation are made for all fields at once.';
GRANT SELECT ON vault_etl.key_rotations TO vault_etl_rotate, vault_etl_audit;
GRANT SELECT, INSERT (purpose, rotation_id, fields, old_keys, event, month), DELETE ON vault_etl.key_rotations TO vault_etl_re_encrypt;

CREATE TABLE vault_etl.rotation_ranges (
    rotation_id uuid NOT NULL REFERENCES vault_etl.key_rotations (rotation_id) ON DELETE CASCADE,
    place text NOT NULL CHECK (place IN ({{ events|map(attribute='name')|map('literal')|join(', ') }}, 'quarantine')),
    first uuid NOT NULL,
    last uuid NOT NULL,
    after uuid,
    done boolean NOT NULL DEFAULT false,
    claim uuid UNIQUE,
    claimed_until timestamptz,
    claimed_after uuid,
    PRIMARY KEY (rotation_id, place, first)
);
COMMENT ON TABLE vault_etl.rotation_ranges IS 'Which rows a rotation goes through. One worker works on a range.';
COMMENT ON COLUMN vault_etl.rotation_ranges.after IS 'Every row up to this one is done. The client may change it.';
COMMENT ON COLUMN vault_etl.rotation_ranges.claim IS
    'The request id of the entry that says who opens the values of the range.';
COMMENT ON COLUMN vault_etl.rotation_ranges.claimed_after IS
    'The row after which that entry says that the range is opened. Unlike `after`, the client cannot change it.';
GRANT SELECT, INSERT (rotation_id, place, first, last), UPDATE (after, done)
    ON vault_etl.rotation_ranges TO vault_etl_re_encrypt;

CREATE FUNCTION vault_etl.rotation_claim(rotation_id uuid, claim uuid, request_id uuid)
RETURNS TABLE (place text, first uuid, last uuid, after uuid)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s' AS $$
DECLARE
    run vault_etl.audit_log;
    rotation vault_etl.key_rotations;
    held vault_etl.rotation_ranges;
BEGIN
    PERFORM vault_etl.ensure_short_transaction();
    -- The lock is held until the entry is committed. Otherwise a rotation of other rows could get the same id.
    SELECT k.* INTO rotation FROM vault_etl.key_rotations AS k WHERE k.rotation_id = rotation_claim.rotation_id
    FOR KEY SHARE;
    SELECT l.* INTO run FROM vault_etl.audit_log AS l
    WHERE l.request_id = rotation_claim.request_id AND l.phase = 'intent' AND l.decision = 'allowed'
        AND l.action = CASE WHEN rotation.month IS NULL THEN 'keys rotate' ELSE 'partitions retoken' END
        AND l.login = session_user
        AND NOT EXISTS (
            SELECT FROM vault_etl.audit_log AS o WHERE o.request_id = rotation_claim.request_id AND o.phase = 'outcome'
        );
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no rotation of this login has begun under this request'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    -- Two statements. In one, the planner may put the choice on the inner side of a join and make it again for each
    -- row of the outer side: it would skip the range that it has just claimed, and claim another one too.
    SELECT r.* INTO held FROM vault_etl.rotation_ranges AS r
    WHERE r.rotation_id = rotation.rotation_id AND NOT r.done
        AND (r.claimed_until IS NULL OR r.claimed_until < clock_timestamp())
    ORDER BY r.place, r.first LIMIT 1 FOR UPDATE SKIP LOCKED;
    IF FOUND THEN
        UPDATE vault_etl.rotation_ranges AS r
        SET claim = rotation_claim.claim, claimed_until = clock_timestamp() + interval '10 s', claimed_after = held.after
        WHERE r.rotation_id = held.rotation_id AND r.place = held.place AND r.first = held.first;
        PERFORM vault_etl.audit_write(
            claim, 'intent', run.actor, run.host, 'keys range', NULL::uuid,
            CASE held.place
                WHEN 'quarantine' THEN ARRAY['quarantine']
--% for event in events
                WHEN {{ event.name|literal }} THEN ARRAY(
                    SELECT f FROM unnest(rotation.fields) AS f
                    WHERE f IN ({{ event.personal|map(attribute='field.raw')|unique|map('literal')|join(', ') }})
                )
--% endfor
            END,
            NULL, run.request_id::text,
            format(
                'rows of %s from %s to %s%s',
                coalesce((
                    SELECT m.partition FROM vault_etl.closed_months AS m
                    WHERE m.event = rotation.event AND m.first = rotation.month
                ), held.place),
                held.first, held.last, ', behind ' || held.after
            ),
            'allowed', NULL
        );
        RETURN QUERY SELECT held.place, held.first, held.last, held.after;
    END IF;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.rotation_claim(uuid, uuid, uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault_etl.rotation_claim(uuid, uuid, uuid) TO vault_etl_re_encrypt;
COMMENT ON FUNCTION vault_etl.rotation_claim(uuid, uuid, uuid) IS
    'Claims a range that is not done and that no other worker has worked on for 10 s, and writes who is about '
    'to open it, in one transaction. Returns no row if no range is free. `request_id` is of the run: its intent '
    'of keys rotate, or of partitions retoken for a detached month, is of this login and has no outcome yet. '
    '`claim` is new.';

CREATE FUNCTION vault_etl.rotation_move(claim uuid, after uuid, done boolean) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    UPDATE vault_etl.rotation_ranges AS r
    SET after = coalesce(rotation_move.after, r.after), done = rotation_move.done,
        claimed_until = CASE WHEN NOT rotation_move.done THEN clock_timestamp() + interval '10 s' END
    WHERE r.claim = rotation_move.claim
$$;
REVOKE ALL ON FUNCTION vault_etl.rotation_move(uuid, uuid, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault_etl.rotation_move(uuid, uuid, boolean) TO vault_etl_re_encrypt;
COMMENT ON FUNCTION vault_etl.rotation_move(uuid, uuid, boolean) IS
    'Moves a claimed range on, in the transaction that did a page of it, and keeps it for 10 s more. A range '
    'that another worker has claimed since is left as it is.';

CREATE FUNCTION vault_etl.rotation_free(claim uuid, rows bigint, key_ids bigint[]) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s' AS $$
DECLARE
    intent vault_etl.audit_log;
    was_done boolean;
    ids bigint[] := ARRAY(SELECT DISTINCT id FROM unnest(key_ids) AS id ORDER BY id);
    keys text := CASE
        WHEN cardinality(ids) = 0 THEN 'no data key'
        WHEN cardinality(ids) <= 32 THEN format('data keys %s', array_to_string(ids, ', '))
        ELSE format('%s data keys, SHA-256 %s', cardinality(ids), encode(sha256(
            convert_to(E'vault-etl/1/range-keys\n' || array_to_string(ids, E'\n') || E'\n', 'UTF8')
        ), 'hex'))
    END;
BEGIN
    PERFORM vault_etl.ensure_short_transaction();
    UPDATE vault_etl.rotation_ranges AS r SET claim = NULL, claimed_until = NULL, claimed_after = NULL
    WHERE r.claim = rotation_free.claim
    RETURNING r.done INTO was_done;
    SELECT l.* INTO intent FROM vault_etl.audit_log AS l
    WHERE l.request_id = claim AND l.phase = 'intent' AND l.action = 'keys range' AND l.login = session_user
        AND NOT EXISTS (SELECT FROM vault_etl.audit_log AS o WHERE o.request_id = claim AND o.phase = 'outcome');
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM vault_etl.audit_write(
        claim, 'outcome', intent.actor, intent.host, intent.action, NULL::uuid, intent.fields, NULL, intent.ticket,
        format('%s rows, under %s', rows, keys), CASE WHEN was_done THEN 'done' ELSE 'failed' END,
        CASE WHEN was_done THEN NULL WHEN was_done IS NULL THEN 'lapsed' ELSE 'freed' END
    );
    RETURN true;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.rotation_free(uuid, bigint, bigint[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault_etl.rotation_free(uuid, bigint, bigint[]) TO vault_etl_re_encrypt;
COMMENT ON FUNCTION vault_etl.rotation_free(uuid, bigint, bigint[]) IS
    'Frees a range, done or not; others go on with one that is not done at once. Writes the outcome, if the '
    'intent of the claim is of this login and has none yet: how many rows were read to be opened, and the data '
    'keys that they were under; of more than 32 keys the digest of their ids (docs/formats.md). Returns whether '
    'it wrote the outcome.';

CREATE FUNCTION vault_etl.clear_old_tokens(generation smallint, after uuid, page integer)
RETURNS TABLE (cleared bigint, last uuid)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s' AS $$
DECLARE
    ids uuid[];
    changed bigint;
BEGIN
    LOCK TABLE vault_etl.key_fence IN ROW EXCLUSIVE MODE;
    IF NOT EXISTS (
        SELECT FROM vault_etl.data_keys AS k
        WHERE k.purpose = 'token' AND k.generation = clear_old_tokens.generation
            AND k.state IN ('active', 'pending')
    ) THEN
        SELECT array_agg(p.record_id) FILTER (WHERE p.next_token_generation = clear_old_tokens.generation),
            (array_agg(p.record_id))[count(*)]
        INTO ids, last
        FROM (
            SELECT * FROM (
--% for event in events
                (
                    SELECT l.record_id, l.next_token_generation FROM vault_etl.{{ event.name }} AS l
                    -- One condition that the index serves in every plan that is kept for the next page.
                    WHERE l.record_id >= coalesce(after, '00000000-0000-0000-0000-000000000000')
                        AND (l.record_id = after) IS NOT TRUE
                    ORDER BY l.record_id LIMIT least(page, 5000)
                ){{ ' UNION ALL' if not loop.last }}
--% endfor
            ) AS of_events
            ORDER BY record_id LIMIT least(page, 5000)
        ) AS p;
    END IF;
    cleared := 0;
--% for event in events
    UPDATE vault_etl.{{ event.name }} AS r
    SET {{ event.next_tokens|join(' = NULL, ') }} = NULL, next_token_generation = NULL
    WHERE r.record_id = ANY (ids) AND r.record_id BETWEEN ids[1] AND ids[cardinality(ids)]
        AND r.next_token_generation = clear_old_tokens.generation;  -- a row that was changed meanwhile is left
    GET DIAGNOSTICS changed = ROW_COUNT;
    cleared := cleared + changed;
--% endfor
    RETURN NEXT;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.clear_old_tokens(smallint, uuid, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault_etl.clear_old_tokens(smallint, uuid, integer) TO vault_etl_rotate, vault_etl_re_encrypt;
COMMENT ON FUNCTION vault_etl.clear_old_tokens(smallint, uuid, integer) IS
    'Deletes the tokens of a generation that is not in use from next_…, in a page of rows after `after`. '
    'Returns how many rows had some, and the last row of the page; NULL if no page is left. It takes the fence '
    'as a writer does. So a page counts the rows that it reads, and not the rows that it finds, which could be '
    'as far apart as the table is long.';
