"""`vault-etl keys`: the group, and `init`, `list` and `rewrap`."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Final

import typer

from vault_etl.audit.entries import Action, AuditRequest, clean_text
from vault_etl.audit.log import audit_request
from vault_etl.base.errors import KeyUnavailableError, UnusableKeyError, UsageError
from vault_etl.cli import keys_destroy, keys_rotate
from vault_etl.cli.needed_roles import NEEDED_ROLES
from vault_etl.cli.start import VerboseOption, start
from vault_etl.cli.ui.options import DryRunOption
from vault_etl.cli.ui.output import OutputOption, QuietOption, print_object, print_rows, wants_json
from vault_etl.cli.ui.progress import progress
from vault_etl.cli.ui.prompts import confirm
from vault_etl.cli.ui.signals import stop_when_told
from vault_etl.crypto.fields import KeyPurpose
from vault_etl.crypto.keys import KeyState
from vault_etl.keys.init import INIT_REASON
from vault_etl.keys.needed import KeyUsage
from vault_etl.keys.rewrap import RewrapReport, to_move

if TYPE_CHECKING:
    from vault_etl.app.parts import Parts

app = typer.Typer(
    help="Make, list, rotate, rewrap and destroy keys.", no_args_is_help=True, rich_markup_mode=None
)

_COLUMNS = ("key_id", "purpose", "field", "generation", "state", "age_days", "rows")

_MAX_NAME: Final = 300
"""Characters in the name of a KMS key: a reason, which contains it, has at most 500."""

_SHOWN_KEYS: Final = 10


@app.command("init")
def _init(
    *,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Make the first token keys, one for each field. If there are keys, make none.

    \b
    Example:
      vault-etl keys init
    """
    from vault_etl.app import audit, keys

    parts, _ = start(quiet=quiet, verbose=verbose)
    audit.check_role(
        parts,
        *NEEDED_ROLES["keys init"],
        requests=lambda: [
            audit_request(
                parts.identity,
                Action.KEYS_INIT,
                INIT_REASON,
                fields=parts.declaration.field_names,
            )
        ],
    )
    print_object({"created": list(keys.init(parts).created)}, output)


