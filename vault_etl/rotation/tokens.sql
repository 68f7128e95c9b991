-- A new generation of tokens, for the role re-encrypt. Pages end at %(limit)s rows or %(bytes)s bytes, as in reencrypt.sql.
--
-- A row that was left out names the pending generation, and has no token of it. After the cut-over it names the active
-- generation, without a token, and the next rotation skips it.
--
-- A page has the columns of `token_row`: id, subject, generation; then all tokens, all ciphertexts, all next tokens.
--% macro is_named(event)
token_generation IS NOT NULL
            AND num_nonnulls({{ event.tokens|join(', ') }}, {{ event.next_tokens|join(', ') }}) > 0
            AND (
                %(record_id)s::uuid IS NOT NULL
--% for column in event.ciphertexts
                OR vault_etl.ciphertext_key_id({{ column }}) IN (SELECT key_id FROM named_keys)
--% endfor
            )
--% endmacro
--% macro is_left_out(event)
(next_token_generation = %(pending)s AND num_nonnulls({{ event.next_tokens|join(', ') }}) = 0)
--% endmacro
--% macro is_missing(event)
num_nonnulls(
            {{ event.tokens|join(', ') }},
            {{ event.next_tokens|join(', ') }}, token_generation, next_token_generation
        ) > 0
        AND NOT (
            token_generation IS NOT DISTINCT FROM %(active)s
            AND next_token_generation IS NOT DISTINCT FROM %(pending)s
--% for p in event.personal
--% for token, next_token in p.token_pairs
            AND ({{ token }} IS NULL) = ({{ next_token }} IS NULL)
            AND ({{ token }} IS NULL) = ({{ p.ciphertext }} IS NULL)
--% endfor
--% endfor
        )
        AND NOT (
            num_nonnulls({{ event.next_tokens|join(', ') }}) = 0
            AND (next_token_generation IS NOT DISTINCT FROM %(pending)s OR num_nonnulls({{ event.tokens|join(', ') }}) = 0)
        )
--% endmacro
--% for event in events

-- name: page_{{ event.name.raw }}
SELECT record_id, _subject, token_generation, {{ event.tokens|join(', ') }},
    {{ event.ciphertexts|join(', ') }}, {{ event.next_tokens|join(', ') }}, _found
FROM (
    SELECT *, count(*) OVER () AS _found, sum(_bytes) OVER (ORDER BY record_id ROWS UNBOUNDED PRECEDING) AS _up_to_here
    FROM (
        SELECT *, octet_length(_subject)
--% for column in event.ciphertexts
            + coalesce(octet_length({{ column }}), 0)
--% endfor
            AS _bytes
        FROM (
            SELECT record_id, {{ event.subject }} AS _subject, {{ event.tokens|join(', ') }},
                {{ event.ciphertexts|join(', ') }}, {{ event.next_tokens|join(', ') }},
                token_generation, next_token_generation
            FROM vault_etl.{{ event.name }}
            WHERE record_id >= %(first)s AND record_id <= %(last)s
                AND (%(after)s::uuid IS NULL OR record_id > %(after)s::uuid)
            ORDER BY record_id OFFSET 0
        ) AS in_order
        WHERE token_generation = %(active)s AND next_token_generation IS DISTINCT FROM %(pending)s
            AND num_nonnulls({{ event.tokens|join(', ') }}) > 0
        ORDER BY record_id LIMIT %(limit)s
    ) AS page
) AS sized
WHERE _up_to_here <= %(bytes)s OR _up_to_here = _bytes
ORDER BY record_id

-- name: named_{{ event.name.raw }}
-- Without a record id: rows with a value under data keys that meet all criteria.
WITH named_keys AS MATERIALIZED (
    SELECT key_id FROM vault_etl.data_keys
    WHERE purpose = 'data' AND (%(key_id)s::bigint IS NULL OR key_id = %(key_id)s::bigint)
        AND (%(login)s::text IS NULL OR created_by = %(login)s::text)
        AND (%(since)s::timestamptz IS NULL OR expires_at >= %(since)s::timestamptz)
        AND (%(until)s::timestamptz IS NULL OR created_at <= %(until)s::timestamptz)
)
SELECT record_id, _subject, token_generation, {{ event.tokens|join(', ') }},
    {{ event.ciphertexts|join(', ') }}, {{ event.next_tokens|join(', ') }}, _found
