-- Tokens of detached months, for the role re-encrypt.

-- name: find
-- Finds a month by the name of its table, or by an id that it holds.
SELECT event, partition, first, until, state FROM vault_etl.unattached_months()
WHERE partition = %(wanted)s OR (first < %(end)s::uuid AND until > %(first)s::uuid)
ORDER BY first, event

-- name: generations
SELECT generation, rows FROM vault_etl.retoken_generations(%(event)s, %(month_id)s)

-- name: begin
CALL vault_etl.commit_retoken_begin(%(event)s, %(month_id)s, NULL)

-- name: open
SELECT rotation_id, fields, old_keys FROM vault_etl.key_rotations WHERE purpose = 'month' AND event = %(event)s AND month = %(month_id)s

-- name: add
INSERT INTO vault_etl.key_rotations (purpose, rotation_id, fields, old_keys, event, month)
VALUES ('month', %(rotation_id)s, %(fields)s::text[], '{}', %(event)s, %(month_id)s)
ON CONFLICT (purpose, event, month) DO NOTHING

-- name: go_through_again
UPDATE vault_etl.rotation_ranges SET done = false, after = NULL WHERE rotation_id = %(rotation_id)s AND done
