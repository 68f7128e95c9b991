-- The catalogue of declarations.

-- name: state
SELECT CASE %(declaration)s::bytea WHEN s.digest THEN 'in force' WHEN s.admits THEN 'admitted' END
FROM vault_etl.schema_versions AS s ORDER BY s.version DESC LIMIT 1

-- name: in_force
SELECT version, digest, admits FROM vault_etl.schema_versions ORDER BY version DESC LIMIT 1

-- name: documents
-- For the role audit, and for the owner.
SELECT version, document FROM vault_etl.schema_versions ORDER BY version

-- name: add
SELECT version, seq FROM vault_etl.schema_version_add(
    %(request_id)s, %(actor)s, %(host)s, %(reason)s, %(document)s, %(is_admitting)s
)
