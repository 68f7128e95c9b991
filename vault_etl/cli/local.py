"""`vault-etl local`: the embedded stack in the background."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from vault_etl import settings
from vault_etl.base import logs
from vault_etl.base.errors import ConfigurationError, UsageError
from vault_etl.cli.local_bodies import checked_schema_file, made_up_bodies, read_bodies
from vault_etl.cli.start import VerboseOption
from vault_etl.cli.ui.options import DryRunOption, YesOption
from vault_etl.cli.ui.output import (
    OutputFormat,
    OutputOption,
    QuietOption,
    print_object,
    wants_json,
)
from vault_etl.cli.ui.progress import progress
from vault_etl.cli.ui.prompts import confirm
from vault_etl.cli.ui.told import Told
from vault_etl.local.emulator import EmulatorName
from vault_etl.local.policies import ADMIN, OPERATOR, ROLES
from vault_etl.local.seeding import send_all
from vault_etl.local.stack import EmbeddedStack
from vault_etl.platform.aws import AwsClients

if TYPE_CHECKING:
    from types_boto3_sqs.client import SQSClient

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Run Postgres and an AWS emulator on this machine, without Docker or an AWS account.",
)

DirectoryOption = Annotated[
    Path, typer.Option("--dir", file_okay=False, help="The folder of the stack's files.")
]

_DIRECTORY: Final = Path(".vault-etl")
_EVENTS: Final = 100
_TOO_MANY_FOR_MOTO: Final = 500
# A shell may still have these variables, which override or contradict what `local env` sets.
_IN_THE_WAY: Final = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_KMS",
                      "AWS_ENDPOINT_URL_SQS", "AWS_ENDPOINT_URL_STS")  # fmt: skip


@app.command()
def start(
    *,
    emulator: Annotated[
        EmulatorName | None,
        typer.Option(help="moto starts at once; localstack holds deep queues. [default: moto]"),
    ] = None,
    directory: DirectoryOption = _DIRECTORY,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Start the stack, with tables, keys, and a login and an access key for every role.

    Safe to repeat: running parts are not restarted. The KMS keys are in the emulator's memory, and
    are lost when it ends. VAULT_ETL_SCHEMA_FILE names a declaration of your own; if it has a new field, the
    roles of a running stack may open that field afterwards.

    \b
    Examples:
      vault-etl local start
      VAULT_ETL_SCHEMA_FILE=vault-etl.schema.toml vault-etl local start
      eval "$(vault-etl local env)"
    """
    schema_file = checked_schema_file()
    if quiet or not sys.stderr.isatty():
        stack = _open(directory, quiet=quiet, verbose=verbose)
        status = stack.start(emulator, schema_file=schema_file)
    else:
        logs.configure(None, verbose=verbose, quiet=quiet)
        with Told(
            sys.stderr
        ) as told:  # prints dots: a database takes seconds to start on a busy machine
            stack = EmbeddedStack(directory, notify=lambda text: told.write(_line(text)))
            status = stack.start(emulator, schema_file=schema_file)
    print_object(status.as_object(), output)
    if not wants_json(output):
        shown = "" if directory == _DIRECTORY else f" --dir {shlex.quote(str(directory))}"
        _say(f'next: eval "$(vault-etl local env{shown})"', quiet=quiet)


