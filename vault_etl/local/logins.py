"""A database login for each role: `local_reveal` may do what `vault_etl_reveal` may.

The group roles `vault_etl_…` are made by the migrations and have no login.
"""

from __future__ import annotations

from contextlib import closing

import psycopg2
from psycopg2 import sql

from vault_etl.base.errors import UnavailableError
from vault_etl.local.policies import ADMIN, OPERATOR, ROLES
from vault_etl.local.postgres import RunningPostgres, admin_connection


def login_of(role: str) -> str:
    """The database login of a role: "re-encrypt" → "local_re_encrypt"; admin is the superuser."""
    return ADMIN if role == ADMIN else f"local_{role.replace('-', '_')}"


def create_logins(postgres: RunningPostgres) -> None:
    """Make the logins and give each its password and its rights. Safe to repeat.

    Raises UnavailableError if the group roles are not there: the migrations make them.
    """
    try:
        with closing(admin_connection(postgres)) as connection:
            for role in ROLES:
                if role != ADMIN:
                    _create_login(connection, postgres, role)
            connection.commit()
    except psycopg2.Error as error:
        message = f"the database logins could not be made (SQLSTATE {error.pgcode})"
        raise UnavailableError(message, hint="start afresh: vault-etl local reset") from None


def _create_login(
    connection: psycopg2.extensions.connection, postgres: RunningPostgres, role: str
) -> None:
    login = login_of(role)
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = %s", (login,))
        verb = "ALTER" if cursor.fetchone() else "CREATE"
        cursor.execute(
            sql.SQL("{verb} ROLE {login} LOGIN INHERIT PASSWORD {password}").format(
                verb=sql.SQL(verb),
                login=sql.Identifier(login),
                password=sql.Literal(postgres.passwords.of(login)),
            )
        )
        groups = [
            sql.Identifier(f"vault_etl_{part.replace('-', '_')}") for part in _rights_of(role)
        ]
        cursor.execute(
            sql.SQL("GRANT {groups} TO {login}").format(
                groups=sql.SQL(", ").join(groups), login=sql.Identifier(login)
            )
        )


def _rights_of(role: str) -> tuple[str, ...]:
    """The operator holds every role but owner."""
    if role == OPERATOR:
        return tuple(other for other in ROLES if other not in {"owner", OPERATOR, ADMIN})
    return (role,)
