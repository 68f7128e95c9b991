"""Databases for the tests of the SQL itself."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.conftest import COPY, TEMPLATE, admin
from tests.postgres.scratch import Scratch
from vault_etl.adapters.embedded.postgres import RunningPostgres
from vault_etl.adapters.resources import resource_dir


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
    """A copy of the migrated template, with the rights on the database itself, which are not copied."""
    with empty(server, TEMPLATE) as database:
        database.sql((resource_dir("migrations") / "0001_roles.sql").read_text(encoding="utf-8"))
        yield database


@contextmanager
def empty(server: RunningPostgres, template: str = "template1") -> Iterator[Scratch]:
    """A database that is dropped afterwards."""
    name = f"scratch_{uuid.uuid4().hex[:12]}"
    with admin(server, "postgres") as cursor:
        cursor.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" {COPY}')
    try:
        yield Scratch(server, name)
    finally:
        with admin(server, "postgres") as cursor:
            cursor.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
