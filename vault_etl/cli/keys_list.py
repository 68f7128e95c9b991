"""`vault-etl keys list`."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Iterable, Sequence
from typing import Annotated

import typer

from vault_etl.cli.output import OutputOption, QuietOption, print_rows, wants_json
from vault_etl.cli.start import VerboseOption, start
from vault_etl.crypto.fields import KeyPurpose
from vault_etl.crypto.keys import KeyState
from vault_etl.keys.store import KeyUsage

_COLUMNS = ("key_id", "purpose", "field", "generation", "state", "age_days", "rows")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("list")(_list)


def _list(
    *,
    state: Annotated[
        list[KeyState] | None,
        typer.Option("--state", help="Only keys in this state; may be repeated."),
    ] = None,
    unused: Annotated[
        bool, typer.Option("--unused", help="Only what `keys destroy --unused` would end.")
    ] = False,
    each: Annotated[
        bool, typer.Option("--each", help="A line for each key in a table, too.")
    ] = False,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Show every key: its state, its age, and how many values still need it.

    A table has one line for all data keys of one field and state: how many there are, the age of the
    oldest, and the values under all of them. JSON has a line for each key.

    \b
    Examples:
      vault-etl keys list
      vault-etl keys list --state active --each
      vault-etl keys list --unused --output json
    """
    program, _ = start(quiet=quiet, verbose=verbose)
    now = dt.datetime.now(dt.UTC)
    keys = [
        usage
        for usage in program.key_lister().usage()
        if (not state or usage.key.state in state) and (usage.unused or not unused)
    ]
    lines = [[usage] for usage in keys] if each or wants_json(output) else _folded(keys)
    print_rows(
        (_listed(line, now) for line in lines),
        output,
        columns=_COLUMNS,
        empty=_empty(filtered=bool(state) or unused),
    )
    if len(lines) < len(keys) and not quiet:
        sys.stderr.write(f"{len(keys)} keys in all: --each shows a line for each\n")


def _folded(keys: Iterable[KeyUsage]) -> Sequence[Sequence[KeyUsage]]:
    """All data keys of a field and state together, where the first of them was; others alone."""
    groups = dict[tuple[object, ...], list[KeyUsage]]()
    for usage in keys:
        key = usage.key
        alone = None if key.purpose is KeyPurpose.DATA else key.key_id
        groups.setdefault((key.field, key.state, alone), []).append(usage)
    return list(groups.values())


def _empty(*, filtered: bool) -> str:
    if filtered:
        return "there are no such keys"
    return "there are no keys yet: `vault-etl keys init` makes the first"


def _listed(line: Sequence[KeyUsage], now: dt.datetime) -> dict[str, object]:
    """A key, or many as one: the facts of the oldest, which is the first."""
    key = line[0].key
    return {
        "key_id": key.key_id if len(line) == 1 else f"{len(line)} keys",
        "purpose": key.purpose.value,
        "field": key.field.value,
        "generation": key.generation,
        "state": key.state.value,
        "created_at": key.created_at,
        "created_by": key.created_by,
        "expires_at": key.expires_at,
        "retired_at": key.retired_at,
        "destroyed_at": key.destroyed_at,
        "kms_key_arn": key.kms_key_arn,
        "age_days": (now - key.created_at).days,
        "rows": sum(usage.rows for usage in line),
        "unused": all(usage.unused for usage in line),
    }
