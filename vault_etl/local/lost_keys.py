"""What to do with a database whose KMS keys ended with their emulator: nothing opens again."""

from __future__ import annotations

from contextlib import closing

import psycopg2

from vault_etl.base.errors import ConfigurationError
from vault_etl.local.postgres import DATABASE, RunningPostgres, admin_connection


def refuse_if_keys_are_lost(postgres: RunningPostgres) -> None:
    """Called when no emulator runs: nothing can unwrap the keys that the database holds.

    Without records there is nothing to lose, and the database is made anew. With some, this raises
    ConfigurationError: their tokens match no new ones, and their sealed fields are closed for good.
    """
    rows = _records(postgres)
    if rows is None:
        return
    if rows == 0:
        _make_anew(postgres)
        return
    raise ConfigurationError(
        "the AWS emulator that held the KMS keys is gone, and records sealed under them remain "
        f"({rows} rows): they can never be opened again",
        hint="delete them and start afresh: vault-etl local reset",
    )


def _records(postgres: RunningPostgres) -> int | None:
    """How many rows were written under the keys; None if the database holds no keys."""
    with closing(admin_connection(postgres)) as connection, connection.cursor() as cursor:
        try:
            cursor.execute("SELECT FROM public.data_keys")
            cursor.execute(
                "SELECT (SELECT count(*) FROM public.user_logins)"
                " + (SELECT count(*) FROM public.quarantine)"
            )
        except psycopg2.errors.UndefinedTable:
            return None
        found = cursor.fetchone()
        return int(found[0]) if found else 0


def _make_anew(postgres: RunningPostgres) -> None:
    with closing(admin_connection(postgres, "postgres")) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f'DROP DATABASE "{DATABASE}" WITH (FORCE)')
            cursor.execute(f'CREATE DATABASE "{DATABASE}"')
