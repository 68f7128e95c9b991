-- Storing the records of each event, for the roles ingest and re_encrypt.
--% for event in events

-- name: copy_{{ event.name.raw }}
COPY vault_etl.{{ event.name }} (
    {{ event.columns | join(", ") }}
) FROM STDIN (FORMAT binary)

-- name: stored_{{ event.name.raw }}
-- The ids come from a sub-select, or the planner would estimate, and find the partition of, each of them.
SELECT record_id FROM vault_etl.{{ event.name }}
WHERE record_id = ANY((SELECT %(record_ids)s::uuid[])::uuid[]) AND record_id BETWEEN %(first)s AND %(last)s
--% endfor

-- name: savepoint
SAVEPOINT rows

-- name: rollback_to_savepoint
ROLLBACK TO SAVEPOINT rows
