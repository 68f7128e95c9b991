-- Queries of analysts, on their view.

-- name: shared_ip
SELECT masked_ip, count(*), count(DISTINCT user_id), min(create_date), max(create_date)
FROM vault_etl.user_logins_masked
WHERE masked_ip IS NOT NULL AND masked_ip <> ALL (%(leave_out)s::uuid[])
    AND (%(since)s::date IS NULL OR create_date >= %(since)s::date)
    AND (%(until)s::date IS NULL OR create_date <= %(until)s::date)
GROUP BY masked_ip
HAVING count(*) >= %(min_count)s AND count(DISTINCT user_id) >= %(min_users)s
ORDER BY count(*) DESC, masked_ip LIMIT %(limit)s

-- name: shared_device_id
SELECT masked_device_id, count(*), count(DISTINCT user_id), min(create_date), max(create_date)
FROM vault_etl.user_logins_masked
WHERE masked_device_id IS NOT NULL AND masked_device_id <> ALL (%(leave_out)s::uuid[])
    AND (%(since)s::date IS NULL OR create_date >= %(since)s::date)
    AND (%(until)s::date IS NULL OR create_date <= %(until)s::date)
GROUP BY masked_device_id
HAVING count(*) >= %(min_count)s AND count(DISTINCT user_id) >= %(min_users)s
ORDER BY count(*) DESC, masked_device_id LIMIT %(limit)s
