-- The reveal policy.

-- name: current
SELECT document FROM public.reveal_policies ORDER BY seq DESC LIMIT 1

-- name: act_as_owner
SET LOCAL ROLE vault_etl_owner

-- name: set
SELECT seq, hash FROM public.reveal_policy_set(
    %(request_id)s, %(actor)s, %(host)s, %(reason)s, %(document)s
)
