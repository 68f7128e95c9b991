"""The default declaration is the login event: each rule of the parser and each column follows from it."""

from __future__ import annotations

from typing import Final

from tests.kit.declared import PERSONAL_FIELDS, USER_LOGINS
from tests.kit.login_kinds import KINDS
from tests.kit.schemas import FOLDER
from vault_etl.declaration.model import Numbers, PlainColumn, PlainType
from vault_etl.declaration.names import OWN_TABLES, is_reserved_event
from vault_etl.declaration.read import read_declaration
from vault_etl.kinds.kind import WHOLE_NUMBER
from vault_etl.schema.facts_file import expected_facts
from vault_etl.schema.units import Function, units_of

DEFAULT: Final = read_declaration(None)
EVENT: Final = DEFAULT.event("user_logins")
SCHEMA: Final = expected_facts(FOLDER, DEFAULT)


def test_the_default_has_the_fields_and_the_table_of_the_formats() -> None:
    """The names in associated data and in rows of keys are those of the declaration."""
    names = [str(field) for field in PERSONAL_FIELDS]
    assert [str(field.name) for field in DEFAULT.fields] == names == ["ip", "device_id"]
    assert [str(event.name) for event in DEFAULT.events] == [str(USER_LOGINS)] == ["user_logins"]
    assert [field.kind for field in DEFAULT.fields] == [KINDS[field] for field in PERSONAL_FIELDS]
    assert [(value.name, str(value.field.name)) for value in EVENT.personal] == [
        (name, name) for name in names
    ]


def test_the_default_has_the_names_of_the_login_event() -> None:
    """The required names come in the order in which the parser checks them; every value is at the top."""
    required = ("user_id", "device_type", "ip", "device_id")
    names = tuple(value.name for value in EVENT.values)
    assert names == (*required, "locale", "app_version", "create_date")
    assert tuple(value.name for value in EVENT.values if value.required) == required
    assert all(value.path.names == (value.name,) for value in EVENT.values)
    assert (EVENT.queue, EVENT.when) == (None, None)


def test_the_default_has_the_limits_and_numbers_of_the_login_event() -> None:
    """Each text has its most code points, and the spellings of numbers that it takes."""
    assert {column.name: (column.max, column.numbers) for column in EVENT.plain} == {
        "user_id": (128, Numbers.WHOLE),
        "device_type": (32, Numbers.WHOLE),
        "locale": (32, Numbers.WHOLE),
        "app_version": (32, Numbers.DECIMAL),
        "create_date": (None, None),
    }
    kinds = {value.name: value.field.kind for value in EVENT.personal}
    assert {name: (kind.max_code_points, kind.numbers) for name, kind in kinds.items()} == {
        "ip": (64, None),
        "device_id": (256, WHOLE_NUMBER),
    }


def test_the_default_has_the_day_and_the_moment_of_the_parser() -> None:
    """`create_date` is a day or a moment, in two columns; every other plain column is text."""
    assert (EVENT.day.name, EVENT.day.type) == ("create_date", PlainType.DAY)
    assert EVENT.day.columns == ("create_date", "event_time")
    assert {column.type for column in EVENT.plain if column != EVENT.day} == {PlainType.TEXT}
    assert (EVENT.subject.name, EVENT.subject.required) == ("user_id", True)


def test_the_default_has_the_columns_of_the_table() -> None:
    """The columns of the migrated table are those of the declaration, and the vault's own."""
    declared = {column for value in EVENT.values for column in value.columns}
    own = {"record_id", "token_generation", "next_token_generation"}
    assert {
        name.removeprefix("column ")
        for name in SCHEMA["table user_logins"]
        if name.startswith("column ") and " " not in name.removeprefix("column ")
    } == declared | own
    plain = [value.name for value in EVENT.values if isinstance(value, PlainColumn)]
    assert plain == ["user_id", "device_type", "locale", "app_version", "create_date"]


def test_no_event_can_have_a_name_of_the_vaults_tables() -> None:
    """Every table, view and sequence of the migrations is an event's of the default, or reserved."""
    names = {name.split()[1] for name in SCHEMA if name.split()[0] in {"table", "view", "sequence"}}
    assert {name for name in names if not is_reserved_event(name)} == {
        "user_logins",
        "user_logins_masked",
    }
    assert names >= OWN_TABLES
    assert not is_reserved_event("vaults")


def test_no_event_can_have_a_function_of_the_vault() -> None:
    """An event has functions `EVENT_counted` and others. What else has such a name is of no event."""
    names = {unit.name for unit in units_of(FOLDER, DEFAULT) if isinstance(unit, Function)}
    ends = [name.removeprefix(EVENT.name) for name in names if name.startswith(f"{EVENT.name}_")]
    assert "_counted" in ends
    others = {name.removesuffix(end) for end in ends for name in names if name.endswith(end)}
    assert {name for name in others if not is_reserved_event(name)} == {EVENT.name}
