"""Points in time on the command line."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

import typer

SinceOption = Annotated[
    dt.datetime | None, typer.Option(metavar="TIME", help="Only from then on (UTC).")
]
UntilOption = Annotated[
    dt.datetime | None, typer.Option(metavar="TIME", help="Only before then (UTC).")
]


def utc(moment: dt.datetime | None) -> dt.datetime | None:
    """The moment; one without a zone is UTC."""
    return moment.replace(tzinfo=dt.UTC) if moment and moment.tzinfo is None else moment
