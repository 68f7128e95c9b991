-- Ciphertexts under old keys are replaced by new ones, for the role re-encrypt.
--
-- A page ends at %(limit)s rows or %(bytes)s bytes: it takes a row if the sum up to that row is not more, and always the
-- first row (platform/postgres_stream.py).
--
-- A page reads all keys once, to find those that stay. They are few, however many old keys there are.
--
-- OFFSET 0 keeps the planner from reading and sorting all rows for each page, which it does because it expects the
-- rows of a key to be rare. Of 50,000 rows a page takes 41 ms without it, and 1 ms with it.

--% for event in events

-- name: page_{{ event.name.raw }}
WITH kept AS MATERIALIZED (
    SELECT substring(int8send(key_id) FROM 5) AS key, field FROM vault_etl.data_keys
    WHERE purpose = 'data' AND state <> 'destroyed' AND key_id NOT IN (
        SELECT unnest(old_keys) FROM vault_etl.key_rotations WHERE rotation_id = %(rotation_id)s
    )
)
SELECT record_id, subject, {{ event.ciphertexts|join(', ') }}, found FROM (
    SELECT record_id, subject, {{ event.ciphertexts|join(', ') }}, bytes, count(*) OVER () AS found,
        sum(bytes) OVER (ORDER BY record_id ROWS UNBOUNDED PRECEDING) AS up_to_here
    FROM (
        SELECT
            record_id, subject,
--% for p in event.personal
            CASE WHEN {{ p.name.raw }}_is_old THEN {{ p.ciphertext }} END AS {{ p.ciphertext }},
--% endfor
            octet_length(subject)
--% for p in event.personal
                + CASE WHEN {{ p.name.raw }}_is_old THEN octet_length({{ p.ciphertext }}) ELSE 0 END
--% endfor
                AS bytes
        FROM (
            SELECT
--% for p in event.personal
                {{ p.ciphertext }},
                {{ p.field|literal }} = ANY (%(fields)s::text[]) AND {{ p.ciphertext }} IS NOT NULL
                    AND substring({{ p.ciphertext }} FROM 2 FOR 4)
                        NOT IN (SELECT key FROM kept WHERE field = {{ p.field|literal }})
                    AS {{ p.name.raw }}_is_old,
--% endfor
                record_id, {{ event.subject }} AS subject
            FROM vault_etl.{{ event.name }}
            WHERE record_id >= %(first)s AND record_id <= %(last)s
                AND (%(after)s::uuid IS NULL OR record_id > %(after)s::uuid)
            ORDER BY record_id OFFSET 0
        ) AS in_order
        WHERE {{ event.personal|map(attribute='name.raw')|join('_is_old OR ') }}_is_old
        ORDER BY record_id LIMIT %(limit)s
    ) AS page
) AS sized
WHERE up_to_here <= %(bytes)s OR up_to_here = bytes
ORDER BY record_id

-- name: make_stage_{{ event.name.raw }}
CREATE TEMP TABLE IF NOT EXISTS stage_seals_{{ event.name.raw }} (
    record_id uuid,
--% for p in event.personal
    old_{{ p.name.raw }} bytea STORAGE PLAIN,
    new_{{ p.name.raw }} bytea STORAGE PLAIN{{ ',' if not loop.last }}
--% endfor
) ON COMMIT DELETE ROWS

-- name: copy_stage_{{ event.name.raw }}
COPY pg_temp.stage_seals_{{ event.name.raw }} (
    record_id,
--% for p in event.personal
    old_{{ p.name.raw }}, new_{{ p.name.raw }}{{ ',' if not loop.last }}
--% endfor
) FROM STDIN (FORMAT binary)

-- name: replace_{{ event.name.raw }}
WITH swapped AS (
    UPDATE vault_etl.{{ event.name }} AS r SET
--% for p in event.personal
        {{ p.ciphertext }} = coalesce(swap.new_{{ p.name.raw }}, r.{{ p.ciphertext }}){{ ',' if not loop.last }}
--% endfor
    FROM pg_temp.stage_seals_{{ event.name.raw }} AS swap
    WHERE r.record_id = swap.record_id AND r.record_id BETWEEN %(first)s AND %(last)s
--% for p in event.personal
        AND (swap.old_{{ p.name.raw }} IS NULL OR r.{{ p.ciphertext }} = swap.old_{{ p.name.raw }})
--% endfor
    RETURNING num_nonnulls(swap.new_{{ event.personal|map(attribute='name.raw')|join(', swap.new_') }}) AS replaced
)
SELECT count(*), coalesce(sum(replaced), 0)::bigint FROM swapped

