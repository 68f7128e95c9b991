"""`vault-etl lake tokens`."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from vault_etl.audit.entries import Action, AuditRequest
from vault_etl.audit.log import audit_request
from vault_etl.base.errors import DataError, UsageError
from vault_etl.cli.start import VerboseOption, start
from vault_etl.cli.ui.fields import complete_searched, field_option, named_fields, token_column
from vault_etl.cli.ui.output import OutputOption, QuietOption, print_object
from vault_etl.cli.ui.progress import progress
from vault_etl.cli.ui.prompts import PurposeOption, TicketOption, reason_for, word
from vault_etl.cli.ui.signals import stop_when_told
from vault_etl.declaration.searched import searched

_KINDS: Final = (".parquet", ".csv")
_SHOWN_ROWS: Final = 10


def tokens(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="CSV with a header row, or Parquet.")
    ],
    *,
    field: Annotated[
        str,
        field_option(
            "The field of the values, or a derived form of it, such as ip/network.",
            complete_searched,
        ),
    ],
    to: Annotated[
        Path, typer.Option("--to", metavar="FILE", help="The new file: NAME.parquet or NAME.csv.")
    ],
    column: Annotated[
        str | None, typer.Option(help="The column with the values. Default: the name of the field.")
    ] = None,
    reason: Annotated[
        str | None,
        typer.Option(help="Why: for a login that reveals. A login that seals gives none."),
    ] = None,
    purpose: PurposeOption = None,
    ticket: TicketOption = None,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Replace a column of values by their tokens, in a table of any length.

    A login of the role ingest needs no reason, since it makes such tokens whenever it seals. A login
    of the role reveal gives --reason: each 65,536 values are one entry `tokens` in the audit log,
    and count for `tokens_an_hour` of the reveal policy.

    All other columns stay. A value that the field cannot hold has no token, and its row is named
    (exit 65). The tokens are of the active generation: they join until `keys rotate --tokens` cuts
    over.

    \b
    Examples:
      vault-etl lake tokens -f ip visits.parquet --to visits-tokens.parquet
      vault-etl lake tokens -f device_id --column id in.csv --to x.csv --reason y
    """
    from vault_etl.app import lake_tokens
    from vault_etl.app.lake_sources import table_with_tokens

    if to.suffix not in _KINDS:
        message = "--to names no file of Parquet or CSV"
        raise UsageError(message, hint="end its name with .parquet or .csv")
    asked = None if reason is None else reason_for("a table of tokens", reason)
    kind, reference = word(purpose, "purpose"), word(ticket, "ticket")
    parts, _ = start(quiet=quiet, verbose=verbose)
    searchable = searched(parts.declaration)
    (name,) = named_fields([field], searchable)

    def request(amount: int) -> AuditRequest:
        return audit_request(
            parts.identity,
            Action.TOKENS,
            asked or "",
            fields=(name,),
            purpose=kind,
            ticket=reference,
            amount=amount,
        )

    if asked is None:
        maker = lake_tokens.sealing(parts, searchable[name])
    else:
        maker = lake_tokens.on_the_record(parts, searchable[name], request)
    token = token_column(name)
    with contextlib.ExitStack() as stack:
        stack.enter_context(stop_when_told())
        told = stack.enter_context(progress("tokens", total=None, quiet=quiet))
        table = stack.enter_context(table_with_tokens(file, column or field, token))
        rows, unheld = table.write(to, maker.make, told.advance)
    if maker.is_pending:
        sys.stderr.write(
            "vault-etl: warning: a rotation of the token keys is in progress: these tokens join until the cut-over\n"
        )
    print_object(
        {
            "file": str(to),
            "rows": rows,
            "without_token": len(unheld),
            "generation": maker.generation,
        },
        output,
    )
    if unheld:
        some = ", ".join(map(str, unheld[:_SHOWN_ROWS]))
        message = f"the field {name} cannot hold {len(unheld)} of these values: row {some}"
        raise DataError(message, hint="those values have no token; all others have one")
