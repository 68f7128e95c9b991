"""Reads the declaration of a vault from its file: the one that is named, or the default in the package."""

from __future__ import annotations

from vault_etl.base.errors import DeniedError, NotFoundError, UsageError
from vault_etl.declaration.model import Declaration
from vault_etl.declaration.parse import MAX_BYTES, parse_declaration
from vault_etl.platform.resources import text_of

DEFAULT_NAME = "default.toml"


def read_declaration(path: str | None) -> Declaration:
    """Return the declaration in the file at `path`; without a path, the default.

    Raises FaultyDeclarationError, NotFoundError, UsageError for a directory, DeniedError for a file
    that this user may not read.
    """
    if path is None:
        content = text_of(f"declaration/{DEFAULT_NAME}").encode()
        return parse_declaration(content, DEFAULT_NAME)
    try:
        with open(path, "rb") as opened:  # noqa: PTH123 - this slice is pure but for this file
            return parse_declaration(opened.read(MAX_BYTES + 1), path)
    except (FileNotFoundError, NotADirectoryError):
        message = f"there is no file {path}"
        raise NotFoundError(message) from None
    except IsADirectoryError:
        message = f"{path} is a directory"
        raise UsageError(message, hint="name a file, such as vault-etl.schema.toml") from None
    except PermissionError:
        message = f"{path} may not be read by this user"
        raise DeniedError(message, hint="see its permissions") from None
