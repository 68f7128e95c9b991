"""vault-etl: login events from SQS into Postgres, tokenised, sealed, and recoverable on the record.

The names of `__all__` are the library (docs/library.md). A name is imported when it is first used: the commands
import this package too, and start fast.
"""

__version__ = "0.1.0"

__all__ = [
    "Entry",
    "Found",
    "FoundRecord",
    "Ingested",
    "Pii",
    "RevealedRecord",
    "SearchedValue",
    "Vault",
    "__version__",
    "errors",
]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vault_etl import errors
    from vault_etl.base.pii import Pii
    from vault_etl.library.results import (
        Entry,
        Found,
        FoundRecord,
        Ingested,
        RevealedRecord,
        SearchedValue,
    )
    from vault_etl.library.vault import Vault

_MODULES = {
    "Pii": "vault_etl.base.pii",
    "Vault": "vault_etl.library.vault",
    "errors": "vault_etl.errors",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        message = f"module 'vault_etl' has no attribute {name!r}"
        raise AttributeError(message)
    from importlib import import_module  # noqa: PLC0415 - a command needs none of it

    module = import_module(_MODULES.get(name, "vault_etl.library.results"))
    found = module if name == "errors" else getattr(module, name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
