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

from vault_etl.local.database import give_login


def main(password_file: str, login: str, role: str) -> None:
    """Change the login in one transaction."""
    owner = Path(os.environ["VAULT_ETL_DATABASE_PASSWORD"].removeprefix("file:"))
    password = Path(password_file).read_text(encoding="utf-8")
    url, owners = os.environ["VAULT_ETL_DATABASE_URL"], owner.read_text(encoding="utf-8")
    with closing(psycopg2.connect(url, password=owners)) as connection, connection:
        give_login(connection, login, password, [role])


if __name__ == "__main__":
    main(*sys.argv[1:])
