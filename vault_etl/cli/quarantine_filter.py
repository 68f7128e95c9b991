"""Which quarantined messages a command is about."""

from __future__ import annotations

import uuid
from typing import Annotated, Final

import typer

from vault_etl.event.events import Reason

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
