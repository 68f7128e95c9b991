"""`vault-etl keys rewrap`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Final

import typer

from vault_etl.audit.entries import Action, AuditRequest, clean_text
from vault_etl.audit.identity import audit_request
from vault_etl.base.errors import KeyUnavailableError, UnusableKeyError, UsageError
from vault_etl.cli.confirm import confirm
from vault_etl.cli.needed_roles import NEEDED_ROLES
from vault_etl.cli.output import OutputOption, QuietOption, print_object
from vault_etl.cli.progress import progress
from vault_etl.cli.start import VerboseOption, start
from vault_etl.cli.stop_when_told import stop_when_told
from vault_etl.crypto.fields import PERSONAL_FIELDS, Field, KeyPurpose
from vault_etl.keys.rewrap_all import RewrapReport
from vault_etl.keys.rewrap_target import to_move

if TYPE_CHECKING:
    from vault_etl.app import Program

_MAX_NAME: Final = 300
"""Characters in the name of a KMS key: it goes into a reason of 500."""

_SHOWN_KEYS: Final = 10


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("rewrap")(_rewrap)


def _rewrap(
    *,
    to: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            help="Break glass: under this KMS key (id, ARN or alias), and not under their own.",
        ),
    ] = None,
    purpose: Annotated[
        KeyPurpose | None, typer.Option(help="With --to: whose keys to move.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count, and change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask (with --to).")] = False,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Wrap every key anew under its KMS key's newest material. No row changes.

    One call of KMS a key, and no right to open one. Who may open keys has one of each purpose and
    field opened before it is stored. Safe to interrupt, to run again, and to run twice at once. A
    key that does not open, or that KMS refuses, is left as it is and named; the command then exits
    65 or 77. A key that was wrapped before, in a backup, still opens.

    --to moves the keys of one purpose to another KMS key. No role of the template may do that, and
    VAULT_ETL_TRUSTED_KEY_ARNS has to list the old KMS key and the new one, everywhere.

    \b
    Examples:
      vault-etl keys rewrap --dry-run
      vault-etl keys rewrap
      vault-etl keys rewrap --to alias/vault-etl-data-2 --purpose data
    """
    if (to is None) is not (purpose is None):
        message = "--to and --purpose go together"
        raise UsageError(message, hint="a KMS key is for one purpose: data or token")
    program, _ = start(quiet=quiet, verbose=verbose)
    request = None if dry_run else _run_request(program, to, purpose)
    program.check_role(
        *NEEDED_ROLES["keys rewrap"],
        requests=lambda: [] if request is None else [request],
    )
    keys = program.wrapped_keys().live()
    target = None
    if to is not None and purpose is not None:
        if not dry_run:
            count = sum(key.purpose.kms_key is purpose.kms_key for key in keys)
            confirm(f"Move {count} {purpose.kms_key.value} keys to the KMS key {to}?", yes=yes)
        target = program.rewrap_target(request)(request, keys, purpose, to)
        keys = to_move(keys, purpose, target)
    if dry_run:
        print_object({"rewrapped": len(keys)}, output)
        return
    with progress("rewrap", total=len(keys), quiet=quiet) as bar, stop_when_told():
        report = program.rewrap(bar)(keys, target)
    print_object({"rewrapped": report.rewrapped}, output)
    if report.unproven and not quiet:
        typer.echo("no new bytes were opened for proof: KMS lets this role open no key", err=True)
    _refused(report)


def _refused(report: RewrapReport) -> None:
    at_fault = f"{len(report.at_fault)} keys do not open as they are: {_some(report.at_fault)}"
    if report.refused:
        message = f"KMS does not rewrap {len(report.refused)} keys: {_some(report.refused)}"
        raise KeyUnavailableError(
            f"{message}; {at_fault}" if report.at_fault else message,
            hint="they are as they were, everything else is done; `vault-etl audit list` says why",
        )
    if report.at_fault:
        raise UnusableKeyError(
            at_fault,
            hint="they are as they were, everything else is done; `vault-etl keys rotate` says what is"
            " under them, and why they do not open",
        )


def _some(key_ids: Sequence[int]) -> str:
    more = ", …" if len(key_ids) > _SHOWN_KEYS else ""
    return ", ".join(map(str, key_ids[:_SHOWN_KEYS])) + more


def _run_request(program: Program, to: str | None, purpose: KeyPurpose | None) -> AuditRequest:
    """Of the whole run: what is denied to a login, and the look at where keys are to be moved."""
    reason, fields = "all keys", tuple(Field)
    if to is not None and purpose is not None:
        reason = f"all {purpose.kms_key.value} keys, to {clean_text(to, 'name of the KMS key', _MAX_NAME)}"
        fields = fields if purpose is KeyPurpose.DATA else PERSONAL_FIELDS
    return audit_request(program.identity(), Action.KEYS_REWRAP, reason, fields=fields)
