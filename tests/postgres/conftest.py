"""Databases for the tests of the SQL itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.conftest import TEMPLATE, database_copy
from tests.postgres.scratch import Scratch
from vault_etl.local.postgres import RunningPostgres


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
