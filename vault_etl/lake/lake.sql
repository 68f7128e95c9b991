-- Sets on the record: their registry, for the roles that seal, open, rotate, erase and list.

-- name: vault_id
SELECT v.vault_id FROM vault_etl.vault AS v

-- name: begin
CALL vault_etl.commit_lake_begin(%(event)s, %(location)s, %(declaration)s, NULL)

-- name: record
CALL vault_etl.commit_lake_record(%(set_id)s, %(manifest_sha256)s, %(rows)s, %(counts)s, NULL)

-- name: list
SELECT
    l.event, l.location, l.manifest_sha256, l.set_id, l.partition, l.version, l.rows, l.made_at, l.recorded_at, l.erasures,
    l.alone
FROM vault_etl.lake_list() AS l

-- name: pending
SELECT p.erasure_id, p.record_id, p.user_id FROM vault_etl.lake_pending(%(set_id)s, %(manifest_sha256)s) AS p

-- name: rotated
CALL vault_etl.commit_lake_rotated(
    %(request_id)s, %(actor)s, %(host)s, %(fields)s, %(purpose)s, %(ticket)s,
    %(set_id)s, %(old_sha256)s, %(manifest_sha256)s, %(number)s, %(counts)s, NULL, NULL
)

-- name: erased
CALL vault_etl.commit_lake_erased(
    %(request_id)s, %(actor)s, %(host)s, %(ticket)s, %(reason)s,
    %(set_id)s, %(old_sha256)s, %(manifest_sha256)s, %(number)s, %(counts)s, %(erasures)s, %(rows)s, NULL, NULL, NULL
)
