"""The part of the library that needs pyarrow, imported when it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vault_etl.base.errors import ConfigurationError

if TYPE_CHECKING:
    import types


def arrow() -> types.ModuleType:
    """Return the module `arrow_values`. Raises ConfigurationError if pyarrow is not installed."""
    try:
        from vault_etl.library import arrow_values  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] != "pyarrow":
            raise
        message = "values and tables need the package pyarrow, which is not installed"
        raise ConfigurationError(message, hint='pip install "vault-etl[arrow]"') from None
    return arrow_values
