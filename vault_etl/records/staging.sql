-- Staging and storing the records of each event, for the roles ingest and re_encrypt.
--% for event in events

-- name: make_stage_{{ event.name.raw }}
CREATE TEMP TABLE IF NOT EXISTS stage_records_{{ event.name.raw }} (
    --% for column in event.staged
    {{ column.name }} {{ column.type }}{{ "," if not loop.last }}
    --% endfor
) ON COMMIT DELETE ROWS

-- name: copy_stage_{{ event.name.raw }}
COPY pg_temp.stage_records_{{ event.name.raw }} (
    {{ event.columns | join(", ") }}
) FROM STDIN (FORMAT binary)

-- name: insert_{{ event.name.raw }}
INSERT INTO vault_etl.{{ event.name }} (
    {{ event.columns | join(", ") }}
)
SELECT
    {{ event.staged | map(attribute="value") | join(", ") }}
FROM pg_temp.stage_records_{{ event.name.raw }}
ORDER BY record_id
ON CONFLICT (record_id) DO NOTHING
RETURNING record_id
--% endfor
