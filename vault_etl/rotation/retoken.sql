-- Tokens of detached months, for the role re-encrypt.

-- name: find
-- Finds a month by the name of its table, or by an id that it holds.
SELECT partition, first, until, state FROM vault_etl.unattached_months()
WHERE partition = %(wanted)s OR (first < %(end)s::uuid AND until > %(first)s::uuid)
ORDER BY first

-- name: generations
SELECT generation, rows FROM vault_etl.retoken_generations(%(month_id)s)

-- name: begin
CALL vault_etl.commit_retoken_begin(%(month_id)s, NULL)

-- name: open
SELECT rotation_id, fields, old_keys FROM vault_etl.key_rotations WHERE purpose = 'month' AND month = %(month_id)s

-- name: add
INSERT INTO vault_etl.key_rotations (purpose, rotation_id, fields, old_keys, month)
VALUES ('month', %(rotation_id)s, %(fields)s::text[], '{}', %(month_id)s)
ON CONFLICT (purpose, month) DO NOTHING

-- name: go_through_again
UPDATE vault_etl.rotation_ranges SET done = false, after = NULL WHERE rotation_id = %(rotation_id)s AND done

-- name: page
SELECT record_id, user_id, token_generation, masked_ip, masked_device_id, ip_ciphertext, device_id_ciphertext,
    NULL::uuid, NULL::uuid, found
FROM vault_etl.retoken_page(%(claim)s, %(after)s::uuid, %(limit)s, %(bytes)s)

-- name: store
-- Stores what `make_stage` and `copy_stage` of tokens.sql staged.
SELECT vault_etl.retoken_fill(
    %(claim)s, %(generation)s::smallint, array_agg(record_id), array_agg(token_generation), array_agg(masked_ip),
    array_agg(masked_device_id), array_agg(ip_ciphertext), array_agg(device_id_ciphertext), array_agg(next_masked_ip),
    array_agg(next_masked_device_id)
)
FROM pg_temp.stage_tokens
