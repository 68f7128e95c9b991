"""Another application beside the vaults: its login, and what the login may do."""

from __future__ import annotations

from contextlib import closing

import psycopg2

from vault_etl.local.postgres import RunningPostgres

SHOP = "shop_of_two_vaults"
MAY = """
SELECT what FROM (
    SELECT 'database ' || p FROM unnest(ARRAY['CONNECT', 'TEMPORARY', 'CREATE']) AS p
    WHERE has_database_privilege(%(login)s, current_database(), p)
    UNION ALL
    SELECT 'public ' || p FROM unnest(ARRAY['USAGE', 'CREATE']) AS p WHERE has_schema_privilege(%(login)s, 'public', p)
    UNION ALL
    SELECT p.oid::regprocedure::text FROM pg_proc AS p
    WHERE p.pronamespace = 'pg_catalog'::regnamespace AND has_function_privilege(%(login)s, p.oid, 'EXECUTE')
) AS may (what) ORDER BY 1
"""


class as_shop:  # noqa: N801 - reads as a function
    """A cursor of the other application."""

    def __init__(self, server: RunningPostgres, database: str) -> None:
        self._session = closing(psycopg2.connect(server.url(SHOP, database)))

    def __enter__(self) -> psycopg2.extensions.cursor:
        connection = self._session.__enter__()
        connection.autocommit = True
        return connection.cursor()

    def __exit__(self, *_: object) -> None:
        self._session.__exit__(None, None, None)