FROM (
    SELECT *, count(*) OVER () AS _found, sum(_bytes) OVER (ORDER BY record_id ROWS UNBOUNDED PRECEDING) AS _up_to_here
    FROM (
        SELECT *, octet_length(_subject)
--% for column in event.ciphertexts
            + coalesce(octet_length({{ column }}), 0)
--% endfor
            AS _bytes
        FROM (
            SELECT record_id, {{ event.subject }} AS _subject, token_generation, {{ event.tokens|join(', ') }},
                {{ event.ciphertexts|join(', ') }}, {{ event.next_tokens|join(', ') }}
            FROM vault_etl.{{ event.name }}
            WHERE record_id >= coalesce(%(record_id)s::uuid, %(first)s) AND record_id <= coalesce(%(record_id)s::uuid, %(last)s)
                AND (%(after)s::uuid IS NULL OR record_id > %(after)s::uuid)
            ORDER BY record_id OFFSET 0
        ) AS in_order
        WHERE {{ is_named(event) }}
        ORDER BY record_id LIMIT %(limit)s
    ) AS page
) AS sized
WHERE _up_to_here <= %(bytes)s OR _up_to_here = _bytes
ORDER BY record_id

-- name: make_stage_{{ event.name.raw }}
CREATE TEMP TABLE IF NOT EXISTS stage_tokens_{{ event.name.raw }} (
    record_id uuid,
    token_generation smallint,
--% for token in event.tokens
    {{ token }} uuid,
--% endfor
--% for column in event.ciphertexts
    {{ column }} bytea STORAGE PLAIN,
--% endfor
--% for token in event.next_tokens
    {{ token }} uuid{{ ',' if not loop.last }}
--% endfor
) ON COMMIT DELETE ROWS

-- name: copy_stage_{{ event.name.raw }}
COPY pg_temp.stage_tokens_{{ event.name.raw }} (
    record_id, token_generation, {{ event.tokens|join(', ') }}, {{ event.ciphertexts|join(', ') }},
    {{ event.next_tokens|join(', ') }}
) FROM STDIN (FORMAT binary)

-- name: fill_{{ event.name.raw }}
-- Fills rows whose old tokens and ciphertexts are still what was read, so an erasure in between wins. A row without a next
-- token is left out.
UPDATE vault_etl.{{ event.name }} AS r SET
--% for token in event.next_tokens
    {{ token }} = made.{{ token }},
--% endfor
    next_token_generation = %(pending)s
FROM pg_temp.stage_tokens_{{ event.name.raw }} AS made
WHERE r.record_id = made.record_id AND r.record_id BETWEEN %(first)s AND %(last)s
    AND r.token_generation = made.token_generation
--% for column in event.tokens + event.ciphertexts
    AND r.{{ column }} IS NOT DISTINCT FROM made.{{ column }}
--% endfor

-- name: sample_{{ event.name.raw }}
SELECT r.* FROM unnest(%(starts)s::uuid[]) AS start (record_id),
    LATERAL (
        SELECT record_id, {{ event.subject }} AS _subject, token_generation, {{ event.tokens|join(', ') }},
            {{ event.ciphertexts|join(', ') }}, {{ event.next_tokens|join(', ') }}
        FROM vault_etl.{{ event.name }}
        WHERE record_id >= start.record_id
            AND token_generation = %(active)s AND next_token_generation = %(pending)s
        ORDER BY record_id LIMIT 1
    ) AS r
--% endfor
--% for each in tokens
--% for c in each.columns

-- name: unequal_{{ c.block }}
-- The rows whose token in this column, among all tokens that it joins, pairs with two tokens. Of these pairs, at least a third
-- are not the two tokens of one value. The sample is random, so a login that plants rows cannot choose which pairs are
-- compared.
WITH counted AS (
    SELECT old, new, count(*) OVER (PARTITION BY old) AS news, count(*) OVER (PARTITION BY new) AS olds
    FROM (
        SELECT DISTINCT old, new FROM (
--% for of in each.columns
            SELECT {{ of.token }} AS old, {{ of.next_token }} AS new FROM vault_etl.{{ of.event.name }}
            WHERE {{ of.token }} IS NOT NULL AND {{ of.next_token }} IS NOT NULL
            {{ 'UNION ALL' if not loop.last }}
--% endfor
        ) AS joined
    ) AS pairs
), drawn AS MATERIALIZED (
    SELECT old, new FROM counted WHERE news > 1 OR olds > 1 ORDER BY random() LIMIT %(pairs)s
)
SELECT r.* FROM drawn,
    LATERAL (
        SELECT record_id, {{ c.event.subject }} AS _subject, token_generation, {{ c.event.tokens|join(', ') }},
            {{ c.event.ciphertexts|join(', ') }}, {{ c.event.next_tokens|join(', ') }}
        FROM vault_etl.{{ c.event.name }} WHERE {{ c.token }} = drawn.old AND {{ c.next_token }} = drawn.new LIMIT 1
    ) AS r
--% endfor
--% endfor

-- name: freeze
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY
--% for each in tokens

