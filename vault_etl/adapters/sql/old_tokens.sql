-- Tokens of a generation that is not in use, for the roles rotate and re-encrypt.

-- name: page
-- OFFSET 0 keeps the planner from reading and sorting all rows for each page, as it does where it takes
-- these rows to be rare.
SELECT record_id FROM (
    SELECT record_id, next_token_generation FROM public.user_logins
    WHERE %(after)s::uuid IS NULL OR record_id > %(after)s::uuid
    ORDER BY record_id OFFSET 0
) AS in_order
WHERE next_token_generation = %(generation)s
ORDER BY record_id LIMIT %(limit)s

-- name: clear
-- Whoever changed a row in between wins; and what is in use is in use, whatever the caller believes.
UPDATE public.user_logins
SET next_masked_ip = NULL, next_masked_device_id = NULL, next_token_generation = NULL
WHERE record_id = ANY (%(record_ids)s::uuid[]) AND record_id BETWEEN %(first)s AND %(last)s
    AND next_token_generation = %(generation)s
    AND NOT EXISTS (
        SELECT FROM public.data_keys
        WHERE purpose = 'token' AND generation = %(generation)s AND state IN ('active', 'pending')
    )
