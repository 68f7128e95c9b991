"""Events from a queue or a file into Postgres."""
