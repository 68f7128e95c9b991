-- Queries of analysts, on their views: which tokens several records share, in whichever columns and events. A record whose
-- value is a placeholder is left out, by the token of the value.
--% for each in tokens

-- name: shared_{{ each.name.raw }}
SELECT token, count(*), count(DISTINCT subject), min(day), max(day)
FROM (
    --% for c in each.columns
    {{ "UNION ALL " if not loop.first }}SELECT {{ c.token }} AS token, {{ c.event.subject }} AS subject, {{ c.event.day }} AS day
    FROM vault_etl.{{ c.event.name.plus("_masked") }}
    WHERE {{ c.value.token }} <> ALL (%(leave_out)s::uuid[])
    --% else
    SELECT NULL::uuid AS token, NULL::text AS subject, NULL::date AS day WHERE false
    --% endfor
) AS held
WHERE token IS NOT NULL
    AND (%(since)s::date IS NULL OR day >= %(since)s::date)
    AND (%(until)s::date IS NULL OR day <= %(until)s::date)
GROUP BY token
HAVING count(*) >= %(min_count)s AND count(DISTINCT subject) >= %(min_users)s
ORDER BY count(*) DESC, token LIMIT %(limit)s
--% endfor
