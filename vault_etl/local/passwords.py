"""A random password a database login, in one file that only its owner may read."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

from vault_etl.local.private_files import read_private_json, write_private_json

_PASSWORD_BYTES = 24  # 192 random bits; 32 characters that need no escaping in a URL


@dataclass(frozen=True, slots=True)
class Passwords:
    """The passwords in the file at `path` (JSON, mode 0600). Its repr shows none."""

    path: Path

    def of(self, login: str) -> str:
        """The password of `login`; a new one is drawn and kept if it has none."""
        known = read_private_json(self.path)
        if login not in known:
            known[login] = secrets.token_urlsafe(_PASSWORD_BYTES)
            write_private_json(self.path, known)
        return str(known[login])
