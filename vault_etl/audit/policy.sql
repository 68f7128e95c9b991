-- The reveal policy.

-- name: allowance
SELECT document, reader, an_hour, used, oldest, newest FROM public.audit_allowance()

-- name: act_as_owner
SET LOCAL ROLE vault_etl_owner

-- name: set
SELECT seq, hash FROM public.reveal_policy_set(
    %(request_id)s, %(actor)s, %(host)s, %(reason)s, %(document)s
)