@app.command()
def stop(
    *,
    directory: DirectoryOption = _DIRECTORY,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Stop the stack. Values that were sealed cannot be opened afterwards.

    \b
    Example:
      vault-etl local stop
    """
    stopped = _open(directory, quiet=quiet, verbose=verbose).stop()
    _say(
        "stopped; the KMS keys of the emulator are lost" if stopped else "nothing was running",
        quiet=quiet,
    )


@app.command()
def status(
    *,
    directory: DirectoryOption = _DIRECTORY,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Show which parts of the stack run, where, and with which problems.

    \b
    Example:
      vault-etl local status --output json
    """
    stack = _open(directory, quiet=quiet, verbose=verbose)
    print_object(stack.status().as_object(), output)


@app.command()
def reset(
    *,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    directory: DirectoryOption = _DIRECTORY,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Stop the stack, and delete its data, keys and passwords for good.

    LocalStack's programs stay, so that they need not be downloaded again.

    \b
    Example:
      vault-etl local reset --yes && vault-etl local start
    """
    stack = _open(directory, quiet=quiet, verbose=verbose)
    if dry_run:
        print_object({"would_delete": [str(path) for path in stack.data_paths()]}, output)
        return
    confirm(f"Delete everything in {stack.directory}?", yes=yes)
    deleted = [str(path) for path in stack.reset()]
    print_object({"deleted": deleted}, output)


@app.command()
def env(
    *,
    role: Annotated[
        str, typer.Option(help=f"The role of the login and access key: {', '.join(ROLES)}.")
    ] = OPERATOR,
    directory: DirectoryOption = _DIRECTORY,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Print shell exports that point the other commands at the stack.

    The default, operator, has every role except owner; admin is the database's superuser.

    \b
    Examples:
      eval "$(vault-etl local env)"
      eval "$(vault-etl local env --role ingest)"
    """
    values = _open(directory, quiet=quiet, verbose=verbose).environment(role)
    if output is OutputFormat.JSON:
        print_object(values, output)
        return
    lines = [f"unset {' '.join(_IN_THE_WAY)}"]
    lines += [f"export {name}={shlex.quote(value)}" for name, value in values.items()]
    sys.stdout.write("\n".join(lines) + "\n")


@app.command()
def seed(
    *,
    file: Annotated[
        Path | None,
        typer.Argument(help="Send the records of this file; - reads standard input."),
    ] = None,
    events: Annotated[
        int | None,
        typer.Option(min=0, help=f"Send this many made-up events. [default: {_EVENTS}]"),
    ] = None,
    directory: DirectoryOption = _DIRECTORY,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Send events to the queue: those of a file, or made-up ones of the declaration in force.

    One made-up body in a hundred is not an event, so that something is quarantined. Without a
    running stack, VAULT_ETL_QUEUE_URL and AWS's own settings select the queue.

    \b
    Examples:
      vault-etl local seed --events 300
      vault-etl local seed events.jsonl
    """
    if file is not None and events is not None:
        raise UsageError("a file and --events exclude each other")
    stack = _open(directory, quiet=quiet, verbose=verbose)
    count = _EVENTS if events is None else events
    bodies: Iterable[str] = made_up_bodies(count)
    if file is not None:
        bodies = read = read_bodies(file)
        count = len(read)
    sqs, queue_url = _queue(stack, count, quiet=quiet)
    quiet = quiet or not sys.stderr.isatty()  # a progress bar or nothing, but no log lines
    with progress("seed", total=count, quiet=quiet) as bar:
        sent = send_all(sqs, queue_url, bodies, lambda n: None if quiet else bar.advance(n))
    print_object({"sent": sent}, output)


def _queue(stack: EmbeddedStack, count: int, *, quiet: bool) -> tuple[SQSClient, str]:
    """The stack's queue as its admin, since no role may send; without a stack, the queue of the environment."""
    status = stack.status()
    if status.state != "stopped":
        if (
            count > _TOO_MANY_FOR_MOTO
            and status.emulator
            and status.emulator.name is EmulatorName.MOTO
        ):
            _say(
                f"moto is slow with deep queues, such as {count:,} messages; instead run"
                " vault-etl local reset, then vault-etl local start --emulator localstack",
                quiet=quiet,
            )
        return stack.queue_client(), stack.environment(ADMIN)["VAULT_ETL_QUEUE_URL"]
    loaded, _ = settings.load(os.environ)
    if loaded.queue_url is None:
        raise ConfigurationError(
            f"no embedded stack runs in {stack.directory}, and VAULT_ETL_QUEUE_URL is not set",
            hint="vault-etl local start",
        )
    return AwsClients().sqs(), loaded.queue_url


def _open(directory: Path, *, quiet: bool, verbose: bool) -> EmbeddedStack:
    logs.configure(None, verbose=verbose, quiet=quiet)
    return EmbeddedStack(directory, notify=lambda text: _say(text, quiet=quiet))


def _say(text: str, *, quiet: bool) -> None:
    if not quiet:
        sys.stderr.write(_line(text))


def _line(text: str) -> str:
    return f"vault-etl: {text}\n"
