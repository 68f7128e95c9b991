"""The library in the process of a test, with the rights of one role."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import vault_etl
from tests.kit.vault import Vault

OURS = ("AWS_", "VAULT_ETL_")


@contextmanager
def library(vault: Vault, role: str, **more: str) -> Iterator[vault_etl.Vault]:
    """Open a vault as a program of this role does: its settings, and `more`, are in the environment."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    with (
        patch.dict(os.environ, {**kept, **vault.environment(role), **more}, clear=True),
        vault_etl.Vault.from_settings() as opened,
    ):
        yield opened
