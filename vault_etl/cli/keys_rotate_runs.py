"""Runs of `keys rotate`: retire data keys, re-encrypt values, and rotate token keys."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vault_etl.audit.entries import Action, AuditRequest
from vault_etl.audit.log import audit_request
from vault_etl.base.errors import DataError
from vault_etl.cli.needed_roles import NEEDED_ROLES
from vault_etl.cli.ui.output import OutputFormat, print_object
from vault_etl.cli.ui.printable import printable
from vault_etl.cli.ui.progress import progress
from vault_etl.cli.ui.prompts import confirm
from vault_etl.cli.ui.signals import stop_when_told
from vault_etl.crypto.fields import FieldName, KeyPurpose
from vault_etl.keys.value_keys import naming
from vault_etl.rotation.data_keys import RotationPlan
from vault_etl.rotation.leave_out import LeaveOut
from vault_etl.rotation.token_keys import TokenPlan

if TYPE_CHECKING:
    from vault_etl.app.parts import Parts

_RETIRE = "retire only"
_REENCRYPT = "retire and re-encrypt"
_ROTATE_TOKENS = "rotate the token keys"
_ABORT = "abort the rotation of the token keys"


@dataclass(frozen=True, slots=True, kw_only=True)
class RotationOptions:
    """The options of `keys rotate`. `leave_out`, `wait` and `allow_publication` are for the token keys alone."""

    fields: tuple[FieldName, ...]
    leave_out: tuple[LeaveOut, ...] = ()
    wait: float = 0
    allow_publication: bool = False
    if_due: bool
    rate: float | None
    dry_run: bool
    yes: bool
    output: OutputFormat | None
    quiet: bool


def retire_data_keys(parts: Parts, options: RotationOptions) -> None:
    """Retire data keys (`--lazy`); their values keep them until a full rotation."""
    from vault_etl.app import rotation

    _check_role(parts, options, "keys rotate --lazy", _RETIRE)
    plan = rotation.plan_data_keys(parts, options.fields, lazy=True)
    if options.if_due and not _is_due(parts, KeyPurpose.DATA, quiet=options.quiet):
        _print_report(options.output, (), _values(0, plan.values))
        return
    retired = plan.retire
    if not options.dry_run:
        confirm(f"Retire {len(plan.retire)} data keys?", yes=options.yes)
        retired = rotation.retire(parts, _request(parts, options.fields, _RETIRE))
    _print_report(options.output, retired, _values(0, plan.values))


def reencrypt(parts: Parts, options: RotationOptions) -> None:
    """Retire data keys, and re-encrypt their values. Raises DataError if a value does not open."""
    from vault_etl.app import rotation

    needed = "keys rotate --lazy" if options.dry_run else "keys rotate"
    _check_role(parts, options, needed, _REENCRYPT)
    plan = rotation.plan_data_keys(parts, options.fields, lazy=False)
    unfinished = plan.resumes is not None
    if options.if_due and not _is_due(
        parts, KeyPurpose.DATA, quiet=options.quiet, unfinished=unfinished, oldest=plan.oldest
    ):
        _print_report(options.output, (), _values(0, plan.values))
        return
    if options.dry_run:
        _print_report(options.output, plan.retire, _values(0, plan.values))
        return
    confirm(_data_question(plan), yes=options.yes)
    request = _request(parts, plan.resumes or options.fields, _REENCRYPT)
    with progress("rotate", total=plan.values, quiet=options.quiet) as bar, stop_when_told():
        work = rotation.data_rotation(parts, bar, request.request_id, options.rate)
        report = work.rotate(request, plan)
    counts = _values(report.values_reencrypted, report.values_remaining)
    _print_report(options.output, report.retired, counts, report.created)
    if plan.resumes is not None and not options.quiet:
        names = ", ".join(plan.resumes)
        sys.stderr.write(
            f"vault-etl: this was the rest of a rotation of {names} that was interrupted; the keys"
            " that are active now were not retired: run the command again to retire them\n"
        )
    if report.failed:
        shown = ", ".join(str(record_id) for record_id in report.failed)
        message = f"{report.values_remaining} values do not open, among them those of {shown}"
        raise naming(
            DataError(message, hint="they are unchanged; everything else is done"),
            report.at_fault,
        )


def rotate_token_keys(parts: Parts, options: RotationOptions) -> None:
    """Rotate the token keys, or continue a rotation that was interrupted."""
    from vault_etl.app import rotation

    needed = "keys rotate --lazy" if options.dry_run else "keys rotate"
    _check_role(parts, options, needed, _ROTATE_TOKENS)
    plan = rotation.plan_token_keys(parts, options.leave_out)
    if options.if_due and not _is_due(
        parts, KeyPurpose.TOKEN, quiet=options.quiet, unfinished=plan.pending is not None
    ):
        _print_report(options.output, (), _rows(0, 0))
        return
    if options.dry_run:
        _print_report(options.output, plan.retire, _rows(0, plan.rows))
    if options.dry_run or not (options.quiet and options.yes):
        _show_named_records(plan)
    if options.dry_run:
        return
    if not options.allow_publication:
        rotation.check_publications(parts)  # before hours of work
    confirm(_token_question(plan), yes=options.yes)
    request = _request(parts, parts.declaration.field_names, _ROTATE_TOKENS)
    with progress("rotate tokens", total=plan.rows, quiet=options.quiet) as bar, stop_when_told():
        work = rotation.token_rotation(
            parts,
            bar,
            request.request_id,
            options.rate,
            options.wait,
            allow_publication=options.allow_publication,
        )
        report = work.rotate(request, plan)
    counts = {**_rows(report.rows, 0), "rows_left_out": report.left_out}
    _print_report(options.output, report.retired, counts, report.created)
    if not options.quiet:
        sys.stderr.write(
            f"vault-etl: generation {report.generation} is active; the cut-over held its locks for"
            f" {report.held_ms:.0f} ms\n"
            + (
                f"vault-etl: {report.left_out} records are left out of it\n"
                if report.left_out
                else ""
            )
            + "vault-etl: tokens that were saved elsewhere no longer join; the rows keep the old tokens"
            " until `keys destroy`\n"
        )


def abort_token_rotation(parts: Parts, options: RotationOptions) -> None:
    """Abort a rotation of the token keys before its cut-over. The active generation does not change."""
    from vault_etl.app import rotation

    needed = "keys rotate --lazy" if options.dry_run else "keys rotate"
    _check_role(parts, options, needed, _ABORT)
    plan = rotation.plan_token_keys(parts)
    if options.dry_run:
        _print_report(options.output, (), _rows(0, plan.rows))
        return
    confirm("Destroy the pending token keys, and remove their tokens?", yes=options.yes)
    with progress("abort", total=None, quiet=options.quiet) as bar, stop_when_told():
        request = _request(parts, parts.declaration.field_names, _ABORT)
        aborted = rotation.abort_tokens(parts, bar, request)
    _print_report(options.output, aborted.destroyed, _rows(0, 0))
    if not options.quiet:
        sys.stderr.write(
            f"vault-etl: the pending tokens of {aborted.rows} rows are removed\n"
            if aborted.destroyed or aborted.rows
            else "vault-etl: no rotation of the token keys was in progress\n"
        )


def _check_role(parts: Parts, options: RotationOptions, command: str, reason: str) -> None:
    """Raise DeniedError without the role. A refusal is logged, except the refusal of a dry run."""
    from vault_etl.app import audit

    of_tokens = reason in {_ROTATE_TOKENS, _ABORT}
    fields = parts.declaration.field_names if of_tokens else options.fields
    audit.check_role(
        parts,
        *NEEDED_ROLES[command],
        requests=lambda: [] if options.dry_run else [_request(parts, fields, reason)],
    )


def _is_due(
    parts: Parts,
    purpose: KeyPurpose,
    *,
    quiet: bool,
    unfinished: bool = False,
    oldest: dt.datetime | None = None,
) -> bool:
    """Decide for a scheduler whether to rotate, and say so on standard error if not.

    A rotation is due if active keys are older than their limit, if a rotation was interrupted, or
    if rows are still under a retired key that was made at `oldest`, longer ago than the limit: a lazy
    rotation that no full rotation followed.
    """
    from vault_etl.app import keys

    age = keys.age(parts, purpose)
    overdue = age.limit and oldest is not None and dt.datetime.now(dt.UTC) - oldest > age.limit
    if age.is_due or unfinished or overdue:
        return True
    if not quiet:
        sys.stderr.write(f"vault-etl: nothing is due: {age}\n")
    return False


def _print_report(
    output: OutputFormat | None,
    retired: Sequence[int],
    counts: Mapping[str, int],
    created: Sequence[int] = (),
) -> None:
    """Print which keys were retired and made, and how much is done and remains."""
    print_object({"retired": list(retired), "created": list(created), **counts}, output)


def _values(done: int, remaining: int) -> dict[str, int]:
    """The counts of a rotation of data keys."""
    return {"values_reencrypted": done, "values_remaining": remaining}


def _rows(done: int, remaining: int) -> dict[str, int]:
    """The counts of a rotation of token keys."""
    return {"rows_retokened": done, "rows_remaining": remaining}


def _show_named_records(plan: TokenPlan) -> None:
    """Say how many records each --leave-out names."""
    for named in plan.named:
        logins, arns = ", ".join(named.logins), ", ".join(named.kms_key_arns)
        sys.stderr.write(
            printable(
                f"vault-etl: --leave-out {named.what}: {named.rows} records, under {named.keys} data keys"
                f"{f' of {logins}, wrapped by {arns}' if logins else ''}"
            )
            + "\n"
        )


def _data_question(plan: RotationPlan) -> str:
    if plan.resumes is not None:
        return f"Continue the rotation that was interrupted, and re-encrypt {plan.values} values?"
    return f"Retire {len(plan.retire)} data keys and re-encrypt {plan.values} values?"


def _token_question(plan: TokenPlan) -> str:
    rows = sum(named.rows for named in plan.named)
    left_out = f", leave out those of {rows} named records that do not open" if rows else ""
    begin = f"Continue with generation {plan.pending}" if plan.pending else "Make new token keys"
    return f"{begin}, give {plan.rows} rows a new token{left_out}, and cut over?"


def _request(parts: Parts, fields: tuple[FieldName, ...], reason: str) -> AuditRequest:
    return audit_request(parts.identity, Action.KEYS_ROTATE, reason, fields=fields)
