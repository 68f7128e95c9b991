-- Who holds a token, for the role reveal. After a cut-over the old tokens stand in next_*.

-- name: holding_ip
SELECT record_id, user_id, create_date, count(*) OVER () AS holders
FROM public.user_logins
WHERE masked_ip = ANY (%(tokens)s::uuid[]) OR next_masked_ip = ANY (%(tokens)s::uuid[])
ORDER BY record_id DESC LIMIT %(limit)s

-- name: holding_device_id
SELECT record_id, user_id, create_date, count(*) OVER () AS holders
FROM public.user_logins
WHERE masked_device_id = ANY (%(tokens)s::uuid[]) OR next_masked_device_id = ANY (%(tokens)s::uuid[])
ORDER BY record_id DESC LIMIT %(limit)s
