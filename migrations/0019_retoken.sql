-- Tokens of the active generation for the rows of a detached month: `vault-etl partitions retoken`, for the role
-- re-encrypt, which has no right to the schema vault_etl_detached. It gets the rows of a range that it has claimed on the
-- record (rotation_claim), and no others.

SET LOCAL ROLE vault_etl_owner;

CREATE FUNCTION vault_etl.retoken_begin(event text, month uuid) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    found regclass := (
        SELECT to_regclass(format('vault_etl_detached.%I', m.partition)) FROM vault_etl.closed_months AS m
        WHERE m.event = retoken_begin.event AND m.first = retoken_begin.month
    );
BEGIN
    PERFORM vault_etl.ensure_short_transaction();
    IF EXISTS (
        SELECT FROM pg_constraint AS c WHERE c.conrelid = found AND c.conname = 'tokens_of_one_generation'
    ) THEN
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT tokens_of_one_generation', found);
    END IF;
    RETURN found IS NOT NULL;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.retoken_begin(text, uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault_etl.retoken_begin(text, uuid) TO vault_etl_re_encrypt;
COMMENT ON FUNCTION vault_etl.retoken_begin(text, uuid) IS
    'Lets the rows of a detached month have tokens of another generation: an attach that failed left the '
    'constraint of the generation that was active then. The next attach makes the constraint again, and '
    'PostgreSQL refuses the table without it. Returns whether the month has a table.';

CREATE FUNCTION vault_etl.retoken_generations(event text, month uuid) RETURNS TABLE (generation smallint, rows bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    name text := (
        SELECT m.partition FROM vault_etl.closed_months AS m
        WHERE m.event = retoken_generations.event AND m.first = retoken_generations.month
    );
BEGIN
    IF to_regclass(format('vault_etl_detached.%I', name)) IS NULL THEN
        RAISE EXCEPTION 'no such month is detached' USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    RETURN QUERY EXECUTE format(
        'SELECT token_generation, count(*) FROM vault_etl_detached.%I WHERE token_generation IS NOT NULL GROUP BY 1', name
    );
END
$$;
REVOKE ALL ON FUNCTION vault_etl.retoken_generations(text, uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault_etl.retoken_generations(text, uuid) TO vault_etl_re_encrypt;
COMMENT ON FUNCTION vault_etl.retoken_generations(text, uuid) IS
    'Returns how many rows of a detached month have tokens of each generation. Reads every row. Raises 55000 if '
    'the month is not detached.';

CREATE FUNCTION vault_etl.retoken_range(claim uuid) RETURNS TABLE (
    place text, month uuid, partition text, first uuid, last uuid, after uuid
)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM vault_etl.audit_log AS l
        WHERE l.request_id = claim AND l.phase = 'intent' AND l.action = 'keys range' AND l.login = session_user
            AND l.written_by IS DISTINCT FROM pg_current_xact_id_if_assigned()
            AND NOT EXISTS (SELECT FROM vault_etl.audit_log AS o WHERE o.request_id = claim AND o.phase = 'outcome')
    ) THEN
        RAISE EXCEPTION 'this login has no such claim of a range' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN QUERY
        SELECT r.place, m.first, m.partition, r.first, r.last, r.claimed_after
        FROM vault_etl.rotation_ranges AS r
        JOIN vault_etl.key_rotations AS k ON k.rotation_id = r.rotation_id
        JOIN vault_etl.closed_months AS m ON m.event = k.event AND m.first = k.month
        WHERE r.claim = retoken_range.claim AND r.place = m.event
            AND to_regclass(format('vault_etl_detached.%I', m.partition)) IS NOT NULL;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.retoken_range(uuid) FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.retoken_range(uuid) IS
    'Returns the range that is claimed by `claim`, as the entry of the claim says, and its month. No row if '
    'another worker has claimed it since, if it is not of the event of the month, or if the month is not detached any '
    'more. Raises 42501 unless the intent of the claim is of this login, is committed, and has no outcome yet.';
--% for event in events

CREATE FUNCTION vault_etl.{{ event.name.plus('_retoken_page') }}(
    _claim uuid, _after uuid, _most integer, _bytes bigint
) RETURNS TABLE (
    record_id uuid, _subject text, token_generation smallint,
--% for token in event.tokens
    {{ token }} uuid,
--% endfor
--% for column in event.ciphertexts
    {{ column }} bytea,
--% endfor
    _found bigint
)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    _place record;
BEGIN
    SELECT * INTO _place FROM vault_etl.retoken_range(_claim) AS r WHERE r.place = {{ event.name|literal }};
    IF NOT FOUND THEN
        RETURN;
    END IF;
    RETURN QUERY EXECUTE format(
        $query$
        SELECT record_id, {{ event.subject }}, token_generation, {{ event.tokens|join(', ') }},
            {{ event.ciphertexts|join(', ') }}, _found
        FROM (
            SELECT *, count(*) OVER () AS _found, sum(_bytes) OVER (ORDER BY record_id ROWS UNBOUNDED PRECEDING) AS _up_to_here
            FROM (
                SELECT *, octet_length({{ event.subject }})
--% for column in event.ciphertexts
                    + coalesce(octet_length({{ column }}), 0)
--% endfor
                    AS _bytes
                FROM (
                    SELECT record_id, {{ event.subject }}, token_generation, {{ event.tokens|join(', ') }},
                        {{ event.ciphertexts|join(', ') }}
                    FROM vault_etl_detached.%I
                    WHERE record_id >= $1 AND record_id <= $2 AND ($3 IS NULL OR record_id > $3)
                    ORDER BY record_id OFFSET 0
                ) AS in_order
                WHERE token_generation <> (
                    SELECT k.generation FROM vault_etl.data_keys AS k
                    WHERE k.purpose = 'token' AND k.state = 'active' LIMIT 1
                )
                ORDER BY record_id LIMIT $4
            ) AS page
        ) AS sized
        WHERE _up_to_here <= $5 OR _up_to_here = _bytes
        ORDER BY record_id
        $query$, _place.partition
    ) USING _place.first, _place.last, greatest(_place.after, _after), _most, _bytes;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.{{ event.name.plus('_retoken_page') }}(uuid, uuid, integer, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault_etl.{{ event.name.plus('_retoken_page') }}(uuid, uuid, integer, bigint) TO vault_etl_re_encrypt;
COMMENT ON FUNCTION vault_etl.{{ event.name.plus('_retoken_page') }}(uuid, uuid, integer, bigint) IS
    'Returns the next rows of a claimed range after `_after` whose tokens are not of the active generation. A '
    'page ends as in the re-encryption of records: at `_most` rows or `_bytes` bytes, and has one row at least. '
    '`_found` is how many rows `_most` let pass.';

CREATE FUNCTION vault_etl.{{ event.name.plus('_retoken_fill') }}(
    claim uuid, generation smallint, record_ids uuid[], generations smallint[],
--% for token in event.tokens
    old_{{ token.raw }} uuid[],
--% endfor
--% for column in event.ciphertexts
    old_{{ column.raw }} bytea[],
--% endfor
--% for token in event.tokens
    new_{{ token.raw }} uuid[]{{ ',' if not loop.last }}
--% endfor
) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s' AS $$
DECLARE
    place record;
    filled bigint := 0;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'rows are written in READ COMMITTED' USING ERRCODE = 'insufficient_privilege';
    END IF;
    LOCK TABLE vault_etl.key_fence IN ROW EXCLUSIVE MODE;
    IF NOT EXISTS (
        SELECT FROM vault_etl.data_keys AS k
        WHERE k.purpose = 'token' AND k.state = 'active' AND k.generation = {{ event.name.plus('_retoken_fill') }}.generation
    ) THEN
        RETURN NULL;
    END IF;
    SELECT * INTO place FROM vault_etl.retoken_range(claim) AS r WHERE r.place = {{ event.name|literal }};
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    EXECUTE format(
        $query$
        WITH wanted AS (
            SELECT * FROM unnest(
                $6, $7
--% for _ in event.tokens + event.ciphertexts + event.tokens
                , ${{ loop.index + 7 }}
--% endfor
            ) AS w (
                record_id, generation,
--% for column in event.tokens + event.ciphertexts
                old_{{ column.raw }},
--% endfor
--% for token in event.tokens
                new_{{ token.raw }}{{ ',' if not loop.last }}
--% endfor
            )
            WHERE w.record_id BETWEEN $3 AND $4 AND ($5 IS NULL OR w.record_id > $5)
        ), held AS MATERIALIZED (
            SELECT
                u.record_id, u.token_generation AS generation, u.next_token_generation AS next_generation,
--% for token in event.tokens
                w.new_{{ token.raw }}{{ ',' if not loop.last }}
--% endfor
            FROM vault_etl_detached.%1$I AS u JOIN wanted AS w ON w.record_id = u.record_id
            WHERE u.token_generation = w.generation AND u.token_generation <> $1
--% for column in event.tokens + event.ciphertexts
                AND u.{{ column }} IS NOT DISTINCT FROM w.old_{{ column.raw }}
--% endfor
            ORDER BY u.record_id FOR UPDATE OF u
        ), written AS (
            UPDATE vault_etl_detached.%1$I AS u SET
--% for token in event.tokens
                {{ token }} = held.new_{{ token.raw }},
--% endfor
--% for token in event.next_tokens
                {{ token }} = NULL,
--% endfor
                token_generation = $1, next_token_generation = NULL
            FROM held WHERE u.record_id = held.record_id
            RETURNING u.record_id, held.generation, held.next_generation
        ), counted AS (
            INSERT INTO vault_etl.detached_values AS d (event, first, field, id, month, held)
            SELECT {{ event.name|literal }}, $2, v.field, v.id, vault_etl.month_of(written.record_id) AS month, sum(v.sign)
            FROM written, LATERAL (VALUES
                ('token', written.generation, -1), ('next_token', written.next_generation, -1), ('token', $1, 1)
            ) AS v (field, id, sign)
            WHERE v.id IS NOT NULL GROUP BY 3, 4, 5 ORDER BY 3, 4, 5
            ON CONFLICT ON CONSTRAINT each_count_once DO UPDATE SET held = d.held + EXCLUDED.held
        )
        SELECT count(*) FROM written
        $query$, place.partition
    ) INTO filled USING generation, place.month, place.first, place.last, place.after, record_ids, generations,
--% for column in event.tokens + event.ciphertexts
        old_{{ column.raw }},
--% endfor
--% for token in event.tokens
        new_{{ token.raw }}{{ ',' if not loop.last else ';' }}
--% endfor
    RETURN filled;
-- The month was attached, archived or dropped while this waited for it.
EXCEPTION WHEN undefined_table THEN
    RETURN 0;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.{{ event.name.plus('_retoken_fill') }}(
    uuid, smallint, uuid[], smallint[]{{ ', uuid[]' * event.tokens|length }}{{ ', bytea[]' * event.ciphertexts|length }}{{ ', uuid[]' * event.tokens|length }}
) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault_etl.{{ event.name.plus('_retoken_fill') }}(
    uuid, smallint, uuid[], smallint[]{{ ', uuid[]' * event.tokens|length }}{{ ', bytea[]' * event.ciphertexts|length }}{{ ', uuid[]' * event.tokens|length }}
) TO vault_etl_re_encrypt;
COMMENT ON FUNCTION vault_etl.{{ event.name.plus('_retoken_fill') }}(
    uuid, smallint, uuid[], smallint[]{{ ', uuid[]' * event.tokens|length }}{{ ', bytea[]' * event.ciphertexts|length }}{{ ', uuid[]' * event.tokens|length }}
) IS
    'Gives rows of a claimed range their new tokens, and counts them: rows whose generation, tokens and '
    'ciphertexts are still what was read, so that an erasure in between wins. Returns how many; NULL if '
    '`generation` is not the active one. A row without new tokens is left out of the generation. All lists have '
    'one length.';
--% endfor