-- name: remaining_{{ event.name.raw }}
-- The first rows that are left, if there are any.
SELECT record_id FROM vault_etl.{{ event.name }}
--% for p in event.personal
{{ 'WHERE' if loop.first else 'OR' }} (
    {{ p.field|literal }} = ANY (%(fields)s::text[]) AND {{ p.ciphertext }} IS NOT NULL
    AND vault_etl.ciphertext_key_id({{ p.ciphertext }}) NOT IN (
        SELECT key_id FROM vault_etl.data_keys
        WHERE purpose = 'data' AND field = {{ p.field|literal }} AND state <> 'destroyed'
            AND key_id <> ALL (%(old_keys)s::bigint[])
    )
)
--% endfor
ORDER BY record_id LIMIT %(limit)s
--% endfor

-- name: page_quarantine
WITH kept AS MATERIALIZED (
    SELECT substring(int8send(key_id) FROM 5) AS key, field FROM vault_etl.data_keys
    WHERE purpose = 'data' AND state <> 'destroyed' AND key_id NOT IN (
        SELECT unnest(old_keys) FROM vault_etl.key_rotations WHERE rotation_id = %(rotation_id)s
    )
)
SELECT record_id, '', body_ciphertext, found FROM (
    SELECT record_id, body_ciphertext, octet_length(body_ciphertext) AS bytes, count(*) OVER () AS found,
        sum(octet_length(body_ciphertext)) OVER (ORDER BY record_id ROWS UNBOUNDED PRECEDING) AS up_to_here
    FROM (
        SELECT record_id, body_ciphertext FROM (
            SELECT record_id, body_ciphertext FROM vault_etl.quarantine
            WHERE record_id >= %(first)s AND record_id <= %(last)s
                AND (%(after)s::uuid IS NULL OR record_id > %(after)s::uuid)
            ORDER BY record_id OFFSET 0
        ) AS in_order
        WHERE 'quarantine' = ANY (%(fields)s::text[]) AND body_ciphertext IS NOT NULL
            AND substring(body_ciphertext FROM 2 FOR 4) NOT IN (SELECT key FROM kept WHERE field = 'quarantine')
        ORDER BY record_id LIMIT %(limit)s
    ) AS page
) AS sized
WHERE up_to_here <= %(bytes)s OR up_to_here = bytes
ORDER BY record_id

-- name: replace_quarantine
UPDATE vault_etl.quarantine AS r SET body_ciphertext = swap.new_body
FROM unnest(%(record_ids)s::uuid[], %(old)s::bytea[], %(new)s::bytea[]) AS swap (record_id, old_body, new_body)
WHERE r.record_id = swap.record_id AND r.body_ciphertext = swap.old_body

-- name: remaining
-- How many values are under keys that do not stay or are of another field, by the kept counts (migrations/0006_counts.sql).
SELECT coalesce(sum(held), 0)::bigint FROM (
    SELECT sum(c.held) AS held FROM vault_etl.value_counts AS c
    WHERE c.field = ANY (%(fields)s::text[]) AND NOT EXISTS (
        SELECT FROM vault_etl.data_keys AS k
        WHERE k.key_id = c.id AND k.field = c.field AND k.purpose = 'data' AND k.state <> 'destroyed'
            AND k.key_id <> ALL (%(old_keys)s::bigint[])
    )
    GROUP BY c.field, c.id HAVING sum(c.held) > 0
) AS of_a_key

-- name: remaining_quarantine
SELECT record_id FROM vault_etl.quarantine
WHERE 'quarantine' = ANY (%(fields)s::text[]) AND body_ciphertext IS NOT NULL
    AND vault_etl.ciphertext_key_id(body_ciphertext) NOT IN (
        SELECT key_id FROM vault_etl.data_keys
        WHERE purpose = 'data' AND field = 'quarantine' AND state <> 'destroyed'
            AND key_id <> ALL (%(old_keys)s::bigint[])
    )
ORDER BY record_id LIMIT %(limit)s
