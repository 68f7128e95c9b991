-- The bounds of the ranges of a rotation, by event.
--% for event in events

-- name: bounds_{{ event.name.raw }}
-- The first and the last record of each month that has one.
SELECT bounds.first, bounds.last
FROM unnest(%(firsts)s::uuid[], %(ends)s::uuid[]) AS month (first, "end"),
    LATERAL (
        SELECT
            (SELECT record_id FROM vault_etl.{{ event.name }}
                WHERE record_id >= month.first AND record_id < month."end" ORDER BY record_id LIMIT 1) AS first,
            (SELECT record_id FROM vault_etl.{{ event.name }}
                WHERE record_id >= month.first AND record_id < month."end" ORDER BY record_id DESC LIMIT 1) AS last
    ) AS bounds
WHERE bounds.first IS NOT NULL
ORDER BY bounds.first
--% endfor
