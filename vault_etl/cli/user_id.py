"""A user on the command line: an id as records have it, which is no personal field."""

from __future__ import annotations

from typing import Annotated

import typer

from vault_etl.base.errors import UsageError

UserIdOption = Annotated[
    str | None, typer.Option("--user-id", help="All records of this user, matched as it stands.")
]


def known_user(user_id: str) -> str:
    """The id, if a record can have it. Raises UsageError for what is not UTF-8."""
    if any("\ud800" <= character <= "\udfff" for character in user_id):
        message = "the user id is not UTF-8"
        raise UsageError(message, hint="no record has such a user")
    return user_id
