"""A declaration that is put in force: the vault becomes one that was made for it, and keeps its rows."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg2.errors
import pytest

from tests.kit.applied import GROWN, put_in_force
from tests.kit.databases import clone, empty
from tests.kit.declarations import DEFAULT, SHOP
from tests.kit.schemas import FOLDER
from tests.kit.scratch import Scratch, sealed_record
from vault_etl.base.errors import ConfigurationError
from vault_etl.declaration.document import digest_of, document_of
from vault_etl.declaration.writer import WriterDeclaration
from vault_etl.local.postgres import RunningPostgres
from vault_etl.records.fenced_writes import Loaded
from vault_etl.records.postgres import PostgresRecordLoader
from vault_etl.schema.declared_facts import Facts
from vault_etl.schema.postgres_migrations import PostgresMigrations
from vault_etl.schema.postgres_schema import PostgresSchema
from vault_etl.schema.postgres_versions import PostgresVersions


def facts(scratch: Scratch) -> Facts:
    """All facts of the schema, without the order of columns, which an applied vault has as they came."""
    with scratch.database("admin") as database:
        return PostgresSchema(database, FOLDER, GROWN).facts()


@pytest.fixture(scope="module")
def fresh(postgres: RunningPostgres) -> Iterator[Scratch]:
    """A vault that was made for the wider declaration."""
    with empty(postgres) as scratch:
        with scratch.database("admin") as database:
            PostgresMigrations(database, FOLDER, declaration=GROWN).apply()
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


def test_the_version_before_may_be_written_and_no_other(applied: Scratch) -> None:
    """A loader of the default declaration stores rows of before beside new ones; a rotation of it is refused."""
    keys = applied.write_keys()
    with applied.loader() as loader:
        record = sealed_record(keys)
        assert loader.load([record], [], keys) == Loaded(frozenset({record.record_id}), frozenset())
    with applied.database("re-encrypt") as database:
        versions = PostgresVersions(database)
        versions.check(WriterDeclaration.of(GROWN))
        with pytest.raises(ConfigurationError, match="not the one in force"):
            versions.check(WriterDeclaration.of(DEFAULT))
    with applied.database("ingest") as database:
        other = PostgresRecordLoader(database, SHOP)
        with pytest.raises(ConfigurationError, match="not the one in force") as refused:
            other.load([], [], keys)
    assert refused.value.exit_code == 78


def test_migrate_takes_the_declaration_in_force_alone(applied: Scratch) -> None:
    """Another file is refused before anything is changed, and the hint names the command."""
    with applied.database("admin") as database:
        for declaration in (DEFAULT, SHOP):
            migrations = PostgresMigrations(database, FOLDER, declaration=declaration)
            for attempt in (migrations.apply, migrations.pending):
                with pytest.raises(ConfigurationError, match="another declaration") as refused:
                    attempt()
                assert "schema apply" in str(refused.value.hint)
        assert PostgresMigrations(database, FOLDER, declaration=GROWN).apply().names == []


def test_the_catalogue_has_each_version(applied: Scratch) -> None:
    """The document, its digest, and the digest that is admitted; and no login but the owner changes a row."""
    first, second = applied.sql(
        "SELECT version, digest, admits, document, seq IS NULL FROM schema_versions ORDER BY version"
    )
    assert bytes(first[1]) == digest_of(DEFAULT) == bytes(second[2])
    assert bytes(second[1]) == digest_of(GROWN)
    assert (first[3], second[3]) == (document_of(DEFAULT).decode(), document_of(GROWN).decode())
    assert (first[2], first[4], second[4]) == (None, True, False)
    for statement in ("DELETE FROM schema_versions", "UPDATE schema_versions SET admits = digest"):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            applied.sql(statement)
