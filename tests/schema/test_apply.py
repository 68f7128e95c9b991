"""A declaration that is put in force: the vault becomes one that was made for it, and keeps its rows."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kit.applied import GROWN, put_in_force
from tests.kit.databases import clone, empty
from tests.kit.scratch import Scratch, sealed_record
from vault_etl.local.postgres import RunningPostgres
from vault_etl.platform.resources import resource_dir
from vault_etl.schema.declared_facts import Facts
from vault_etl.schema.postgres_migrations import PostgresMigrations
from vault_etl.schema.postgres_schema import PostgresSchema


def facts(scratch: Scratch) -> Facts:
    """All facts of the schema, without the order of columns, which an applied vault has as they came."""
    with scratch.database("admin") as database:
        return PostgresSchema(database, resource_dir("migrations"), GROWN).facts()


@pytest.fixture(scope="module")
def fresh(postgres: RunningPostgres) -> Iterator[Scratch]:
    """A vault that was made for the wider declaration."""
    with empty(postgres) as scratch:
        with scratch.database("admin") as database:
            PostgresMigrations(database, resource_dir("migrations"), declaration=GROWN).apply()
        yield scratch


@pytest.fixture(scope="module")
def applied(postgres: RunningPostgres) -> Iterator[Scratch]:
    """A vault of the default declaration with records, in which the wider one was put in force."""
    with clone(postgres) as scratch:
        scratch.add_token_keys()
        keys = scratch.write_keys()
        with scratch.loader() as loader:
            loader.load([sealed_record(keys) for _ in range(10)], [], keys)
            plan = put_in_force(scratch, GROWN)
            assert (plan.version, plan.admits_old_workers) == (2, True)
        yield scratch


def test_an_applied_vault_is_as_one_that_was_made_so(fresh: Scratch, applied: Scratch) -> None:
    """Tables, constraints, indexes, functions, triggers, views, rights and comments are those of a new vault."""
    made, grown = facts(fresh), facts(applied)
    assert grown.keys() == made.keys()
    for name, aspects in made.items():
        assert grown[name] == aspects, name
