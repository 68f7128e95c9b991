"""`vault-etl lake`: sets of Parquet files."""

from __future__ import annotations

import typer

from vault_etl.cli.lake_drop import drop
from vault_etl.cli.lake_erase import erase
from vault_etl.cli.lake_open import open_
from vault_etl.cli.lake_rotate import rotate
from vault_etl.cli.lake_seal import seal
from vault_etl.cli.lake_tokens import tokens
from vault_etl.cli.lake_verify import list_sets, verify

app = typer.Typer(
    help="Seal, open, rotate, erase, verify and drop sets of Parquet files.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

app.command("seal")(seal)
app.command("tokens")(tokens)
app.command("open")(open_)
app.command("rotate")(rotate)
app.command("erase")(erase)
app.command("drop")(drop)
app.command("verify")(verify)
app.command("list")(list_sets)
