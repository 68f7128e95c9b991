"""KMS keys of a vault that cannot be used for a while. `purpose` is `data`, `token`, `audit` or `archive`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.kit.vault import Vault


@contextmanager
def disabled(vault: Vault, purpose: str) -> Iterator[None]:
    """Disable the key until the block ends."""
    kms, key = vault.emulator.client("kms"), _id(vault, purpose)
    kms.disable_key(KeyId=key)
    try:
        yield
    finally:
        kms.enable_key(KeyId=key)


@contextmanager
def ending(vault: Vault, purpose: str) -> Iterator[None]:
    """Let the key wait for its deletion, which is then cancelled: that leaves it disabled."""
    kms, key = vault.emulator.client("kms"), _id(vault, purpose)
    kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    try:
        yield
    finally:
        kms.cancel_key_deletion(KeyId=key)
        kms.enable_key(KeyId=key)


def _id(vault: Vault, purpose: str) -> str:
    return vault.provisioned.key_arns[purpose].rpartition("/")[2]
