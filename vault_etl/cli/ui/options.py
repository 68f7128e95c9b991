"""Options that several commands take, and the parsers of their values."""

from __future__ import annotations

import datetime as dt
import re
from typing import Annotated, Final

import typer

from vault_etl.base.errors import UsageError
from vault_etl.base.text import uuid_of
from vault_etl.event.rejection import Reason

_SECONDS: Final = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400}

DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Show what would happen, and change nothing.")
]

YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]

RateOption = Annotated[
    float | None, typer.Option(min=1, help="At most this many rows a second. [default: no limit]")
]

SinceOption = Annotated[
    dt.datetime | None, typer.Option(metavar="TIME", help="Only from this time on (UTC).")
]

UntilOption = Annotated[
    dt.datetime | None, typer.Option(metavar="TIME", help="Only before this time (UTC).")
]

UserIdOption = Annotated[
    str | None,
    typer.Option("--user-id", help="All records of this user; the id must match exactly."),
]

QUEUE: Final = "queue"

ReasonCodeOption = Annotated[
    Reason | None,
    typer.Option(metavar="CODE", help="Only messages with this reason, such as not_an_address."),
]


class Duration:
    """Parses 90, 90s, 10m, 2h or 1d into seconds."""

    __name__ = "TIME"

    def __call__(self, value: str | float) -> float:
        """Parse into seconds. Raises typer's BadParameter for other text."""
        if isinstance(value, int | float):
            return float(value)
        found = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]+)?)([smhd]?)", value.strip())
        if found is None:
            message = "a time is a number and s, m, h or d: 90s, 10m, 2h"
            raise typer.BadParameter(message)
        return float(found[1]) * _SECONDS[found[2]]


WAIT_S: Final = 300.0

WaitOption = Annotated[
    float,
    typer.Option(
        parser=Duration(),
        metavar="TIME",
        help="How long to wait for locks of other sessions: 90s, 10m, 2h.",
        show_default="5m",
    ),
]


def utc(moment: dt.datetime | None) -> dt.datetime | None:
    """The time with its zone; without a zone it is in UTC."""
    return moment.replace(tzinfo=dt.UTC) if moment and moment.tzinfo is None else moment


def known_user(user_id: str) -> str:
    """The id of a user as records have it; it is not a personal field. Raises UsageError if it is not UTF-8."""
    if any("\ud800" <= character <= "\udfff" for character in user_id):
        message = "the user id is not UTF-8"
        raise UsageError(message, hint="no record has such a user id")
    return user_id


def _source(text: str) -> str:
    """Parse `queue`, or a file's id into its canonical form. Raises typer's BadParameter."""
    try:
        return text if text == QUEUE else str(uuid_of(text))
    except ValueError:
        message = "a source is `queue`, or the id of a file as `quarantine list` shows it"
        raise typer.BadParameter(message) from None


SourceOption = Annotated[
    str | None,
    typer.Option(
        "--source",
        metavar="SOURCE",
        parser=_source,
        help="Only messages of this file (its id), or of the `queue`.",
    ),
]
