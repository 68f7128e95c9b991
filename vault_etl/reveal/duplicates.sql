-- Queries of analysts, on their views: which tokens of a field several records share, in whichever columns and events.
--% for field in fields

-- name: shared_{{ field.name.raw }}
SELECT token, count(*), count(DISTINCT subject), min(day), max(day)
FROM (
    --% for event, value in field.values
    {{ "UNION ALL " if not loop.first }}SELECT {{ value.token }} AS token, {{ event.subject }} AS subject, {{ event.day }} AS day
    FROM vault_etl.{{ event.name.plus("_masked") }}
    --% endfor
) AS held
WHERE token IS NOT NULL AND token <> ALL (%(leave_out)s::uuid[])
    AND (%(since)s::date IS NULL OR day >= %(since)s::date)
    AND (%(until)s::date IS NULL OR day <= %(until)s::date)
GROUP BY token
HAVING count(*) >= %(min_count)s AND count(DISTINCT subject) >= %(min_users)s
ORDER BY count(*) DESC, token LIMIT %(limit)s
--% endfor
