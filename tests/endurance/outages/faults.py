"""Ways in which Postgres is away. Each is a block; what it does is mended at its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from urllib.parse import urlsplit, urlunsplit

import psycopg2

from tests.endurance.outages.crashable import Crashable
from tests.kit.sessions import connect
from tests.kit.tcp_proxy import HOST, TcpProxy
from tests.kit.vault import Vault
from tests.kit.waiting import until

ServerFault = Callable[[Vault, Crashable], AbstractContextManager[None]]
"""Hits every database of the server."""

DatabaseFault = Callable[[Vault], AbstractContextManager[None]]
"""Hits the vault's own alone."""

SECONDS = 60


@contextmanager
def stopped(_vault: Vault, server: Crashable) -> Iterator[None]:
    """`pg_ctl stop -m fast`, and started again."""
    server.stop("fast")
    try:
        yield
    finally:
        server.start()


@contextmanager
def crashed(_vault: Vault, server: Crashable) -> Iterator[None]:
    """`pg_ctl stop -m immediate`, and recovered."""
    server.stop("immediate")
    try:
        yield
    finally:
        server.start()


@contextmanager
def turned_read_only(vault: Vault, _server: Crashable) -> Iterator[None]:
    """Every connection is read-only at once."""
    vault.sql("ALTER SYSTEM SET default_transaction_read_only = on")
    vault.sql("SELECT pg_reload_conf()")
    try:
        yield
    finally:
        write(vault, "ALTER SYSTEM RESET default_transaction_read_only")
        write(vault, "SELECT pg_reload_conf()")


@contextmanager
def full_up(vault: Vault) -> Iterator[None]:
    """Make the database take no more connections, and cut those of ingest."""
    vault.sql(f'ALTER DATABASE "{vault.database}" CONNECTION LIMIT 0')
    try:
        cut(vault)
        yield
    finally:
        vault.sql(f'ALTER DATABASE "{vault.database}" CONNECTION LIMIT -1')


@contextmanager
def failed_over(vault: Vault) -> Iterator[None]:
    """Connections that are made meanwhile are read-only, and stay so for as long as they live."""
    vault.sql(f'ALTER DATABASE "{vault.database}" SET default_transaction_read_only = on')
    try:
        cut(vault)
        yield
    finally:
        write(vault, f'ALTER DATABASE "{vault.database}" RESET default_transaction_read_only')


@contextmanager
def closed_to_ingest(vault: Vault) -> Iterator[None]:
    """Ingest's login may connect no more."""
    right = f'CONNECT ON DATABASE "{vault.database}" %s PUBLIC, vault_etl_ingest'
    vault.sql("REVOKE " + right % "FROM")
    try:
        cut(vault)
        yield
    finally:
        vault.sql("GRANT " + right % "TO")


def refusing(sqlstate: str) -> DatabaseFault:
    """Every INSERT of records ends with this SQLSTATE."""

    @contextmanager
    def fault(vault: Vault) -> Iterator[None]:
        vault.sql(
            "CREATE FUNCTION vault_etl.refuse() RETURNS trigger LANGUAGE plpgsql AS"
            f" $$BEGIN RAISE EXCEPTION USING ERRCODE = '{sqlstate}'; END$$"
        )
        vault.sql(
            "CREATE TRIGGER refuse BEFORE INSERT ON vault_etl.user_logins"
            " FOR EACH STATEMENT EXECUTE FUNCTION vault_etl.refuse()"
        )
        try:
            yield
        finally:
            vault.sql("DROP FUNCTION vault_etl.refuse CASCADE")

    return fault


def write(vault: Vault, statement: str) -> None:
    """Write as the superuser, where transactions are read-only unless they say otherwise."""
    with closing(connect(vault.database_url("admin"))) as connection:
        connection.set_session(readonly=False, autocommit=True)
        with connection.cursor() as cursor:
            cursor.execute(statement)


def behind(vault: Vault, line: TcpProxy) -> str:
    """The setting that leads ingest to the database by way of this proxy."""
    parts = urlsplit(vault.database_url("ingest"))
    login = parts.netloc.rpartition("@")[0]
    return urlunsplit(parts._replace(netloc=f"{login}@{HOST}:{line.port}"))


def cut(vault: Vault) -> None:
    """Take ingest's connection away."""
    vault.sql(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
        " WHERE datname = current_database() AND usename = 'test_ingest'"
    )


@contextmanager
def locked(vault: Vault) -> Iterator[psycopg2.extensions.connection]:
    """Somebody holds the table of records, so that ingest waits in the middle of its transaction."""
    with closing(connect(vault.database_url("admin"))) as connection:
        with connection.cursor() as cursor:
            cursor.execute("LOCK TABLE vault_etl.user_logins IN ACCESS EXCLUSIVE MODE")
        yield connection
        connection.rollback()


def waiting_backend(vault: Vault) -> int:
    """The server process of ingest, as soon as it waits for a lock."""
    waiting: list[tuple[int]] = []

    def is_waiting() -> bool:
        waiting[:] = vault.sql(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
            " AND usename = 'test_ingest' AND wait_event_type = 'Lock'"
        )
        return bool(waiting)

    until(is_waiting, SECONDS, told=lambda: "ingest waits for no lock")
    return waiting[0][0]
