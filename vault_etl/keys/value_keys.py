"""The data keys that stored values are sealed under. Keys at fault are skipped, and named at the end of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from vault_etl.base.errors import (
    ConfigurationError,
    DataError,
    DeniedError,
    IntegrityError,
    KeyUnavailableError,
    UnusableKeyError,
    VaultEtlError,
)
from vault_etl.crypto.fields import FieldName, KeyPurpose
from vault_etl.crypto.keys import DataKey
from vault_etl.keys.make import KeyGenerator, make_data_key
from vault_etl.keys.needed import KeyLister
from vault_etl.keys.ring import KeyRing
from vault_etl.keys.unwrap import KeyUnwrapper, KmsKeys

MAX_REMEMBERED: Final = 1_000
"""A run keeps the reasons of this many keys at fault. It keeps the ids of all, and asks KMS once for each."""

MAX_NAMED: Final = 10


@dataclass(frozen=True, slots=True)
class KeyAtFault:
    """A key that does not open, the number of values under it, and the reason."""

    key_id: int
    values: int
    error: VaultEtlError


class ValueKeys:
    """Opens the keys of a run over many rows, and tells a fault of a key from a fault of the caller.

    A worker can store a key that nothing opens, and rows under it: no such key may stop a run, whatever
    KMS says about it. An `UnusableKeyError` is the key's fault. When KMS refuses a key instead (its row may
    name a KMS key that is disabled or that this caller may not use, or hold bytes of another installation),
    a new key is made and opened: if that works, the refusal is the key's fault too, else the caller's.
    """

    def __init__(
        self,
        ring: KeyRing,
        kms_keys: KmsKeys,
        lister: KeyLister,
        generator: KeyGenerator,
        unwrapper: KeyUnwrapper,
    ) -> None:
        self._ring = ring
        self._kms_keys = kms_keys
        self._lister = lister
        self._generator = generator
        self._unwrapper = unwrapper
        self._at_fault: dict[int, VaultEtlError] = {}
        self._passed = set[int]()

    def must_trust(self, *purposes: KeyPurpose) -> None:
        """Raise ConfigurationError unless the KMS keys that wrap new keys of these purposes are trusted.

        Call it before any change: under a wrong allow-list, every key would appear to be at fault.
        """
        for purpose in purposes:
            arn = self._kms_keys.in_use(purpose)
            if not self._kms_keys.trusts(purpose, arn):
                message = f"the KMS key {arn}, which new {purpose} keys get, is not trusted here"
                raise ConfigurationError(
                    message, hint="VAULT_ETL_TRUSTED_KEY_ARNS must list every KMS key of yours"
                )

    def data_key(self, key_id: int, field: FieldName) -> DataKey | None:
        """Return the data key of this id, or None if nothing opens it.

        Raises KeyUnavailableError if KMS refuses this caller, or the KMS key that wraps new keys;
        UnavailableError.
        """
        if key_id in self._passed:
            return None
        try:
            return self._ring.data_key(key_id, field)
        except IntegrityError:  # the value names a key that is not stored: the value is at fault
            return None
        except UnusableKeyError as error:
            fault: VaultEtlError = error
        except KeyUnavailableError as error:
            if not self._opens_what_it_makes(field):
                raise
            fault = error
        self._passed.add(key_id)
        if len(self._at_fault) < MAX_REMEMBERED:
            self._at_fault[key_id] = fault
        return None

    def _opens_what_it_makes(self, field: FieldName) -> bool:
        """Say whether KMS lets this caller open a data key of this field. The key that it makes is not stored."""
        try:
            self._unwrapper.unwrap(make_data_key(self._generator, field)[0])
        except DeniedError:
            return False
        return True

    def at_fault(self) -> Sequence[KeyAtFault]:
        """Return the keys that this run skipped, those with the most values first. Counts all rows."""
        if not self._at_fault:
            return ()
        values = {usage.key.key_id: usage.rows for usage in self._lister.usage()}
        found = [
            KeyAtFault(key_id, values.get(key_id, 0), error)
            for key_id, error in self._at_fault.items()
        ]
        return sorted(found, key=lambda key: (-key.values, key.key_id))


def naming(error: DataError, keys: Sequence[KeyAtFault]) -> DataError:
    """Return the same error with these keys and their remedies added."""
    if not keys:
        return error
    shown = "; ".join(f"{key.error}, with {key.values} values under it" for key in keys[:MAX_NAMED])
    more = f"; and {len(keys) - MAX_NAMED} keys more" if len(keys) > MAX_NAMED else ""
    hints = dict.fromkeys(key.error.hint for key in keys[:MAX_NAMED] if key.error.hint)
    return DataError(f"{error}; {shown}{more}", hint="; ".join(filter(None, (*hints, error.hint))))
