-- Rotations that are under way, and how far they are. A rotation begins and is aborted behind the closed fence.

-- name: open
SELECT rotation_id, fields, old_keys FROM vault_etl.key_rotations WHERE purpose = %(purpose)s

-- name: old_data_keys
SELECT key_id FROM vault_etl.data_keys
WHERE purpose = 'data' AND state = 'decrypt_only' AND field = ANY (%(fields)s::text[])

-- name: next_generation
SELECT coalesce(max(generation), 0) + 1 FROM vault_etl.data_keys WHERE purpose = 'token'

-- name: token_keys_by_state
-- Of retired keys, those whose tokens are in rows.
SELECT k.key_id, k.state FROM vault_etl.data_keys AS k
WHERE k.purpose = 'token' AND (
    k.state IN ('pending', 'active')
    OR k.state = 'decrypt_only'
        AND 0 < (SELECT sum(c.held) FROM vault_etl.value_counts AS c WHERE c.field = 'token' AND c.id = k.generation)
)

-- name: add_pending_keys
CALL vault_etl.commit_token_keys_begin(%(request_id)s, %(actor)s, %(host)s, %(keys)s::jsonb, NULL)

-- name: abort
CALL vault_etl.commit_token_keys_abort(%(request_id)s, %(actor)s, %(host)s, NULL)

-- name: add_rotation
INSERT INTO vault_etl.key_rotations (purpose, rotation_id, fields, old_keys)
VALUES (%(purpose)s, %(rotation_id)s, %(fields)s::text[], %(old_keys)s::bigint[])

-- name: end_rotation
DELETE FROM vault_etl.key_rotations WHERE rotation_id = %(rotation_id)s

-- name: quarantine_bounds
SELECT
    (SELECT record_id FROM vault_etl.quarantine ORDER BY record_id LIMIT 1),
    (SELECT record_id FROM vault_etl.quarantine ORDER BY record_id DESC LIMIT 1)

-- name: add_ranges
INSERT INTO vault_etl.rotation_ranges (rotation_id, place, first, last)
SELECT %(rotation_id)s, cut.place, cut.first, cut.last
FROM unnest(%(places)s::text[], %(firsts)s::uuid[], %(lasts)s::uuid[]) AS cut (place, first, last)

-- name: claim_range
-- Returns place, first, last and after; all NULL if no range is free.
CALL vault_etl.commit_rotation_claim(%(rotation_id)s, %(claim)s, %(request_id)s, NULL, NULL, NULL, NULL)

-- name: unfinished_ranges
-- How many ranges are not done, and in how many seconds at most the first of them is free.
SELECT count(*), greatest(0, extract(epoch FROM min(claimed_until) - clock_timestamp()))::double precision
FROM vault_etl.rotation_ranges WHERE rotation_id = %(rotation_id)s AND NOT done

-- name: move_range
SELECT vault_etl.rotation_move(%(claim)s, %(after)s, %(done)s)

-- name: reopen_ranges
-- Starts again if all ranges are done: values that could not be opened may open by now, and all others are skipped.
UPDATE vault_etl.rotation_ranges SET done = false, after = NULL
WHERE rotation_id = %(rotation_id)s AND NOT EXISTS (
    SELECT FROM vault_etl.rotation_ranges AS r WHERE r.rotation_id = %(rotation_id)s AND NOT r.done
)

-- name: free_range
CALL vault_etl.commit_rotation_free(%(claim)s, %(rows)s, %(key_ids)s::bigint[], NULL)
