"""Facts of the schema that follow from the declaration, in the words of the catalog.

They are columns of events with their constraints, indexes and grants, lists of fields and events in constraints of
other tables, and the sources of functions. All other facts are in a file (`facts_file.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from vault_etl.declaration.model import Declaration
from vault_etl.declaration.searched import searched
from vault_etl.declaration.sql_names import SqlColumn, SqlEvent, SqlName, literal
from vault_etl.schema.units import Function, Unit

Facts = Mapping[str, Mapping[str, str]]
"""Values by object and aspect."""

_IN_FULL: Final = {"timestamptz": "timestamp with time zone"}
_STORAGE: Final = {"bytea": "x", "numeric": "m", "text": "x"}
"""Letters of `pg_attribute.attstorage`. Other types are stored plain: `p`."""


def declared_facts(declaration: Declaration, units: Iterable[Unit]) -> Facts:
    """Return the facts. `units` are the migrations, rendered for the declaration."""
    events = tuple(map(SqlEvent.of, declaration.events))
    facts = _lists(declaration.field_names, searched(declaration), [e.name.raw for e in events])
    for event in events:
        facts |= {
            f"table {event.name.raw}": _columns(event) | _grants(event),
            f"partition of {event.name.raw}": _columns(event),
            f"view {event.name.raw}_masked": _view(event),
        }
    functions = (unit for unit in units if isinstance(unit, Function))
    return facts | {f"function {each.signature}": _function(each, events) for each in functions}


def _function(function: Function, events: Iterable[SqlEvent]) -> dict[str, str]:
    facts = {} if function.source is None else {"source": function.source}
    if any(function.name.startswith(f"{event.name.raw}_") for event in events):
        returns_set = function.result.startswith(("SETOF ", "TABLE("))
        facts |= {
            "arguments": function.arguments,
            "result": f"{function.result} {str(returns_set).lower()}",
        }
    return facts


def _lists(
    fields: Sequence[str], searched_names: Iterable[str], events: Sequence[str]
) -> dict[str, dict[str, str]]:
    """The constraints that list fields, names of searches, or events."""
    with_bodies = sorted([*fields, "quarantine"])
    cases = ",".join(
        f"\nCASE\n    WHEN ({_text(name)} = ANY (fields)) THEN {_text(name)}\n    ELSE NULL::text\nEND"
        for name in sorted([*searched_names, "quarantine"])
    )
    return {
        "table audit_log": {
            "constraint audit_log_fields_check": _check(
                f"fields = array_remove(ARRAY[{cases}], NULL::text)"
            )
        },
        "table data_keys": {
            "constraint data_keys_field_check": _check(
                f"field = ANY ({_texts([*fields, 'quarantine', 'source'])})"
            )
        },
        "table key_rotations": {
            "constraint key_rotations_fields_check": _check(
                f"(fields <@ {_texts(with_bodies)}) AND (COALESCE(array_ndims(fields), 0) = 1)"
            ),
            "constraint tokens_are_of_all_fields": _check(
                f"(purpose = 'data'::text) OR ((fields @> {_texts(sorted(fields))})"
                f" AND (cardinality(fields) = {len(fields)}))"
            ),
        },
        "table rotation_ranges": {
            "constraint rotation_ranges_place_check": _check(
                f"place = ANY ({_texts([*events, 'quarantine'])})"
            )
        },
        "table value_counts": {
            "constraint value_counts_field_check": _check(
                f"field = ANY ({_texts([*fields, 'quarantine', 'token'])})"
            )
        },
    }


def _columns(event: SqlEvent) -> dict[str, str]:
    """The columns of a table or of a partition, and the constraints and indexes about them."""
    table = event.name.raw
    filled = {"record_id", event.day.raw, *(name.raw for name in event.required_plain)}
    return {
        **_types(event.types, filled),
        **dict(filter(None, map(_limits, event.plain))),
        **{
            f"constraint {column.moment.raw}_is_of_the_day": _check(
                f"(({column.moment} AT TIME ZONE 'UTC'::text))::date = {column.name}"
            )
            for column in event.plain
            if column.moment
        },
        **{
            f"constraint {value.name.raw}_is_sealed": _check(
                f"(SUBSTRING({value.ciphertext} FROM 1 FOR 1) = '\\x01'::bytea)"
                f" AND (octet_length({value.ciphertext}) >= 49)"
                f" AND (octet_length({value.ciphertext}) <= {value.max_octets})"
                f" AND ((octet_length({value.ciphertext}) % 16) = 1)"
            )
            for value in event.personal
        },
        **{
            f"index {table}_{token.raw}": f"btree ({token}) WHERE ({token} IS NOT NULL)"
            for token in event.tokens + event.next_tokens
        },
        **{
            f"index {table}_{column.raw}": f"btree ({column})"
            for column in (event.subject, event.day)
        },
    }


def _limits(column: SqlColumn) -> tuple[str, str] | None:
    if column.type == "date":
        limits = f"({column.name} >= '0001-01-01'::date) AND ({column.name} <= '9999-12-31'::date)"
    elif column.max is None:
        return None
    else:
        length = f"char_length({column.name})"
        limits = f"{length} <= {column.max}"
        if column.required:
            limits = f"({length} >= 1) AND ({limits})"
    return f"constraint {column.limits.raw}", _check(limits)


def _grants(event: SqlEvent) -> dict[str, str]:
    updated = (*event.next_tokens, SqlName("next_token_generation"), *event.ciphertexts)
    granted = [
        *(f"SELECT ({name.raw}) to vault_etl_analyst" for name in event.shown),
        *(f"UPDATE ({name.raw}) to vault_etl_re_encrypt" for name in updated),
    ]
    return {f"grant of {grant}": "false" for grant in granted}


def _view(event: SqlEvent) -> dict[str, str]:
    first, *others = event.shown
    lines = [f" SELECT {first}", *(f"    {name}" for name in others)]
    return {
        "definition": "\n".join(sorted([*lines, f"   FROM vault_etl.{event.name};"])),
        **_types({name: event.types[name] for name in event.shown}),
    }


def _types(types: Mapping[SqlName, str], filled: Iterable[str] = ()) -> dict[str, str]:
    """The columns with their types. `filled` are NOT NULL."""
    return {
        f"column {name.raw}": (
            f"{_IN_FULL.get(type_, type_)}{' NOT NULL' if name.raw in filled else ''}"
            f" {_STORAGE.get(type_, 'p')}"
        )
        for name, type_ in types.items()
    }


def _check(condition: str) -> str:
    return f"CHECK (({condition})) true"


def _texts(names: Iterable[str]) -> str:
    return f"ARRAY[{', '.join(map(_text, names))}]"


def _text(name: str) -> str:
    return f"{literal(name)}::text"
