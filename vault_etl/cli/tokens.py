"""`vault-etl tokens`."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from vault_etl.audit.entries import MAX_AMOUNT, Action
from vault_etl.audit.log import audit_request
from vault_etl.base.errors import DataError, UsageError
from vault_etl.base.pii import Pii
from vault_etl.cli.needed_roles import NEEDED_ROLES
from vault_etl.cli.start import VerboseOption, start
from vault_etl.cli.ui.fields import complete_searched, field_option, named_fields, token_column
from vault_etl.cli.ui.months import warn_of
from vault_etl.cli.ui.output import QuietOption, print_receipt
from vault_etl.cli.ui.printable import printable
from vault_etl.cli.ui.prompts import (
    PurposeOption,
    ReasonOption,
    TicketOption,
    read_lines,
    reason_for,
    word,
)
from vault_etl.crypto.fields import FieldName
from vault_etl.declaration.searched import searched
from vault_etl.records.unattached_months import UnsearchedMonths
from vault_etl.reveal.tokens import MadeTokens

_SHOWN_LINES: Final = 10


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("tokens", context_settings={"allow_extra_args": True})(_tokens)


def _tokens(
    context: typer.Context,
    *,
    field: Annotated[
        str,
        field_option(
            "The field of the values, or a derived form of it, such as ip/network.",
            complete_searched,
        ),
    ],
    column: Annotated[
        str | None, typer.Option(help="The column with the values, in CSV with a header.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option(help="Read this file. [default: standard input]")
    ] = None,
    reason: ReasonOption = None,
    purpose: PurposeOption = None,
    ticket: TicketOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Turn a list of values into the tokens that analysts see, for a join. One entry in the log.

    Input and output are CSV: one value a line, or the column that `--column` names. Tokens replace
    the values; order and other columns stay. Values must not be given on the command line, and are
    not in the output. At most 65,536 values; the entry has their number, and they count for
    `tokens_an_hour` of the reveal policy.

    A value that the field cannot hold gets no token, and its row is named (exit 65). The tokens are
    of the active generation: they join until `keys rotate --tokens` cuts over.

    \b
    Examples:
      vault-etl tokens --field ip --reason "list 7" < in.txt > out.txt
      vault-etl tokens -f device_id --column device --reason x < in.csv > out.csv
    """
    from vault_etl.app import audit, find, records

    if context.args:
        message = "a value must not be given on the command line"
        raise UsageError(message, hint="the shell's history has it now; see --help")
    asked = reason_for("a list of tokens", reason)
    kind, reference = word(purpose, "purpose"), word(ticket, "ticket")
    parts, _ = start(quiet=quiet, verbose=verbose)
    searchable = searched(parts.declaration)
    (name,) = named_fields([field], searchable)
    events = searchable[name].events(parts.declaration)
    header, rows, at = _table(read_lines(file), column, name)
    values = [Pii.of_text(row[at]) for row in rows]
    request = audit_request(
        parts.identity,
        Action.TOKENS,
        asked,
        fields=(name,),
        purpose=kind,
        ticket=reference,
        amount=len(values),
    )
    audit.check_role(parts, *NEEDED_ROLES["tokens"], requests=lambda: [request])
    with UnsearchedMonths(records.months(parts), events) as left:
        made = find.make_tokens(parts, request.request_id)(request, values)
    _write(header, rows, at, made)
    if sys.stderr.isatty():
        print_receipt(made.receipt.checkpoint, sys.stderr)
    warn_of(left.months, "these tokens join no rows of")
    _complain(made, name, first=2 if header else 1, quiet=quiet)


def _table(
    text: str, column: str | None, field: FieldName
) -> tuple[list[str] | None, list[list[str]], int]:
    """The header, the rows that are not empty, and the index of the column with the values. Raises UsageError."""
    try:
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
    except csv.Error:
        message = "the list is not CSV"
        raise UsageError(message, hint="give one value a line, or CSV with --column") from None
    header, at = None, 0
    if column is not None:
        header = rows.pop(0) if rows else []
        if header.count(column) != 1:
            message = "the header has no such column, or has it twice"
            raise UsageError(message, hint="--column names a column of the first line")
        at = header.index(column)
        header = [token_column(field) if name == column else name for name in header]
    elif rows and rows[0] == [field]:
        header = [token_column(field)]
        rows.pop(0)
    wide = len(header) if header else 1
    wrong = next((number for number, row in enumerate(rows, start=1) if len(row) != wide), None)
    if wrong is not None:
        message = f"row {wrong} has {len(rows[wrong - 1])} columns, and not {wide}"
        raise UsageError(message, hint="name the column with --column, if there are several")
    if not 0 < len(rows) <= MAX_AMOUNT:
        message = f"there are more than {MAX_AMOUNT:,} values" if rows else "there is no value"
        raise UsageError(message, hint="give one value a line; split a longer list")
    return header, rows, at


def _write(header: list[str] | None, rows: Sequence[list[str]], at: int, made: MadeTokens) -> None:
    """Print in UTF-8, in any locale; escaped on a terminal, so that no other column can control it."""
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\n")
    if header:
        out.writerow(header)
    for row, token in zip(rows, made.tokens, strict=True):
        cell = "" if token is None else str(token)
        if len(row) == 1:  # csv would write an empty cell alone as two quotes
            text.write(f"{cell}\n")
        else:
            out.writerow([*row[:at], cell, *row[at + 1 :]])
    if sys.stdout.isatty():
        sys.stdout.writelines(f"{printable(line)}\n" for line in text.getvalue().splitlines())
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(text.getvalue().encode())


def _complain(made: MadeTokens, field: FieldName, *, first: int, quiet: bool) -> None:
    if made.is_pending:
        sys.stderr.write(
            "vault-etl: warning: a rotation of the token keys is in progress: these tokens join until the cut-over\n"
        )
    if not quiet:
        count = sum(token is not None for token in made.tokens)
        typer.echo(
            f"{count} tokens, generation {made.generation}, entry {made.receipt.seq}", err=True
        )
    wrong = [number for number, token in enumerate(made.tokens, start=first) if token is None]
    if wrong:
        some = ", ".join(map(str, wrong[:_SHOWN_LINES]))
        message = f"the field {field} cannot hold {len(wrong)} of these values: row {some}"
        raise DataError(message, hint="those values have no token; all others have one")
