"""What an erasure asks before it is done: what goes, and which archives may hold more."""

from __future__ import annotations

import pytest

from vault_etl.cli.erase import _question
from vault_etl.erase.erase import Erasable

ONE = {"user_logins_2024_03": "s3://cold/a"}


@pytest.mark.parametrize(
    ("there", "question"),
    [
        (Erasable(2, 0), "Erase the personal fields of 2 records for good?"),
        (
            Erasable(0, 0, ONE),
            (
                "The database holds nothing. Record the erasure for 1 archive or set that may hold values"
                " (user_logins_2024_03 in s3://cold/a)?"
            ),
        ),
        (
            Erasable(1, 1, {**ONE, "b": "/x\x1b"}),
            (
                "Erase the personal fields of 1 record and the body of a quarantined message for good, and record"
                " the erasure for 2 archives or sets that may hold values (user_logins_2024_03 in s3://cold/a,"
                " b in /x\\x1b)?"
            ),
        ),
    ],
)
def test_the_question_names_what_goes_and_where_more_may_be(there: Erasable, question: str) -> None:
    """Nothing in a place steers the terminal."""
    assert _question(there) == question
