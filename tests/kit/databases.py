"""Copies of a migrated database, which are dropped afterwards."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg2
import pytest

from tests.kit.scratch import Scratch
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
    """The name of a copy, with the rights and settings of the database itself too. It is dropped afterwards."""
    name = f"copy_{uuid.uuid4().hex[:12]}"
    with admin(server, "postgres") as cursor:
        # Without fsync, two thirds of the time that a copy through the log takes.
        cursor.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY file_copy')
        if template not in {"template0", "template1"}:  # whose own rights no new database has
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
    try:
        yield name
    finally:
        with admin(server, "postgres") as cursor:
            cursor.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@contextmanager
def admin(server: RunningPostgres, database: str) -> Iterator[psycopg2.extensions.cursor]:
    """A cursor of the superuser; every statement is committed."""
    with closing(psycopg2.connect(server.url("admin", database))) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            yield cursor
