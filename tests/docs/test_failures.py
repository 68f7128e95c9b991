"""docs/operations/failures.md has the tables of failures of the code."""

from __future__ import annotations

from docs.generate_failures import PAGE, tables, with_tables


def test_the_tables_of_failures_are_those_of_the_code() -> None:
    """The tables are not stale. If this fails: .venv/bin/python docs/generate_failures.py."""
    page = PAGE.read_text(encoding="utf-8")
    assert page == with_tables(page)
    assert all(table in page for table in tables().values())
