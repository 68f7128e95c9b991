-- The end of keys, and of their old tokens, for the roles rotate and re-encrypt.

-- name: needs_of_data_key
SELECT in_records, bodies, leases FROM vault_etl.needs_of_data_key(%(key_id)s)

-- name: needs_of_generation
SELECT tokens, next_tokens, closed FROM vault_etl.needs_of_generation(%(generation)s::smallint, %(counted)s)

-- name: retire_expired
CALL vault_etl.commit_data_keys_retire_expired(
    %(request_id)s, %(actor)s, %(host)s, %(key_ids)s::bigint[], %(declaration)s, NULL
)

-- name: destroy
CALL vault_etl.commit_keys_destroy(
    %(request_id)s, %(actor)s, %(host)s, %(key_ids)s::bigint[], %(declaration)s, NULL
)

-- name: clear_old_tokens
SELECT cleared, last
FROM vault_etl.clear_old_tokens(%(generation)s::smallint, %(after)s::uuid, %(limit)s)
