-- Ciphertexts under old keys are replaced by new ones, for the role re-encrypt.
--
-- A page ends at %(limit)s rows or %(bytes)s bytes: it takes a row if the sum up to that row is not more, and always the
-- first row (platform/postgres_stream.py).
--
-- A page reads all keys once, to find those that stay. They are few, however many old keys there are.
--
-- OFFSET 0 keeps the planner from reading and sorting all rows for each page, which it does because it expects the
-- rows of a key to be rare. Of 50,000 rows a page takes 41 ms without it, and 1 ms with it.

-- name: page_user_logins
WITH kept AS MATERIALIZED (
    SELECT key_id, field FROM vault_etl.data_keys
    WHERE purpose = 'data' AND state <> 'destroyed' AND key_id NOT IN (
        SELECT unnest(old_keys) FROM vault_etl.key_rotations WHERE rotation_id = %(rotation_id)s
    )
)
SELECT record_id, user_id, ip, device_id, found FROM (
    SELECT record_id, user_id, ip, device_id, bytes, count(*) OVER () AS found,
        sum(bytes) OVER (ORDER BY record_id ROWS UNBOUNDED PRECEDING) AS up_to_here
    FROM (
        SELECT
            record_id, user_id,
            CASE WHEN ip_is_old THEN ip_ciphertext END AS ip,
            CASE WHEN device_id_is_old THEN device_id_ciphertext END AS device_id,
            octet_length(user_id) + CASE WHEN ip_is_old THEN octet_length(ip_ciphertext) ELSE 0 END
                + CASE WHEN device_id_is_old THEN octet_length(device_id_ciphertext) ELSE 0 END AS bytes
        FROM (
            SELECT
                record_id, user_id, ip_ciphertext, device_id_ciphertext,
                'ip' = ANY (%(fields)s::text[]) AND ip_ciphertext IS NOT NULL
                    AND vault_etl.ciphertext_key_id(ip_ciphertext) NOT IN (SELECT key_id FROM kept WHERE field = 'ip')
                    AS ip_is_old,
                'device_id' = ANY (%(fields)s::text[]) AND device_id_ciphertext IS NOT NULL
                    AND vault_etl.ciphertext_key_id(device_id_ciphertext) NOT IN (SELECT key_id FROM kept WHERE field = 'device_id')
                    AS device_id_is_old
            FROM vault_etl.user_logins
            WHERE record_id >= %(first)s AND record_id <= %(last)s
                AND (%(after)s::uuid IS NULL OR record_id > %(after)s::uuid)
            ORDER BY record_id OFFSET 0
        ) AS in_order
        WHERE ip_is_old OR device_id_is_old
        ORDER BY record_id LIMIT %(limit)s
    ) AS page
) AS sized
WHERE up_to_here <= %(bytes)s OR up_to_here = bytes
ORDER BY record_id

-- name: page_quarantine
WITH kept AS MATERIALIZED (
    SELECT key_id, field FROM vault_etl.data_keys
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
            AND vault_etl.ciphertext_key_id(body_ciphertext) NOT IN (SELECT key_id FROM kept WHERE field = 'quarantine')
        ORDER BY record_id LIMIT %(limit)s
    ) AS page
) AS sized
WHERE up_to_here <= %(bytes)s OR up_to_here = bytes
ORDER BY record_id

-- name: make_stage
CREATE TEMP TABLE IF NOT EXISTS stage_seals (
    record_id uuid,
    old_ip bytea STORAGE PLAIN,
    new_ip bytea STORAGE PLAIN,
    old_device_id bytea STORAGE PLAIN,
    new_device_id bytea STORAGE PLAIN
) ON COMMIT DELETE ROWS

-- name: copy_stage
COPY pg_temp.stage_seals (record_id, old_ip, new_ip, old_device_id, new_device_id)
FROM STDIN (FORMAT binary)

-- name: replace_user_logins
WITH swapped AS (
    UPDATE vault_etl.user_logins AS r SET
        ip_ciphertext = coalesce(swap.new_ip, r.ip_ciphertext),
        device_id_ciphertext = coalesce(swap.new_device_id, r.device_id_ciphertext)
    FROM pg_temp.stage_seals AS swap
    WHERE r.record_id = swap.record_id AND r.record_id BETWEEN %(first)s AND %(last)s
        AND (swap.old_ip IS NULL OR r.ip_ciphertext = swap.old_ip)
        AND (swap.old_device_id IS NULL OR r.device_id_ciphertext = swap.old_device_id)
    RETURNING num_nonnulls(swap.new_ip, swap.new_device_id) AS fields
)
SELECT count(*), coalesce(sum(fields), 0)::bigint FROM swapped

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

-- name: remaining_user_logins
-- The first rows that are left, if there are any.
SELECT record_id FROM vault_etl.user_logins
WHERE (
    'ip' = ANY (%(fields)s::text[]) AND ip_ciphertext IS NOT NULL
    AND vault_etl.ciphertext_key_id(ip_ciphertext) NOT IN (
        SELECT key_id FROM vault_etl.data_keys
        WHERE purpose = 'data' AND field = 'ip' AND state <> 'destroyed'
            AND key_id <> ALL (%(old_keys)s::bigint[])
    )
) OR (
    'device_id' = ANY (%(fields)s::text[]) AND device_id_ciphertext IS NOT NULL
    AND vault_etl.ciphertext_key_id(device_id_ciphertext) NOT IN (
        SELECT key_id FROM vault_etl.data_keys
        WHERE purpose = 'data' AND field = 'device_id' AND state <> 'destroyed'
            AND key_id <> ALL (%(old_keys)s::bigint[])
    )
)
ORDER BY record_id LIMIT %(limit)s

-- name: remaining_quarantine
SELECT record_id FROM vault_etl.quarantine
WHERE 'quarantine' = ANY (%(fields)s::text[]) AND body_ciphertext IS NOT NULL
    AND vault_etl.ciphertext_key_id(body_ciphertext) NOT IN (
        SELECT key_id FROM vault_etl.data_keys
        WHERE purpose = 'data' AND field = 'quarantine' AND state <> 'destroyed'
            AND key_id <> ALL (%(old_keys)s::bigint[])
    )
ORDER BY record_id LIMIT %(limit)s
