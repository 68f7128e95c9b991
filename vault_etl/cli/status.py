"""`vault-etl status`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from vault_etl.base.errors import ConfigurationError
from vault_etl.cli.start import VerboseOption, start
from vault_etl.cli.ui.output import OutputOption, QuietOption, print_rows, wants_json
from vault_etl.cli.ui.signals import end_when_told
from vault_etl.doctor.diagnose import Finding

if TYPE_CHECKING:
    from vault_etl.app.parts import Parts


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("status")(_status)


def _status(
    *,
    metrics_address: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="Print nothing; serve the sections to Prometheus, until a signal ends it.",
        ),
    ] = None,
    every: Annotated[
        float,
        typer.Option(
            min=1.0, metavar="SECONDS", help="With --metrics-address: time between two reads."
        ),
    ] = 30.0,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Show the state of the work on one screen: queue, records, quarantine, keys, log.

    For the person on call, and for a probe: exit 78 if something needs a person, and its line says
    what to do. The role audit sees every section. Any role may run `status`; a section that the role
    may not see says so. In JSON, the numbers and times of a section are members of its line. Every
    query is bounded, however large the tables are. `doctor` checks what the vault depends on.

    \b
    Examples:
      vault-etl status
      vault-etl status --output json
      vault-etl status --metrics-address 127.0.0.1:9465
    """
    from vault_etl.app import status

    parts, _ = start(quiet=quiet, verbose=verbose)
    if metrics_address is not None:
        _serve(parts, metrics_address, every)
    findings = list(status.status(parts))
    shape = _line if wants_json(output) else _row
    print_rows(map(shape, findings), output, columns=("section", "ok", "detail"), empty="nothing")
    wrong = [finding.check for finding in findings if finding.verdict.ok is False]
    if wrong:
        message = f"needs a person: {', '.join(wrong)}"
        raise ConfigurationError(message, hint="the line of each section says what to do")


def _serve(parts: Parts, address: str, every: float) -> NoReturn:
    from vault_etl.app import status
    from vault_etl.base import logs

    end_when_told()
    served = status.served(parts, address)
    logs.get_logger().info("metrics", address=served.address)
    while True:
        served.show(status.status(parts))
        time.sleep(every)


def _line(finding: Finding) -> dict[str, object]:
    verdict = finding.verdict
    return {
        "section": finding.check,
        "ok": verdict.ok,
        "detail": verdict.detail,
        "hint": verdict.hint,
        **verdict.values,
    }


def _row(finding: Finding) -> dict[str, object]:
    """The cells of a table: one line if the terminal has room, with the hint after the detail."""
    verdict = finding.verdict
    detail = f"{verdict.detail}: {verdict.hint}" if verdict.hint else verdict.detail
    return {"section": finding.check, "ok": verdict.ok, "detail": detail}
