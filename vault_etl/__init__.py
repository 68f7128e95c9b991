"""vault-etl: login events from SQS into Postgres, tokenised, sealed, and recoverable on the record."""

__version__ = "0.1.0"
