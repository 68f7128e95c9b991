"""`vault-etl`: the command line, and the only place where an error becomes an exit code."""

from __future__ import annotations

import gc
import os
import sys
from typing import Annotated, Any, Final, NoReturn

import typer

from vault_etl import __version__
from vault_etl.base.empty_variables import forget_empty
from vault_etl.base.errors import UnavailableError, VaultEtlError
from vault_etl.cli.commands import Commands
from vault_etl.cli.ui import streams
from vault_etl.cli.ui.printable import printable
from vault_etl.cli.usage import refuse_empty, usage_message

EXIT_BUG: Final = 1
EXIT_USAGE: Final = 2
EXIT_INTERRUPTED: Final = 130
EXIT_BROKEN_PIPE: Final = 141

app = typer.Typer(
    name="vault-etl",
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"vault-etl {__version__}\n")
        raise typer.Exit


@app.callback()
def _main(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Load login events from SQS into Postgres as tokens and ciphertexts; recover values, audited.

    To see it work, with nothing but Python: vault-etl demo
    """


def main() -> NoReturn:
    """Run the command line, and exit as docs/cli.md says."""
    streams.prepare()
    forget_empty(os.environ)
    exit_code = _run()
    try:
        sys.stdout.flush()  # output from before an error
    except OSError:
        streams.give_up(sys.stdout)
    gc.freeze()  # Python would search all modules for garbage before it ends: a tenth of a short command
    sys.exit(exit_code)


def _run() -> int:
    try:
        refuse_empty(sys.argv[1:])
        result: Any = app(standalone_mode=False, prog_name="vault-etl")
        sys.stdout.flush()
    except BrokenPipeError:
        streams.give_up(sys.stdout)
        return EXIT_BROKEN_PIPE
    except SystemExit as end:
        if not isinstance(end.__context__, BrokenPipeError):
            raise
        return EXIT_BROKEN_PIPE  # typer has given up stdout already, and exits with 1
    except (typer.Abort, KeyboardInterrupt):
        return _report("interrupted", None, EXIT_INTERRUPTED)
    except typer.TyperException as error:
        return _report_usage(error)
    except Exception as error:  # noqa: BLE001  # the last resort, which must not print a value
        return _report_error(error)
    return result if isinstance(result, int) else 0


def _report_usage(error: typer.TyperException) -> int:
    text = usage_message(error)
    if text.startswith("Usage:"):  # a command group called without a subcommand
        sys.stderr.write(f"{text}\n")
        return EXIT_USAGE
    return _report(text, "add --help for usage", EXIT_USAGE)


def _report(message: str, hint: str | None, exit_code: int) -> int:
    try:
        sys.stderr.write(f"vault-etl: error: {printable(message)}\n")
        if hint:
            sys.stderr.write(f"vault-etl: hint: {printable(hint)}\n")
        sys.stderr.flush()
    except OSError:  # standard error is closed: the exit code still tells
        streams.give_up(sys.stderr)
    return exit_code


def _report_error(error: Exception) -> int:
    """Report our own errors with their text. Other errors show only class and place: their text may quote a value."""
    if isinstance(error, VaultEtlError):
        from vault_etl.cli.needed_roles import command_of, hint_of

        hint = hint_of(error, command_of(sys.argv[1:]))
        return _report(str(error), hint, error.exit_code)
    if isinstance(error, OSError) and error.errno in streams.NO_FAULT_OF_OURS:
        streams.give_up(sys.stdout)
        message = f"cannot write the output: {os.strerror(error.errno)}"
        return _report(message, "completed work is kept", UnavailableError.exit_code)
    from vault_etl.base.logs import bug

    return _report(bug(error), "please report this line; it contains no secret", EXIT_BUG)
