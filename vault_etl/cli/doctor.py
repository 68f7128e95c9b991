"""`vault-etl doctor`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated

import typer

from vault_etl.base.errors import ConfigurationError
from vault_etl.cli.start import VerboseOption, start
from vault_etl.cli.ui.output import OutputOption, QuietOption, print_rows, wants_json
from vault_etl.doctor.diagnose import Finding


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor")(_doctor)


def _doctor(
    *,
    deep: Annotated[
        bool,
        typer.Option("--deep", help="Run also the checks that read all records: counts of values."),
    ] = False,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Check what the vault depends on: settings, AWS, Postgres, keys. Changes nothing.

    Each check has one line, or one line for each problem: ok, not ok, or neither ("-" in a table,
    null in JSON) if it does not apply, depends on a check that failed, or is not visible to this
    role. Exit 78 if a check is not ok; its line says how to fix it. Any role may run `doctor`, and
    sees what its rights allow.

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
        raise ConfigurationError(message, hint="the line of each check says how to fix it")


def _noted(findings: Iterable[Finding], failed: list[str]) -> Iterator[Finding]:
    """The findings as they come; `failed` collects the names of the checks that are not ok."""
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
    """The cells of a table, with the hint after the detail."""
    verdict = finding.verdict
    detail = f"{verdict.detail} (hint: {verdict.hint})" if verdict.hint else verdict.detail
    return {"check": finding.check, "ok": verdict.ok, "detail": detail}
