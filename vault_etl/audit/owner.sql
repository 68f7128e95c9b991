-- name: act_as_owner
SET LOCAL ROLE vault_etl_owner

-- name: freeze
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY

-- name: entry
SELECT w.seq, w.hash FROM public.audit_write(
    %(request_id)s, %(phase)s, %(actor)s, %(host)s, %(action)s, NULL::uuid, '{}'::text[], NULL, %(ticket)s,
    %(reason)s, %(decision)s, %(error_code)s
) AS w
