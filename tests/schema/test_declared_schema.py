"""The schema of a vault of any declaration is what its rendered migrations say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.kit.applied import put_in_force
from tests.kit.databases import TEMPLATE, empty
from tests.kit.declarations import DEFAULT, DEFAULT_TOML, TWO_EVENTS, WIDER
from tests.kit.schemas import FOLDER, differences
from tests.kit.scratch import Scratch
from vault_etl.declaration.model import Declaration
from vault_etl.declaration.parse import parse_declaration
from vault_etl.local.postgres import RunningPostgres
from vault_etl.schema.facts_file import expected_facts
from vault_etl.schema.postgres_migrations import PostgresMigrations
from vault_etl.schema.postgres_schema import PostgresSchema
from vault_etl.schema.units import Function, units_of


@dataclass(frozen=True, slots=True)
class Migrated:
    """A database that was migrated for a declaration."""

    declaration: Declaration
    scratch: Scratch


@pytest.fixture(
    scope="module", params=[DEFAULT, WIDER, TWO_EVENTS], ids=["default", "wider", "two events"]
)
def migrated(postgres: RunningPostgres, request: pytest.FixtureRequest) -> Iterator[Migrated]:
    """A vault of each declaration."""
    with empty(postgres) as scratch:
        with scratch.database("admin") as database:
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


def test_the_expected_facts_are_those_of_the_database(migrated: Migrated) -> None:
    """No object is missing, and none is more; and a comparison names no difference, to any login."""
    with migrated.scratch.database("analyst") as opened:
        found = PostgresSchema(opened, FOLDER, migrated.declaration).facts()
    assert expected_facts(FOLDER, migrated.declaration) == found
    assert differences(migrated.scratch, declaration=migrated.declaration) == []


CHANGES = """
    CREATE OR REPLACE FUNCTION vault_etl.{event}_inserted() RETURNS trigger
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s'
        AS $$ BEGIN RETURN NULL; END $$;
    GRANT EXECUTE ON FUNCTION vault_etl.{event}_updated() TO PUBLIC;
    ALTER TABLE vault_etl.{event} DROP CONSTRAINT {value}_is_sealed;
    ALTER TABLE vault_etl.{event}_undated ALTER COLUMN {value}_ciphertext SET STORAGE PLAIN;
    ALTER TABLE vault_etl.{event} DISABLE TRIGGER {event}_updated;
    DROP INDEX vault_etl.{event}_{token};
    GRANT SELECT ({value}_ciphertext) ON vault_etl.{event} TO vault_etl_analyst;
    DO $$ BEGIN EXECUTE 'CREATE OR REPLACE VIEW vault_etl.{event}_masked AS '
        || rtrim(pg_get_viewdef('vault_etl.{event}_masked'::regclass), ';') || ' LIMIT 0'; END $$;
"""
NAMED = (
    "function {event}_inserted(): source was changed",
    "function {event}_updated(): grant of EXECUTE to PUBLIC is not of the migrations",
    "table {event}: constraint {value}_is_sealed is missing",
    "table {event}_undated: column {value}_ciphertext was changed",
    "table {event}: trigger {event}_updated was changed",
    "table {event}: index {event}_{token} is missing",
    "table {event}: grant of SELECT ({value}_ciphertext) to vault_etl_analyst is not of the migrations",
    "view {event}_masked: definition was changed",
)


def test_changed_guards_of_a_declared_event_are_named(migrated: Migrated) -> None:
    """Of each event, and of a value that the default declaration does not have."""
    server, name = migrated.scratch.server, migrated.scratch.name
    for event in migrated.declaration.events:
        value = event.personal[-1]
        words = {"event": event.name, "value": value.name, "token": value.token}
        with empty(server, name) as database:
            database.sql(CHANGES.format(**words))
            found = differences(database, declaration=migrated.declaration)
        assert {line.format(**words) for line in NAMED} <= set(found)


def test_columns_that_come_last_are_no_difference(postgres: RunningPostgres) -> None:
    """A view has a column at the end that was added later. Nothing depends on the order."""
    with empty(postgres, TEMPLATE) as database:
        database.sql(
            """ALTER VIEW vault_etl.user_logins_masked RENAME COLUMN masked_ip TO z;
                ALTER VIEW vault_etl.user_logins_masked RENAME COLUMN locale TO masked_ip;
                ALTER VIEW vault_etl.user_logins_masked RENAME COLUMN z TO locale"""
        )
        assert "view user_logins_masked: definition was changed" in differences(database)
        database.sql(
            """DROP VIEW vault_etl.user_logins_masked; SET ROLE vault_etl_owner;
                CREATE VIEW vault_etl.user_logins_masked AS SELECT record_id, app_version, user_id, device_type,
                    create_date, event_time, locale, masked_ip, masked_device_id FROM vault_etl.user_logins;
                GRANT SELECT ON vault_etl.user_logins_masked TO vault_etl_analyst; RESET ROLE"""
        )
        assert differences(database) == []


def test_a_required_column_that_was_added_later_is_no_difference(postgres: RunningPostgres) -> None:
    """Rows from before have NULL there. A column that has lost a part of its limits is named."""
    plain = "[events.user_logins.plain]"
    channel = 'channel = {type = "text", max = 8, required = true}'
    later = parse_declaration(
        DEFAULT_TOML.replace(plain, f"{plain}\n{channel}").encode(), "later.toml"
    )
    with empty(postgres, TEMPLATE) as database:
        put_in_force(database, later)
        assert differences(database, declaration=later) == []
        database.sql("ALTER TABLE vault_etl.user_logins ALTER COLUMN device_type DROP NOT NULL")
        found = differences(database, declaration=later)
        assert "table user_logins: constraint user_logins_device_type_check was changed" in found
