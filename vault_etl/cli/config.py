"""`vault-etl config`."""

from __future__ import annotations

import os
from collections.abc import Iterator

import typer
from pydantic import SecretStr

from vault_etl import logs, settings
from vault_etl.cli.output import OutputOption, QuietOption, print_rows
from vault_etl.cli.start import VerboseOption


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
    directory, or the file that VAULT_ETL_CONFIG names.

    \b
    Examples:
      vault-etl config
      VAULT_ETL_CONFIG=production.toml vault-etl config --output json
    """
    loaded, sources = settings.load(os.environ)
    logs.configure(loaded.log_format, verbose=verbose, quiet=quiet)
    print_rows(
        _rows(loaded, sources),
        output,
        columns=("setting", "source", "value"),
        empty="no settings",
    )


def _rows(loaded: settings.Settings, sources: dict[str, str]) -> Iterator[dict[str, object]]:
    for name, field in settings.Settings.model_fields.items():
        value = getattr(loaded, name)
        yield {
            "setting": f"{settings.PREFIX}{name.upper()}",
            "value": "(redacted)" if isinstance(value, SecretStr) else value,
            "source": sources[name],
            "what": field.description,
        }
