"""The outside: the only importers of boto3, psycopg2 and the like."""
