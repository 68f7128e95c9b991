"""A length of time on the command line."""

from __future__ import annotations

import datetime as dt
import re
import uuid
from enum import StrEnum
from typing import Annotated, Final

import typer

from vault_etl.base.errors import UsageError
from vault_etl.event.rejection import Reason

_SECONDS: Final = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400}


class Duration:
    """Parses 90, 90s, 10m, 2h or 1d into seconds."""

    __name__ = "TIME"

    def __call__(self, value: str | float) -> float:
        """Seconds. Raises typer's BadParameter for anything else."""
        if isinstance(value, int | float):
            return float(value)
        found = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]+)?)([smhd]?)", value.strip())
        if found is None:
            message = "a time is a number and s, m, h or d: 90s, 10m, 2h"
            raise typer.BadParameter(message)
        return float(found[1]) * _SECONDS[found[2]]


SinceOption = Annotated[
    dt.datetime | None, typer.Option(metavar="TIME", help="Only from then on (UTC).")
]
UntilOption = Annotated[
    dt.datetime | None, typer.Option(metavar="TIME", help="Only before then (UTC).")
]


def utc(moment: dt.datetime | None) -> dt.datetime | None:
    """The moment; one without a zone is UTC."""
    return moment.replace(tzinfo=dt.UTC) if moment and moment.tzinfo is None else moment


UserIdOption = Annotated[
    str | None, typer.Option("--user-id", help="All records of this user, matched as it stands.")
]


def known_user(user_id: str) -> str:
    """The id, if a record can have it. Raises UsageError for what is not UTF-8."""
    if any("\ud800" <= character <= "\udfff" for character in user_id):
        message = "the user id is not UTF-8"
        raise UsageError(message, hint="no record has such a user")
    return user_id


class PersonalField(StrEnum):
    """The fields that can be recovered."""

    IP = "ip"
    DEVICE_ID = "device_id"


QUEUE: Final = "queue"

ReasonCodeOption = Annotated[
    Reason | None,
    typer.Option(metavar="CODE", help="Only messages with this reason, such as not_an_address."),
]


def _source(text: str) -> str:
    """`queue`, or a file's id in its one spelling. Raises typer's BadParameter."""
    try:
        return text if text == QUEUE else str(uuid.UUID(text))
    except ValueError:
        message = "a source is `queue`, or the id of a file as `quarantine list` shows it"
        raise typer.BadParameter(message) from None


SourceOption = Annotated[
    str | None,
    typer.Option(
        "--source",
        metavar="SOURCE",
        parser=_source,
        help="Only messages of a file (its id), or of a `queue`.",
    ),
]
