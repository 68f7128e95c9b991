"""How what was recovered is printed: with its receipt, or as the bare value."""

from __future__ import annotations

import base64
import sys
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated

import typer

from vault_etl.audit.entries import AuditReceipt
from vault_etl.base.pii import Pii
from vault_etl.cli.output import OutputFormat, print_object, wants_json
from vault_etl.cli.printable import printable
from vault_etl.cli.receipt import print_receipt


class LookOutput(StrEnum):
    """How what was recovered is printed: `value` is the bare value."""

    TABLE = "table"
    JSON = "json"
    VALUE = "value"


LookOutputOption = Annotated[
    LookOutput | None,
    typer.Option("--output", "-o", help="Default: table on a terminal, json in a pipe."),
]


def print_look(
    values: Mapping[str, object], receipt: AuditReceipt, output: LookOutput | None
) -> None:
    """One object and its place in the log, for every output but `value`.

    The signed note is a member of JSON, and stands by itself under a table.
    """
    form = None if output is None else OutputFormat(output.value)
    shown = {**values, "audit_seq": receipt.seq, "audit_hash": receipt.hash.hex()}
    if wants_json(form):
        print_object({**shown, "checkpoint": receipt.checkpoint}, form)
        return
    print_object(shown, form)
    print_receipt(receipt.checkpoint)
    sys.stdout.write("\n")


def print_value(value: bytes, *, end: bytes = b"\n") -> None:
    """Byte for byte in a pipe, whatever the locale; on a terminal, so that it cannot steer it."""
    if sys.stdout.isatty():
        sys.stdout.write(f"{printable(value.decode(errors='backslashreplace'))}\n")
    else:
        sys.stdout.buffer.write(value + end)


def readable(body: Pii) -> tuple[str, str]:
    """A body as text if it is one, else as base64 (RFC 4648, section 4); and which of both."""
    try:
        return body.expose().decode(), "utf-8"
    except UnicodeDecodeError:
        return base64.b64encode(body.expose()).decode(), "base64"