-- name: map_{{ each.name.raw }}
-- A pair with a NULL counts as a pair and not as a token, so that the three numbers differ.
SELECT count(DISTINCT old), count(DISTINCT new), count(*)
FROM (
    SELECT old, new FROM (
--% for c in each.columns
        SELECT {{ c.token }} AS old, {{ c.next_token }} AS new FROM vault_etl.{{ c.event.name }}
        WHERE num_nonnulls({{ c.token }}, {{ c.next_token }}) > 0
            AND {{ is_left_out(c.event) }} IS NOT TRUE
        {{ 'UNION ALL' if not loop.last }}
--% else
        SELECT NULL::uuid AS old, NULL::uuid AS new WHERE false
--% endfor
    ) AS tokens
    GROUP BY old, new
) AS pairs
--% endfor

-- name: missing
-- All rows with a token or a generation, except rows whose tokens of both generations go with their ciphertexts, and rows
-- that are left out now.
SELECT count(*) OVER (), record_id FROM (
--% for event in events
    SELECT record_id FROM vault_etl.{{ event.name }}
    WHERE {{ is_missing(event) }}
    {{ 'UNION ALL' if not loop.last }}
--% endfor
) AS missing
ORDER BY record_id LIMIT %(limit)s

-- name: blamed
-- The rows of `missing` by the logins and by the keys of their values. A row counts once for each login and each key.
WITH missing AS MATERIALIZED (
--% for event in events
    SELECT {{ event.name|literal }} AS place, ARRAY[
--% for column in event.ciphertexts
            vault_etl.ciphertext_key_id({{ column }}){{ ',' if not loop.last }}
--% endfor
        ] AS key_ids, count(*) AS rows
    FROM vault_etl.{{ event.name }}
    WHERE {{ is_missing(event) }}
    GROUP BY 2
    {{ 'UNION ALL' if not loop.last }}
--% endfor
), under AS MATERIALIZED (
    SELECT m.place, m.key_ids, m.rows, k.key_id, k.created_by
    FROM missing AS m JOIN vault_etl.data_keys AS k ON k.key_id = ANY (m.key_ids)
)
(
    SELECT created_by, sum(rows)::bigint, NULL::bigint
    FROM (SELECT DISTINCT created_by, place, key_ids, rows FROM under) AS once
    GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT %(blamed)s
)
UNION ALL (
    SELECT created_by, sum(rows)::bigint, key_id FROM under GROUP BY 1, 3 ORDER BY 2 DESC, 3 LIMIT %(blamed)s
)

-- name: left_out
SELECT coalesce(sum(rows), 0)::bigint FROM (
--% for event in events
    SELECT count(*) AS rows FROM vault_etl.{{ event.name }}
    WHERE {{ is_left_out(event) }} AND num_nonnulls({{ event.tokens|join(', ') }}) > 0
    {{ 'UNION ALL' if not loop.last }}
--% endfor
) AS of_events

-- name: count
-- Without a pending generation, all rows: an aborted one may have left tokens in next_….
SELECT coalesce(sum(rows), 0)::bigint FROM (
--% for event in events
    SELECT count(*) AS rows FROM vault_etl.{{ event.name }}
    WHERE token_generation IS NOT NULL AND num_nonnulls({{ event.tokens|join(', ') }}) > 0
        AND (%(pending)s::smallint IS NULL OR next_token_generation IS DISTINCT FROM %(pending)s::smallint)
    {{ 'UNION ALL' if not loop.last }}
--% endfor
) AS of_events

-- name: count_named
WITH named_keys AS MATERIALIZED (
    SELECT key_id, created_by, kms_key_arn FROM vault_etl.data_keys
    WHERE purpose = 'data' AND (%(key_id)s::bigint IS NULL OR key_id = %(key_id)s::bigint)
        AND (%(login)s::text IS NULL OR created_by = %(login)s::text)
        AND (%(since)s::timestamptz IS NULL OR expires_at >= %(since)s::timestamptz)
        AND (%(until)s::timestamptz IS NULL OR created_at <= %(until)s::timestamptz)
        AND (
            %(record_id)s::uuid IS NULL OR key_id IN (
--% for event in events
                SELECT unnest(ARRAY[
--% for column in event.ciphertexts
                    vault_etl.ciphertext_key_id({{ column }}){{ ',' if not loop.last }}
--% endfor
                ])
                FROM vault_etl.{{ event.name }} WHERE record_id = %(record_id)s::uuid
                {{ 'UNION ALL' if not loop.last }}
--% endfor
            )
        )
)
SELECT
    (SELECT count(*) FROM named_keys),
    ARRAY(SELECT DISTINCT created_by FROM named_keys ORDER BY 1 LIMIT %(limit)s),
    ARRAY(SELECT DISTINCT kms_key_arn FROM named_keys ORDER BY 1 LIMIT %(limit)s),
    (
        SELECT coalesce(sum(rows), 0)::bigint FROM (
--% for event in events
            SELECT count(*) AS rows FROM vault_etl.{{ event.name }}
            WHERE (%(record_id)s::uuid IS NULL OR record_id = %(record_id)s::uuid)
                AND {{ is_named(event) }}
            {{ 'UNION ALL' if not loop.last }}
--% endfor
        ) AS of_events
    )
