"""The modules of the library that need pyarrow, imported when they are used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from vault_etl.base.errors import ConfigurationError

if TYPE_CHECKING:
    import types


def arrow(name: str = "arrow_values") -> types.ModuleType:
    """Return the module of the library of this name. Raises ConfigurationError if pyarrow is not installed."""
    try:
        return importlib.import_module(f"vault_etl.library.{name}")
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] != "pyarrow":
            raise
        message = "values and tables need the package pyarrow, which is not installed"
        raise ConfigurationError(message, hint='pip install "vault-etl[arrow]"') from None
