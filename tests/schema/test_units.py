"""The units of a migration: where statements end, and what belongs to a function."""

from __future__ import annotations

import pytest

from tests.kit.declarations import DEFAULT, TWO_EVENTS, WIDER
from tests.kit.schemas import FOLDER
from vault_etl.declaration.model import Declaration
from vault_etl.declaration.sql import rendered
from vault_etl.schema.units import Function, Unit, units, units_of

CHECK = """\
-- Checks; what is written.

CREATE FUNCTION vault_etl.check(
    at timestamptz, "order" text[] DEFAULT NULL
) RETURNS TABLE (
    a text, b timestamptz
)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT 'it''s; $', $1;  -- not the end;
$$;
REVOKE ALL ON FUNCTION vault_etl.check(timestamptz, text[]) FROM PUBLIC;
-- For analysts.
GRANT EXECUTE ON FUNCTION vault_etl.check(timestamptz, text[]) TO vault_etl_analyst;
COMMENT ON FUNCTION vault_etl.check(timestamptz, text[]) IS 'Checks; returns a and b.';
"""
OTHER = """
CREATE UNIQUE INDEX a ON vault_etl.b (c);
CREATE TABLE vault_etl."order" (a text CHECK (a <> ';'));
COMMENT ON FUNCTION vault_etl.another(text) IS 'Of no function above.';
DO $do$ BEGIN EXECUTE format($$ SELECT 1; $$); END $do$;
-- The end.
"""


def test_a_function_has_the_statements_about_it() -> None:
    """Its header is in the words of the server, and its source is what is between the dollar quotes."""
    function, *others = units(CHECK + OTHER)
    assert function == Function(
        text=CHECK.removesuffix("\n"),
        kind="function",
        name="check",
        arguments='at timestamp with time zone, "order" text[]',
        result="TABLE(a text, b timestamp with time zone)",
        source="\n    SELECT 'it''s; $', $1;  -- not the end;\n",
    )
    assert isinstance(function, Function)
    assert function.signature == 'check(at timestamp with time zone, "order" text[])'
    assert function.replacing == function.text.replace("CREATE", "CREATE OR REPLACE")
    assert [(unit.kind, unit.name) for unit in others] == [
        ("index", "a"),
        ("table", "order"),
        ("comment", ""),
        ("do", ""),
    ]


def test_a_function_of_one_expression_has_no_source() -> None:
    """The server keeps it in other words."""
    (function,) = units("CREATE FUNCTION vault_etl.one() RETURNS int LANGUAGE sql RETURN 1;\n")
    assert isinstance(function, Function)
    assert (function.arguments, function.result, function.source) == ("", "int", None)


def test_a_header_of_another_form_is_an_error() -> None:
    """A function is not taken for another statement."""
    with pytest.raises(ValueError, match="the function one has a header of another form"):
        units("CREATE FUNCTION vault_etl.one(a numeric(10, 2)) RETURNS int LANGUAGE sql RETURN 1;")


@pytest.mark.parametrize("declaration", [DEFAULT, WIDER, TWO_EVENTS])
def test_joined_units_are_the_migration(declaration: Declaration) -> None:
    """No character is lost, and each part begins with a statement."""
    for path in FOLDER.glob("[0-9]*.sql"):
        text = rendered(path.read_text(encoding="utf-8"), declaration)
        found = units(text)
        assert "".join(unit.text for unit in found) == text
        assert all(unit.kind for unit in found)


def test_a_wider_declaration_changes_functions_and_tables() -> None:
    """All other units are the same, so a change of the declaration runs no more than these."""

    def differ(one: tuple[Unit, ...], other: tuple[Unit, ...]) -> set[str]:
        return {unit.kind for unit in one if unit not in other}

    before, after = units_of(FOLDER, DEFAULT), units_of(FOLDER, WIDER)
    assert differ(before, after) == {"comment", "function", "grant", "table", "view"}
    assert differ(after, before) == {"comment", "function", "grant", "index", "table", "view"}
