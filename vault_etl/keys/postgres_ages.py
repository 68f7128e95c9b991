"""The ages of keys, asked seldom: on a connection that is not kept."""

from __future__ import annotations

from vault_etl.crypto.keys import KeyState
from vault_etl.keys.age import Ages
from vault_etl.keys.postgres import PostgresKeyStore
from vault_etl.platform.postgres import Database


class SeldomAskedKeyAges:
    """`KeyAges` on a connection of its own, closed after each answer: idle ones are not free.

    `database` is nobody else's, since a connection is one thread's.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._keys = PostgresKeyStore(database)

    def oldest(self, state: KeyState) -> Ages:
        """See `KeyAges.oldest`."""
        try:
            return self._keys.oldest(state)
        finally:
            self._database.close()
