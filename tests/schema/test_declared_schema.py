"""The schema of a vault of any declaration is what its rendered migrations say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.kit.databases import empty
from tests.kit.declarations import DEFAULT, WIDER
from tests.kit.schemas import FOLDER
from tests.kit.scratch import Scratch
from vault_etl.declaration.model import Declaration
from vault_etl.local.postgres import RunningPostgres
from vault_etl.schema.postgres_migrations import PostgresMigrations
from vault_etl.schema.units import Function, units_of


@dataclass(frozen=True, slots=True)
class Migrated:
    """A database that was migrated for a declaration."""

    declaration: Declaration
    scratch: Scratch


@pytest.fixture(scope="module", params=[DEFAULT, WIDER], ids=["default", "wider"])
def migrated(postgres: RunningPostgres, request: pytest.FixtureRequest) -> Iterator[Migrated]:
    """A vault of each declaration."""
    with empty(postgres) as scratch, scratch.database("admin") as database:
        PostgresMigrations(database, FOLDER, declaration=request.param).apply()
        yield Migrated(request.param, scratch)


def test_the_functions_are_those_of_the_migrations(migrated: Migrated) -> None:
    """Each has the signature, the result and the source that its unit has; commit_… are made by a loop."""
    found = migrated.scratch.sql(
        "SET LOCAL search_path = pg_catalog;"
        " SELECT format('%s(%s)', proname, pg_get_function_identity_arguments(oid)), pg_get_function_result(oid),"
        " CASE WHEN prosqlbody IS NULL THEN prosrc END"
        " FROM pg_proc WHERE pronamespace = 'vault_etl'::regnamespace AND prokind = 'f'"
    )
    units = [unit for unit in units_of(FOLDER, migrated.declaration) if isinstance(unit, Function)]
    assert sorted(found) == sorted((unit.signature, unit.result, unit.source) for unit in units)
