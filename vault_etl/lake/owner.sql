-- The end of a set on the record, for the owner.

-- name: drop
SELECT vault_etl.lake_drop(%(set_id)s)
