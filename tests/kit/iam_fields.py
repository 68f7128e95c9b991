"""The template of a declaration, deployed in the tests' emulator: the step of an administrator of IAM."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.kit.declarations import EVERY_FIELD
from tests.kit.vault import Vault
from vault_etl.declaration.model import Declaration
from vault_etl.local.provision import change_policies


@contextmanager
def deployed(vault: Vault, declaration: Declaration) -> Iterator[None]:
    """Let each role of the emulator have keys of the declared fields alone; afterwards, of every field again."""
    admin = vault.provisioned.credentials["admin"]
    change_policies(vault.endpoint, admin, declaration)
    try:
        yield
    finally:
        change_policies(vault.endpoint, admin, EVERY_FIELD)
