-- Months whose rows are not in the tables of records.

-- name: unattached
SELECT event, partition, first, until, state, since, archive, earliest, latest FROM vault_etl.unattached_months()
