"""The declaration: the fields and the events of a vault, read from `vault-etl.schema.toml`."""
