-- Months whose rows are not in the table of records.

-- name: away
SELECT partition, first, until, state, since, archive, earliest, latest FROM public.unattached_months()
