-- What analysts ask. They read the view.
--
-- Tokens are grouped by count, and then users are counted, by the index on the token, of those that are shown alone:
-- OFFSET 0 keeps the order of the groups, so that no other is looked at. Whoever asks for tokens of several users (…_of_users)
-- needs the users of every token. Then each token's are grouped first, which takes hashes and no sort of all rows.

-- name: shared_ip
SELECT shared.token, shared.records, by.users, shared.first_seen, shared.last_seen
FROM (
    SELECT masked_ip AS token, count(*) AS records, min(create_date) AS first_seen, max(create_date) AS last_seen
    FROM public.user_logins_masked
    WHERE masked_ip IS NOT NULL AND masked_ip <> ALL (%(leave_out)s::uuid[])
        AND (%(since)s::date IS NULL OR create_date >= %(since)s::date)
        AND (%(until)s::date IS NULL OR create_date <= %(until)s::date)
    GROUP BY masked_ip HAVING count(*) >= %(min_count)s
    ORDER BY count(*) DESC, masked_ip OFFSET 0
) AS shared, LATERAL (
    SELECT count(DISTINCT user_id) AS users FROM public.user_logins_masked
    WHERE masked_ip = shared.token
        AND (%(since)s::date IS NULL OR create_date >= %(since)s::date)
        AND (%(until)s::date IS NULL OR create_date <= %(until)s::date)
) AS by
ORDER BY shared.records DESC, shared.token LIMIT %(limit)s

-- name: shared_ip_of_users
SELECT token, sum(records)::bigint, count(*), min(first_seen), max(last_seen)
FROM (
    SELECT masked_ip AS token, count(*) AS records, min(create_date) AS first_seen, max(create_date) AS last_seen
    FROM public.user_logins_masked
    WHERE masked_ip IS NOT NULL AND masked_ip <> ALL (%(leave_out)s::uuid[])
        AND (%(since)s::date IS NULL OR create_date >= %(since)s::date)
        AND (%(until)s::date IS NULL OR create_date <= %(until)s::date)
    GROUP BY masked_ip, user_id
) AS of_a_user
GROUP BY token HAVING sum(records) >= %(min_count)s AND count(*) >= %(min_users)s
ORDER BY sum(records) DESC, token LIMIT %(limit)s

-- name: shared_device_id
SELECT shared.token, shared.records, by.users, shared.first_seen, shared.last_seen
FROM (
    SELECT masked_device_id AS token, count(*) AS records, min(create_date) AS first_seen, max(create_date) AS last_seen
    FROM public.user_logins_masked
    WHERE masked_device_id IS NOT NULL AND masked_device_id <> ALL (%(leave_out)s::uuid[])
        AND (%(since)s::date IS NULL OR create_date >= %(since)s::date)
        AND (%(until)s::date IS NULL OR create_date <= %(until)s::date)
    GROUP BY masked_device_id HAVING count(*) >= %(min_count)s
    ORDER BY count(*) DESC, masked_device_id OFFSET 0
) AS shared, LATERAL (
    SELECT count(DISTINCT user_id) AS users FROM public.user_logins_masked
    WHERE masked_device_id = shared.token
        AND (%(since)s::date IS NULL OR create_date >= %(since)s::date)
        AND (%(until)s::date IS NULL OR create_date <= %(until)s::date)
) AS by
ORDER BY shared.records DESC, shared.token LIMIT %(limit)s

-- name: shared_device_id_of_users
SELECT token, sum(records)::bigint, count(*), min(first_seen), max(last_seen)
FROM (
    SELECT masked_device_id AS token, count(*) AS records, min(create_date) AS first_seen, max(create_date) AS last_seen
    FROM public.user_logins_masked
    WHERE masked_device_id IS NOT NULL AND masked_device_id <> ALL (%(leave_out)s::uuid[])
        AND (%(since)s::date IS NULL OR create_date >= %(since)s::date)
        AND (%(until)s::date IS NULL OR create_date <= %(until)s::date)
    GROUP BY masked_device_id, user_id
) AS of_a_user
GROUP BY token HAVING sum(records) >= %(min_count)s AND count(*) >= %(min_users)s
ORDER BY sum(records) DESC, token LIMIT %(limit)s
