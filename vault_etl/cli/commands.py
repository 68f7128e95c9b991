"""The commands by name. Each is imported when it runs, so that `vault-etl --help` imports none."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, MutableMapping
from typing import Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

from vault_etl.cli.option_values import take_plainly, with_coercion

COMMANDS: Final = {
    "demo": "Show the whole job on an embedded Postgres and AWS emulator, then stop them.",
    "migrate": "Bring the database up to date: tables, roles, functions.",
    "ingest": "Load the queue into Postgres until it is empty.",
    "reveal": "Recover the personal fields of records.",
    "find": "Find the records that hold a value.",
    "tokens": "Turn a list of values into the tokens that analysts see, for a join.",
    "duplicates": "Show which tokens several records share.",
    "subject": "Answer a person's request for their stored data.",
    "erase": "Erase the personal fields of a record or a user for good.",
    "schema": "Show, check, compare, propose and apply declarations: the fields and events of a vault.",
    "config": "Show every setting, its value, and where it came from.",
    "doctor": "Check what the vault depends on: settings, AWS, Postgres, keys.",
    "status": "Show the state of the work on one screen: queue, records, quarantine, keys, log.",
    "quarantine": "List, show, retry and discard the messages that could not become records.",
    "partitions": "List, make, detach, archive, drop and restore the months of records.",
    "lake": "Seal, open, rotate, erase, verify and drop sets of Parquet files.",
    "keys": "Make, list, rotate, rewrap and destroy keys.",
    "audit": "Read, verify and sign the audit log.",
    "local": "Run Postgres and an AWS emulator on this machine, without Docker or an AWS account.",
}
"""The commands in the order of the help, each with the first sentence of its own help.

A command is a module of the same name in `vault_etl.cli`, with a function `register`, or with a group
of commands, `app`.
"""


class Commands(TyperGroup):
    """A group that lists its commands without importing them, and imports a command when it is looked up."""

    def __init__(self, **attributes: Any) -> None:  # noqa: ANN401 - as the parent's
        super().__init__(**attributes)
        self.commands = _Imported()

    def list_commands(self, _ctx: object) -> list[str]:
        """Return the names in the order of the help."""
        return list(self.commands)

    def get_params(self, ctx: Any) -> list[Any]:  # noqa: ANN401 - typer's own click
        """Return the options before the name of a command."""
        return with_coercion(super().get_params(ctx))

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - typer's own click
        """Write the names with their help."""
        listed = {name: TyperCommand(name, help=text) for name, text in COMMANDS.items()}
        TyperGroup(commands={**listed}).format_commands(ctx, formatter)


class _Imported(MutableMapping[str, Any]):
    """All commands of `COMMANDS` by name. Looking up a command imports it."""

    def __init__(self) -> None:
        self._commands = dict[str, Any]()

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - a command or a group of them
        if name not in self._commands:
            if name not in COMMANDS:
                raise KeyError(name)
            self._commands[name] = _imported(name)
        return self._commands[name]

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)

    def __setitem__(self, name: str, command: object) -> None:
        raise NotImplementedError

    def __delitem__(self, name: str) -> None:
        raise NotImplementedError


def _imported(name: str) -> Any:  # noqa: ANN401 - a command or a group of them
    module = importlib.import_module(f"vault_etl.cli.{name}")
    alone = typer.Typer(rich_markup_mode=None)
    if hasattr(module, "app"):
        alone.add_typer(module.app, name=name)
    else:
        module.register(alone)
    made = typer.main.get_group(alone).commands[name]
    take_plainly(made)
    return made
