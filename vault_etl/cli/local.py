"""`vault-etl local …`: the embedded stack in the background."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from vault_etl.adapters.embedded.emulator import EmulatorName
from vault_etl.adapters.embedded.policies import OPERATOR, ROLES
from vault_etl.adapters.embedded.stack import EmbeddedStack
from vault_etl.cli import local_seed
from vault_etl.cli.confirm import confirm
from vault_etl.cli.local_stack import DirectoryOption, open_stack, say
from vault_etl.cli.output import OutputFormat, OutputOption, QuietOption, print_object
from vault_etl.errors import UsageError

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Run Postgres and an AWS emulator on this machine, without Docker or an AWS account.",
)
