"""The stack's database: a login for each role, and the refusal of data whose KMS keys are lost.

The login `local_reveal` may do what the group role `vault_etl_reveal` may. The migrations make the
group roles, which cannot log in.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

import psycopg2
from psycopg2 import sql

from vault_etl.base.errors import ConfigurationError, UnavailableError
from vault_etl.local.policies import ADMIN, OPERATOR, ROLES
from vault_etl.local.postgres import DATABASE, RunningPostgres, admin_connection


def login_of(role: str) -> str:
    """Return the database login of a role: "re-encrypt" → "local_re_encrypt"; admin is the superuser."""
    return ADMIN if role == ADMIN else f"local_{role.replace('-', '_')}"


def create_logins(postgres: RunningPostgres) -> None:
    """Make the logins, and give each its password and its rights. Safe to repeat.

    Raises UnavailableError if the group roles do not exist: the migrations make them.
    """
    try:
        with closing(admin_connection(postgres)) as connection:
            for role in ROLES:
                if role != ADMIN:
                    login = login_of(role)
                    groups = [f"vault_etl_{part.replace('-', '_')}" for part in _rights_of(role)]
                    give_login(connection, login, postgres.passwords.of(login), groups)
            connection.commit()
    except psycopg2.Error as error:
        message = f"the database logins could not be made (SQLSTATE {error.pgcode})"
        raise UnavailableError(message, hint="start afresh: vault-etl local reset") from None


def give_login(
    connection: psycopg2.extensions.connection, login: str, password: str, groups: Sequence[str]
) -> None:
    """Give a login its password and the rights of these group roles. It is made if it does not exist.

    The password is hashed here, as the server would keep it, so that no log of statements has it.
    """
    hashed = psycopg2.extensions.encrypt_password(password, login, connection, "scram-sha-256")
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = %s", (login,))
        verb = "ALTER" if cursor.fetchone() else "CREATE"
        cursor.execute(
            sql.SQL("{verb} ROLE {login} LOGIN INHERIT PASSWORD {password}").format(
                verb=sql.SQL(verb), login=sql.Identifier(login), password=sql.Literal(hashed)
            )
        )
        cursor.execute(
            sql.SQL("GRANT {groups} TO {login}").format(
                groups=sql.SQL(", ").join(map(sql.Identifier, groups)), login=sql.Identifier(login)
            )
        )


def _rights_of(role: str) -> tuple[str, ...]:
    """Return the roles of a login: the operator has every role except owner."""
    if role == OPERATOR:
        return tuple(other for other in ROLES if other not in {"owner", OPERATOR, ADMIN})
    return (role,)


def refuse_if_keys_are_lost(postgres: RunningPostgres) -> None:
    """Refuse a database whose keys nothing can unwrap. Called when no emulator runs.

    Without records nothing is lost, and the database is created again. With records, this raises
    ConfigurationError: their tokens match no new tokens, and their ciphertexts cannot be opened.
    """
    rows = _records(postgres)
    if rows is None:
        return
    if rows == 0:
        _recreate_database(postgres)
        return
    raise ConfigurationError(
        "the AWS emulator that held the KMS keys is gone, and records sealed under them remain "
        f"({rows} rows): they can never be opened again",
        hint="delete them and start afresh: vault-etl local reset",
    )


def _records(postgres: RunningPostgres) -> int | None:
    """Return the number of rows that were written under the keys; None if the database has no keys."""
    with closing(admin_connection(postgres)) as connection, connection.cursor() as cursor:
        try:
            cursor.execute("SELECT FROM vault_etl.data_keys")
        except psycopg2.errors.UndefinedTable:
            return None
        cursor.execute("SELECT place::text FROM vault_etl.event_tables()")
        places = [*(place for (place,) in cursor.fetchall()), "vault_etl.quarantine"]
        counts = (sql.SQL("(SELECT count(*) FROM {})").format(sql.SQL(place)) for place in places)
        cursor.execute(sql.SQL("SELECT {}").format(sql.SQL(" + ").join(counts)))
        ((rows,),) = cursor.fetchall()
        return int(rows)


def _recreate_database(postgres: RunningPostgres) -> None:
    with closing(admin_connection(postgres, "postgres")) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f'DROP DATABASE "{DATABASE}" WITH (FORCE)')
            cursor.execute(f'CREATE DATABASE "{DATABASE}"')
