"""Vaults whose schema and roles have other names than the defaults, made by the real commands."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.extras

from tests.kit.databases import admin
from tests.kit.vault import ROLES, Vault
from tests.kit.vaults import IMPATIENT
from vault_etl.local.postgres import RunningPostgres
from vault_etl.local.provision import Provisioned
from vault_etl.platform.names import DEFAULT, Names
from vault_etl.platform.names import ROLES as GROUPS


@dataclass(frozen=True, slots=True)
class NamedVault(Vault):
    """A vault with these names, whose logins are called `in_<prefix><role>`. `sql` takes the default names."""

    names: Names = DEFAULT

    def login(self, role: str) -> str:
        """The login of a role; `admin` and `owner` are the superuser."""
        if role in {"admin", "owner"}:
            return "admin"
        return f"in_{self.names.role_prefix}{role.replace('-', '_')}"

    def database_url(self, role: str) -> str:
        """The URL of a role's login."""
        return self.server.url(self.login(role), self.database)

    def sql(self, statement: str, *values: object, role: str = "admin") -> list[tuple[Any, ...]]:
        """Run one statement, committed, with the names of this vault; its rows, if it has any."""
        path = f"-c search_path={self.names.schema}"
        with closing(psycopg2.connect(self.database_url(role), options=path)) as connection:
            connection.autocommit = True
            psycopg2.extras.register_uuid(conn_or_curs=connection)  # type: ignore[no-untyped-call]
            with connection.cursor() as cursor:
                cursor.execute(self.names.put_into(statement), values or None)
                return cursor.fetchall() if cursor.description else []

    def count_of(self, table: str) -> int:
        """Count the rows of a table of this vault."""
        ((rows,),) = self.sql(f"SELECT count(*) FROM vault_etl.{table}")  # noqa: S608 - a name of ours
        assert isinstance(rows, int)
        return rows


@contextmanager
def named_vault(
    server: RunningPostgres, database: str, moto: tuple[str, Provisioned], home: Path, names: Names
) -> Iterator[NamedVault]:
    """A migrated vault with a registered audit key and token keys. Its roles and logins are dropped with it."""
    settings = {
        "VAULT_ETL_DATABASE_SCHEMA": names.schema,
        "VAULT_ETL_ROLE_PREFIX": names.role_prefix,
    }
    vault = NamedVault(server, database, *moto, home, {**IMPATIENT, **settings}, names)
    roles = [names.role_prefix + group for group in GROUPS]
    logins = [vault.login(role) for role in ROLES]
    try:
        vault.ok("admin", "migrate")
        with admin(server, database) as cursor:
            for role, login in zip(ROLES, logins, strict=True):
                cursor.execute(
                    f"CREATE ROLE {login} LOGIN PASSWORD %s", (server.passwords.of(login),)
                )
                group = names.role_prefix + role.replace("-", "_")
                cursor.execute(f"GRANT {group} TO {login}")
        vault.register_audit_key()
        vault.ok("re-encrypt", "keys", "init")
        yield vault
    finally:
        with admin(server, database) as cursor:
            for role in (*logins, *roles):
                cursor.execute("SELECT FROM pg_roles WHERE rolname = %s", (role,))
                if cursor.fetchall():
                    cursor.execute(f"DROP OWNED BY {role} CASCADE")
                    cursor.execute(f"DROP ROLE {role}")
