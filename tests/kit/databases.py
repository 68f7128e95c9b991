"""Copies of a migrated database, which are dropped afterwards."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2.extensions
import pytest

from tests.kit.scratch import Scratch
from tests.kit.sessions import end_kept, kept_session
from tests.kit.vault import ROLES
from vault_etl.local.postgres import RunningPostgres

TEMPLATE = "vault_template"


@pytest.fixture
def scratch(postgres: RunningPostgres) -> Iterator[Scratch]:
    """A migrated database of this test, without keys."""
    with clone(postgres) as database:
        yield database


@pytest.fixture(scope="module")
def shared(postgres: RunningPostgres) -> Iterator[Scratch]:
    """A migrated database of this file, for tests that leave it as it was or do not mind."""
    with clone(postgres) as database:
        yield database


@contextmanager
def clone(server: RunningPostgres) -> Iterator[Scratch]:
    """A copy of the migrated template."""
    with empty(server, TEMPLATE) as database:
        yield database


@contextmanager
def empty(server: RunningPostgres, template: str = "template1") -> Iterator[Scratch]:
    """A copy of a database, which is dropped afterwards."""
    with database_copy(server, template) as name:
        yield Scratch(server, name)


@contextmanager
def database_copy(server: RunningPostgres, template: str) -> Iterator[str]:
    """The name of a copy of a database. The copy is dropped afterwards."""
    name = copy_database(server, template)
    try:
        yield name
    finally:
        end_kept(server.port, name)
        with admin(server, "postgres") as cursor:
            cursor.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def copy_database(server: RunningPostgres, template: str, strategy: str = "file_copy") -> str:
    """Copy a database, with the rights and settings of the database itself; return the name of the copy.

    Without fsync, a copy of the files takes a third of the time that a copy through the log takes ("wal_log").
    """
    name = f"copy_{uuid.uuid4().hex[:12]}"
    end_kept(server.port, template)
    with admin(server, "postgres") as cursor:
        cursor.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY {strategy}')
        if template not in {
            "template0",
            "template1",
        }:  # their own rights belong to no other database
            cursor.execute(
                "UPDATE pg_database SET datacl = t.datacl FROM pg_database AS t"
                " WHERE pg_database.datname = %s AND t.datname = %s",
                (name, template),
            )
            cursor.execute(
                "INSERT INTO pg_db_role_setting SELECT d.oid, s.setrole, s.setconfig"
                " FROM pg_database AS d, pg_db_role_setting AS s JOIN pg_database AS t"
                " ON t.oid = s.setdatabase WHERE d.datname = %s AND t.datname = %s",
                (name, template),
            )
    return name


def make_logins(server: RunningPostgres, database: str) -> None:
    """Make a login `test_<role>` for each role of a migrated database."""
    with admin(server, database) as cursor:
        for role in ROLES:
            name = role.replace("-", "_")
            password = server.passwords.of(f"test_{name}")
            cursor.execute(f"CREATE ROLE test_{name} LOGIN PASSWORD %s", (password,))
            cursor.execute(f"GRANT vault_etl_{name} TO test_{name}")


@contextmanager
def admin(server: RunningPostgres, database: str) -> Iterator[psycopg2.extensions.cursor]:
    """A cursor of the superuser; every statement is committed."""
    with kept_session(server.url("admin", database)) as session, session.cursor() as cursor:
        yield cursor
