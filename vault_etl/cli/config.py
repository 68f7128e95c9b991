"""`vault-etl config`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

import typer

from vault_etl import settings
from vault_etl.base import logs
from vault_etl.cli.start import VerboseOption
from vault_etl.cli.ui.output import OutputOption, QuietOption, print_rows


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("config")(_config)


def _config(
    *,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Show every setting, its value, and where it came from. Secrets are redacted.

    Settings come from the environment (VAULT_ETL_…), then from vault-etl.toml in the working
    directory, or from the file that VAULT_ETL_CONFIG names. If a setting is wrong, all settings are
    shown, the wrong ones with what they accept, and the command exits 78.

    \b
    Examples:
      vault-etl config
      VAULT_ETL_CONFIG=production.toml vault-etl config --output json
    """
    loaded, found, problems = settings.inspect(os.environ)
    logs.configure(loaded.log_format, verbose=verbose, quiet=quiet)
    wrong = any(each.problem for each in found.values())
    print_rows(
        _rows(found),
        output,
        columns=("setting", "source", "value", *(["problem"] if wrong else [])),
        empty="no settings",
    )
    if problems:
        raise problems[0]


def _rows(found: Mapping[str, settings.FoundSetting]) -> Iterator[dict[str, object]]:
    for name, each in found.items():
        yield {
            "setting": each.name,
            "value": "(redacted)" if isinstance(each.value, settings.Secret) else each.value,
            "source": each.source,
            "what": settings.SPECS[name].description if name in settings.SPECS else None,
            "problem": each.problem,
        }
