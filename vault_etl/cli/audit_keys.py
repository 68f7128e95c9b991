"""Public halves of audit keys, and the places of segments, on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from vault_etl.audit.signing_key import AuditKey
from vault_etl.base.errors import NotFoundError, UsageError
from vault_etl.cli.read_file import read_bounded
from vault_etl.platform.store_location import S3, parse_location

MAX_FILE_BYTES: Final = 16 * 1024 * 1024

PublicKeyOption = Annotated[
    list[Path] | None,
    typer.Option(help="The audit key's public half, DER or PEM. Then KMS is not asked."),
]


def keys_of(paths: list[Path] | None) -> list[AuditKey]:
    """The keys in these files. Raises UsageError for what is none."""
    return [_key(path) for path in paths or []]


def read_short(path: Path) -> bytes:
    """The file. Raises UsageError for one that is longer than any checkpoint or key."""
    content = read_bounded(path, MAX_FILE_BYTES)
    if len(content) > MAX_FILE_BYTES:
        message = f"{path} is longer than any checkpoint or key"
        raise UsageError(message, hint="check the name of the file")
    return content


def place_of(text: str, *, is_new: bool = False) -> str:
    """Where segments are: s3://bucket/prefix, or an absolute path. The last folder of it may be new.

    Raises UsageError for what is neither, NotFoundError for a folder that is not there: a timer that
    exports or trims nothing for ever would be silent about it.
    """
    place = parse_location(text, str(Path.cwd()))
    if not place.startswith(S3):
        folder = Path(place).parent if is_new else Path(place)
        if not folder.is_dir():
            message = f"the folder {folder} is not there"
            raise NotFoundError(message, hint="make the folder, or mount its disk")
    return place


def _key(path: Path) -> AuditKey:
    try:
        return AuditKey(read_short(path))
    except ValueError as error:
        message = f"{path}: {error}"
        raise UsageError(
            message,
            hint="aws kms get-public-key --key-id alias/vault-etl-audit prints it in base64",
        ) from None
