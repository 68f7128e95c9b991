-- The owner's part of the log, and the reveal policy, which the owner sets and others read.

-- name: act_as_owner
SET LOCAL ROLE vault_etl_owner

-- name: freeze
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY

-- name: entry
SELECT w.seq, w.hash FROM vault_etl.audit_write(
    %(request_id)s, %(phase)s, %(actor)s, %(host)s, %(action)s, NULL::uuid, '{}'::text[], NULL, %(ticket)s,
    %(reason)s, %(decision)s, %(error_code)s
) AS w

-- name: allowance
SELECT document, reader, an_hour, used, oldest, newest FROM vault_etl.audit_allowance()

-- name: set_policy
SELECT seq, hash FROM vault_etl.reveal_policy_set(
    %(request_id)s, %(actor)s, %(host)s, %(reason)s, %(document)s
)
