"""Files of online migrations have statements of three forms, and no fourth."""

from __future__ import annotations

import pytest

from vault_etl.base.errors import ConfigurationError
from vault_etl.schema.online import Constraint, Fill, Index, index_of, parse

GOOD = {
    "CREATE INDEX a_b ON vault_etl.a (b);": Index("a", "a_b", "(b)"),
    "CREATE INDEX a_b ON vault_etl.a\n    USING gin (b)\n    WHERE c = ';';": Index(
        "a", "a_b", "USING gin (b)\n    WHERE c = ';'"
    ),
    "ALTER TABLE vault_etl.a ADD CONSTRAINT b CHECK (c > 0);": Constraint(
        "a", "b", "CHECK (c > 0)"
    ),
    "-- Why;\nALTER TABLE vault_etl.a\n    ADD CONSTRAINT b\n    CHECK (c IN (1, 2));": Constraint(
        "a", "b", "CHECK (c IN (1, 2))"
    ),
    "UPDATE vault_etl.a SET b = (SELECT 1 WHERE true), c = 2\nWHERE b IS NULL\n    OR c = 1;": Fill(
        "a", "b = (SELECT 1 WHERE true), c = 2", "b IS NULL\n    OR c = 1"
    ),
}
BAD = (
    "",
    "-- Nothing.",
    "CREATE INDEX a_b ON vault_etl.a (b)",
    "CREATE INDEX ON vault_etl.a (b);",
    "CREATE INDEX CONCURRENTLY a_b ON vault_etl.a (b);",
    "CREATE UNIQUE INDEX a_b ON vault_etl.a (b);",
    "CREATE INDEX a_b ON a (b);",
    "ALTER TABLE vault_etl.a ADD CONSTRAINT b UNIQUE (c);",
    "ALTER TABLE vault_etl.a ADD CONSTRAINT b CHECK (c > 0) NOT VALID;",
    "ALTER TABLE vault_etl.a ADD COLUMN b text;",
    "UPDATE vault_etl.a SET b = 1;",
    "UPDATE vault_etl.a SET b = 1 WHERE b IS NULL;",
    "DELETE FROM vault_etl.a\nWHERE true;",
    "SELECT 1;",
)


@pytest.mark.parametrize(("text", "statement"), GOOD.items())
def test_a_statement_of_each_form(text: str, statement: object) -> None:
    """The statement is taken word for word, in a file of its own and among others."""
    assert parse("a", text) == [statement]
    assert parse("a", f"{text}\n\n{text}\n") == [statement, statement]


@pytest.mark.parametrize("text", BAD)
def test_any_other_statement_is_refused(text: str) -> None:
    """The error names the file and the number of the statement. A good statement before it does not help."""
    with pytest.raises(ConfigurationError, match=r"9001_a\.online .* statement 1"):
        parse("9001_a.online", text)
    if text and not text.startswith("--"):
        with pytest.raises(ConfigurationError, match="statement 2"):
            parse("a", f"{next(iter(GOOD))}\n{text}")


@pytest.mark.parametrize(
    ("index", "partition", "name"),
    [
        ("logins_user", "logins_2026_01", "logins_2026_01_user"),
        ("by_user", "logins_2026_01", "logins_2026_01_by_user"),
        ("logins_user", "p" * 58, "p" * 58 + "_user"),
        ("logins_user", "p" * 59, "p" * 54 + "_4fb6022a"),
        ("logins_user", "ü" * 31, "ü" * 27 + "_bdcf1e50"),
    ],
)
def test_an_index_of_a_partition_has_a_name_that_fits(
    index: str, partition: str, name: str
) -> None:
    """Names have at most 63 bytes. A digest distinguishes longer names that are cut."""
    found = index_of(Index("logins", index, "(user_id)"), partition)
    assert (found, len(found.encode()) <= 63) == (name, True)
