-- Months whose rows are not in the table of records.

-- name: unattached
SELECT partition, first, until, state, since, archive, earliest, latest FROM vault_etl.unattached_months()