@app.command("list")
def _list(
    *,
    state: Annotated[
        list[KeyState] | None,
        typer.Option("--state", help="Only keys in this state; may be repeated."),
    ] = None,
    unused: Annotated[
        bool, typer.Option("--unused", help="Only keys that `keys destroy --unused` would destroy.")
    ] = False,
    each: Annotated[
        bool, typer.Option("--each", help="One line for each key, in a table too.")
    ] = False,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Show every key: its state, its age, and the number of values that still need it.

    A table has one line for all data keys of one field and state: their number, the age of the
    oldest, and the values under all of them. JSON has one line for each key.

    \b
    Examples:
      vault-etl keys list
      vault-etl keys list --state active --each
      vault-etl keys list --unused --output json
    """
    from vault_etl.app import keys

    parts, _ = start(quiet=quiet, verbose=verbose)
    now = dt.datetime.now(dt.UTC)
    listed = [
        usage
        for usage in keys.lister(parts).usage()
        if (not state or usage.key.state in state) and (usage.unused or not unused)
    ]
    lines = [[usage] for usage in listed] if each or wants_json(output) else _folded(listed)
    print_rows(
        (_listed_key(line, now) for line in lines),
        output,
        columns=_COLUMNS,
        empty=_empty(filtered=bool(state) or unused),
    )
    if len(lines) < len(listed) and not quiet:
        sys.stderr.write(f"{len(listed)} keys in all: --each shows one line for each\n")


def _folded(keys: Iterable[KeyUsage]) -> Sequence[Sequence[KeyUsage]]:
    """Groups of data keys of the same field and state, at the place of their first; other keys alone."""
    groups = dict[tuple[object, ...], list[KeyUsage]]()
    for usage in keys:
        key = usage.key
        alone = None if key.purpose is KeyPurpose.DATA else key.key_id
        groups.setdefault((key.field, key.state, alone), []).append(usage)
    return list(groups.values())


def _empty(*, filtered: bool) -> str:
    if filtered:
        return "no key matches"
    return "there are no keys yet: `vault-etl keys init` makes the first"


def _listed_key(line: Sequence[KeyUsage], now: dt.datetime) -> dict[str, object]:
    """A line: a key, or a group with the facts of its oldest key, which is the first."""
    key = line[0].key
    return {
        "key_id": key.key_id if len(line) == 1 else f"{len(line)} keys",
        "purpose": key.purpose.value,
        "field": key.field,
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


def _rewrap(
    *,
    to: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            help="Break glass: wrap under this KMS key (id, ARN or alias) instead of their own.",
        ),
    ] = None,
    purpose: Annotated[
        KeyPurpose | None, typer.Option(help="With --to: the purpose of the keys to move.")
    ] = None,
    dry_run: DryRunOption = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="With --to: do not ask for confirmation.")
    ] = False,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Rewrap every key under the newest material of its KMS key. No row changes.

    KMS is called once for each key, and needs no right to open keys. If the login may open keys, one
    key of each purpose and field is opened to verify it before it is stored. Safe to interrupt, to run
    again, and to run twice at once. A key that does not open, or that KMS refuses, is unchanged and
    named; the command then exits 65 or 77. A key in an older backup still opens.

    --to moves the keys of one purpose to another KMS key. No role of the template may do that, and
    VAULT_ETL_TRUSTED_KEY_ARNS must list the old and the new KMS key in every process.

    \b
    Examples:
      vault-etl keys rewrap --dry-run
      vault-etl keys rewrap
      vault-etl keys rewrap --to alias/vault-etl-data-2 --purpose data
    """
    from vault_etl.app import audit, keys

    if (to is None) is not (purpose is None):
        message = "--to and --purpose must be given together"
        raise UsageError(message, hint="a KMS key is for one purpose: data or token")
    parts, _ = start(quiet=quiet, verbose=verbose)
    request = None if dry_run else _run_request(parts, to, purpose)
    audit.check_role(
        parts,
        *NEEDED_ROLES["keys rewrap"],
        requests=lambda: [] if request is None else [request],
    )
    wrapped = keys.wrapped_keys(parts).live()
    target = None
    if to is not None and purpose is not None:
        if not dry_run:
            count = sum(key.purpose.kms_key is purpose.kms_key for key in wrapped)
            confirm(f"Move {count} {purpose.kms_key.value} keys to the KMS key {to}?", yes=yes)
        target = keys.rewrap_target(parts, request)(request, wrapped, purpose, to)
        wrapped = to_move(wrapped, purpose, target)
    if dry_run:
        print_object({"rewrapped": len(wrapped)}, output)
        return
    with progress("rewrap", total=len(wrapped), quiet=quiet) as bar, stop_when_told():
        report = keys.rewrap(parts, bar)(wrapped, target)
    print_object({"rewrapped": report.rewrapped}, output)
    if report.unproven and not quiet:
        typer.echo(
            "the new wrapped keys were not verified: KMS does not let this role open keys", err=True
        )
    _refused(report)


def _refused(report: RewrapReport) -> None:
    at_fault = f"{len(report.at_fault)} keys do not open as they are: {_some(report.at_fault)}"
    if report.refused:
        message = f"KMS does not rewrap {len(report.refused)} keys: {_some(report.refused)}"
        raise KeyUnavailableError(
            f"{message}; {at_fault}" if report.at_fault else message,
            hint="they are unchanged, everything else is done; `vault-etl audit list` says why",
        )
    if report.at_fault:
        raise UnusableKeyError(
            at_fault,
            hint="they are unchanged, everything else is done; `vault-etl keys rotate` says which values are"
            " under them, and why they do not open",
        )


def _some(key_ids: Sequence[int]) -> str:
    more = ", …" if len(key_ids) > _SHOWN_KEYS else ""
    return ", ".join(map(str, key_ids[:_SHOWN_KEYS])) + more


def _run_request(parts: Parts, to: str | None, purpose: KeyPurpose | None) -> AuditRequest:
    """The request of the whole run: of a denial, and of the check of --to."""
    reason = "all keys"
    fields = parts.declaration.data_fields
    if to is not None and purpose is not None:
        reason = f"all {purpose.kms_key.value} keys, to {clean_text(to, 'name of the KMS key', _MAX_NAME)}"
        fields = fields if purpose is KeyPurpose.DATA else parts.declaration.field_names
    return audit_request(parts.identity, Action.KEYS_REWRAP, reason, fields=fields)


app.command("rotate")(keys_rotate.rotate)
app.command("rewrap")(_rewrap)
app.command("destroy")(keys_destroy.destroy)
