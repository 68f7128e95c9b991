"""`vault-etl doctor`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated

import typer

from vault_etl.base.errors import ConfigurationError
from vault_etl.cli.start import VerboseOption, start
from vault_etl.cli.ui.output import OutputOption, QuietOption, print_rows, wants_json
from vault_etl.doctor.doctor import Finding


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor")(_doctor)


def _doctor(
    *,
    deep: Annotated[
        bool, typer.Option("--deep", help="Also what reads all records: the counts of values.")
    ] = False,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Check what the vault rests on: settings, AWS, Postgres, keys. Changes nothing.

    One line a check, or one for each thing that is wrong: ok, not ok, or neither ("-" in a table,
    null in JSON) if it does not apply, rests on one that failed, or is not visible to this role.
    Exit 78 if a check is not ok; each of these lines says how to mend it. Any role may run it, and
    sees what it may.

    \b
    Examples:
      vault-etl doctor
      vault-etl doctor --deep
      vault-etl doctor --output json
    """
    from vault_etl.app import doctor

    parts, _ = start(quiet=quiet, verbose=verbose)
    failed: list[str] = []
    findings = _noted(doctor.doctor(parts, deep=deep), failed)
    print_rows(
        map(_line if wants_json(output) else _cells, findings),
        output,
        columns=("check", "ok", "detail"),
        empty="no checks",
        last=40,
    )
    if failed:
        message = f"not ok: {', '.join(failed)}"
        raise ConfigurationError(message, hint="each of their lines says how to mend it")


def _noted(findings: Iterable[Finding], failed: list[str]) -> Iterator[Finding]:
    """The findings as they come; the names of what is not ok go to `failed`."""
    for finding in findings:
        if finding.verdict.ok is False and finding.check not in failed:
            failed.append(finding.check)
        yield finding


def _line(finding: Finding) -> dict[str, object]:
    verdict = finding.verdict
    return {
        "check": finding.check,
        "ok": verdict.ok,
        "detail": verdict.detail,
        "hint": verdict.hint,
    }


def _cells(finding: Finding) -> dict[str, object]:
    """For a person: what to do stands behind what is wrong."""
    verdict = finding.verdict
    detail = f"{verdict.detail} (hint: {verdict.hint})" if verdict.hint else verdict.detail
    return {"check": finding.check, "ok": verdict.ok, "detail": detail}
