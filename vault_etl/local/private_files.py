"""Folders and files that only their owner may read. The mode of a parent folder never changes."""

from __future__ import annotations

import json
import os
import secrets
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vault_etl.base.errors import ConfigurationError


def make_private_directory(directory: Path) -> None:
    """Make `directory` (mode 0700), or check that this user owns it, and remove the access of others.

    Raises ConfigurationError if the directory belongs to another user: its owner could read the files.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        owner = directory.stat().st_uid
        if owner == os.geteuid():
            directory.chmod(0o700)
            return
    except OSError as error:
        message = f"{directory} cannot be used: {error.strerror}"
        raise ConfigurationError(message, hint="choose another place with --dir") from None
    message = f"{directory} belongs to another user (uid {owner})"
    raise ConfigurationError(message, hint="run as that user, or choose another place with --dir")


def write_private_json(path: Path, content: Mapping[str, object]) -> None:
    """Replace `path` (mode 0600) in one step: a reader gets the old content or the new."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:  # mkstemp makes it 0600
            json.dump(content, file, indent=2, sort_keys=True)
            file.write("\n")
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read_private_json(path: Path) -> dict[str, Any]:
    """Return the content of `path`, or an empty dict if the file does not exist.

    Raises ConfigurationError if the file cannot be read, or is not from `write_private_json`.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}"
        raise ConfigurationError(
            message, hint="run as the user who started it, or use --dir"
        ) from None
    except ValueError:
        content = None
    if not isinstance(content, dict):
        message = f"{path} is damaged"
        raise ConfigurationError(message, hint="start afresh: vault-etl local reset")
    return content


_PASSWORD_BYTES = 24  # 192 random bits; 32 characters that need no escaping in a URL


@dataclass(frozen=True, slots=True)
class Passwords:
    """The passwords in the file at `path` (JSON, mode 0600). Its repr shows none."""

    path: Path

    def of(self, login: str) -> str:
        """Return the password of `login`; a missing password is drawn at random, and kept."""
        known = read_private_json(self.path)
        if login not in known:
            known[login] = secrets.token_urlsafe(_PASSWORD_BYTES)
            write_private_json(self.path, known)
        return str(known[login])
