"""Give a login its password and its role, and make the login if it does not exist.

    python docker/logins.py PASSWORD_FILE LOGIN ROLE

For docker-compose.yml. It connects as vault-etl does: VAULT_ETL_DATABASE_URL and VAULT_ETL_DATABASE_PASSWORD.
"""

from __future__ import annotations

import os
import sys
from contextlib import closing
from pathlib import Path

import psycopg2
from psycopg2 import sql


def main(password_file: str, login: str, role: str) -> None:
    """Change the login in one transaction."""
    owner = Path(os.environ["VAULT_ETL_DATABASE_PASSWORD"].removeprefix("file:"))
    password = Path(password_file).read_text(encoding="utf-8")
    with (
        closing(
            psycopg2.connect(
                os.environ["VAULT_ETL_DATABASE_URL"], password=owner.read_text("utf-8")
            )
        ) as connection,
        connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("SELECT FROM pg_roles WHERE rolname = %s", (login,))
        if cursor.fetchone() is None:
            cursor.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(login)))
            cursor.execute(
                sql.SQL("GRANT {} TO {}").format(sql.Identifier(role), sql.Identifier(login))
            )
        hashed = psycopg2.extensions.encrypt_password(password, login, connection, "scram-sha-256")
        cursor.execute(
            sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(login), sql.Literal(hashed))
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
