-- The files that lines come from, for the role ingest.

-- name: find
CALL vault_etl.commit_file_source(%(known_by)s, NULL, NULL)

-- name: reached
CALL vault_etl.commit_file_load_reached(%(load_id)s, %(source_id)s, %(lines)s, %(digest)s, NULL)

-- name: loaded
CALL vault_etl.commit_file_load_whole(%(load_id)s, %(source_id)s, %(agreed)s::bigint[], NULL)
