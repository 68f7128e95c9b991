"""`vault-etl audit policy`, and `audit policy set`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from vault_etl.audit.entries import Action
from vault_etl.audit.log import audit_request
from vault_etl.audit.policy import OF_THE_READER, QUOTAS, Allowance, Quota, parse_policy
from vault_etl.base.errors import UsageError
from vault_etl.cli.start import VerboseOption, start
from vault_etl.cli.ui.output import (
    OutputOption,
    QuietOption,
    print_object,
    print_rows,
    utc_text,
    wants_json,
)
from vault_etl.cli.ui.prompts import ReasonOption, read_bounded, reason_for

MAX_FILE_BYTES: Final = 65_536

app = typer.Typer(invoke_without_command=True, rich_markup_mode=None)


@app.callback()
def _policy(
    context: typer.Context,
    *,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Show the reveal policy, or set it: the fields, purposes and number of accesses.

    The policy is stored in the database, which enforces it before it searches a record. Without
    purposes, an access may name any purpose or none, and sees every field. With purposes, an access
    must name one of them with --purpose, and sees the fields of that purpose, in full or masked. The
    quota counts the accesses of one login in the last hour; `tokens` has its own quota, of values. A
    login of the role reveal sees what is left of its quotas, and when they grow: `next_at` is the
    first time, `reset_at` the time when they are full. `audit policy set` ignores that part.

    \b
    Examples:
      vault-etl audit policy
      vault-etl audit policy --output json > policy.json
      vault-etl audit policy set policy.json --reason "CISO-12"
    """
    from vault_etl.app import audit

    if context.invoked_subcommand is not None:
        return
    parts, _ = start(quiet=quiet, verbose=verbose)
    allowance = audit.policy(parts).allowance()
    policy, quota = allowance.document, _quota(allowance)
    if wants_json(output):
        print_object({**policy, **({OF_THE_READER: quota} if quota else {})}, output)
        return
    print_object({**{name: policy[name] for name in QUOTAS}, **quota}, output)
    print_rows(
        _rules(policy),
        output,
        columns=("purpose", "fields", "masked_fields", "ticket_pattern"),
        empty="no purposes: any purpose, every field",
    )


@app.command("set")
def _set(
    file: Annotated[Path, typer.Argument(help="The policy as JSON; - reads standard input.")],
    *,
    reason: ReasonOption = None,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Replace the reveal policy; an entry in the log says so. Only the owner's login may.

    The whole policy is replaced. The entry has the SHA-256 of the document, so that `audit verify`
    detects a later change.

    \b
    Examples:
      vault-etl audit policy set policy.json --reason "CISO-12"
      jq .reveals_an_hour=5 old.json | vault-etl audit policy set - --reason x
    """
    from vault_etl.app import audit

    asked = reason_for("a policy", reason)
    text = _read(file)
    parts, _ = start(quiet=quiet, verbose=verbose)
    document = parse_policy(text, parts.declaration.data_fields)
    policy = audit.policy(parts)
    policy.check_owner()
    request = audit_request(parts.identity, Action.POLICY_SET, asked)
    head = policy.replace(request, document)
    shown = json.loads(document)
    print_object({**shown, "audit_seq": head.seq, "audit_hash": head.hash.hex()}, output)


def _quota(allowance: Allowance) -> dict[str, object]:
    """The rest of the login's quotas, if it may access anything."""
    if not allowance.reader:
        return {}
    return {
        "reveals": _standing(allowance.accesses),
        "tokens": _standing(allowance.tokens),
    }


def _standing(quota: Quota) -> dict[str, object]:
    return {
        "used": quota.used,
        "left": quota.left,
        "next_at": utc_text(quota.next_at) if quota.next_at else None,
        "reset_at": utc_text(quota.reset_at) if quota.reset_at else None,
    }


def _rules(policy: Mapping[str, Any]) -> list[dict[str, object]]:
    return [{"purpose": name, **rule} for name, rule in sorted(policy["purposes"].items())]


def _read(path: Path) -> str:
    content = read_bounded(None if str(path) == "-" else path, MAX_FILE_BYTES)
    if len(content) > MAX_FILE_BYTES:
        message = "the policy is longer than 64 KiB"
        raise UsageError(message, hint="use fewer purposes")
    return content.decode("utf-8", "replace")
