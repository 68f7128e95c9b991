"""Make keys: a random id, a key from KMS bound to that id, and the row; and the leases of data keys."""

from __future__ import annotations

import dataclasses
import datetime as dt
import secrets
from dataclasses import dataclass
from typing import Final, Protocol

from vault_etl.base.errors import IncompleteError
from vault_etl.crypto.fields import FieldName, KeyPurpose
from vault_etl.crypto.keys import (
    DataKey,
    KeyMaterial,
    WrappedKey,
    fingerprint,
)
from vault_etl.crypto.limits import MAX_LEASE, MAX_SEALS
from vault_etl.keys.unwrap import KeyUnwrapper
from vault_etl.platform.clock import Clock

_MAX_DRAWS: Final = 20


def draw_key_id() -> int:
    """Draw a random uint32 other than 0. A restore would roll back a sequence, and ids would repeat."""
    return secrets.randbelow(2**32 - 1) + 1


def make_data_key(
    generator: KeyGenerator, field: FieldName, lease: dt.timedelta = MAX_LEASE
) -> tuple[NewKey, KeyMaterial]:
    """Make a data key in KMS; return its new row and its plaintext.

    Raises the errors of `KeyGenerator.generate`.
    """
    key_id = draw_key_id()
    made = generator.generate(KeyPurpose.DATA, field, key_id)
    new = new_key(made, KeyPurpose.DATA, field, key_id, lease=lease)
    return dataclasses.replace(new, fingerprint=fingerprint(made.material, key_id)), made.material


def new_key(
    made: GeneratedKey | UnseenKey,
    purpose: KeyPurpose,
    field: FieldName,
    key_id: int,
    *,
    generation: int | None = None,
    lease: dt.timedelta | None = None,
) -> NewKey:
    """Build the row of a key that KMS made, without its fingerprint."""
    return NewKey(
        key_id=key_id,
        purpose=purpose,
        field=field,
        generation=generation,
        kms_key_arn=made.kms_key_arn,
        wrapped_key=made.wrapped_key,
        fingerprint=b"",
        lease=lease,
    )


class DataKeyLeases:
    """The data keys that one process seals under: one a field, each for a limited time and number of seals.

    No two processes share a data key, so they need no coordination. A key is made before its first
    seal, and is not made if nothing is sealed.
    """

    def __init__(
        self,
        generator: KeyGenerator,
        writer: DataKeyWriter,
        clock: Clock,
        *,
        max_age: dt.timedelta = MAX_LEASE,
        max_seals: int = MAX_SEALS,
    ) -> None:
        self._generator = generator
        self._writer = writer
        self._clock = clock
        self._max_age = max_age
        self._max_seals = max_seals
        self._leases: dict[FieldName, _Lease] = {}
        self.made: list[int] = []

    def data_key(self, field: FieldName, seals: int) -> DataKey:
        """Return a data key that is good for `seals` more seals, and count these as used.

        Raises the errors of `KeyGenerator.generate` and `DataKeyWriter.add_data_key`.
        """
        lease = self._leases.get(field)
        if lease is None or lease.seals_left < seals or self._clock.monotonic() >= lease.ends:
            lease = self._leases[field] = self._take(field)
        lease.seals_left -= seals
        return lease.key

    @property
    def seals_left(self) -> dict[FieldName, int]:
        """The number of values that each lease may still seal."""
        return {field: lease.seals_left for field, lease in self._leases.copy().items()}

    def forget(self) -> None:
        """Drop every key: the fence refused writes under one of them."""
        self._leases.clear()

    def _take(self, field: FieldName) -> _Lease:
        # The time runs from before the key exists, so our lease ends before the database's.
        ends = self._clock.monotonic() + self._max_age.total_seconds()
        for _ in range(_MAX_DRAWS):
            new, material = make_data_key(self._generator, field, self._max_age)
            if self._writer.add_data_key(new):
                self.made.append(new.key_id)
                return _Lease(DataKey(new.key_id, field, material), ends, self._max_seals)
        message = f"no free key id in {_MAX_DRAWS} draws"
        raise IncompleteError(message)


class _Lease:
    """A data key of this process, the end of its time, and the seals that are left."""

    __slots__ = ("ends", "key", "seals_left")

    def __init__(self, key: DataKey, ends: float, seals_left: int) -> None:
        self.key = key
        self.ends = ends
        self.seals_left = seals_left


@dataclass(frozen=True, slots=True)
class GeneratedKey:
    """A new key: its plaintext, for memory alone, and its wrapped bytes, for the database."""

    material: KeyMaterial
    wrapped_key: bytes
    kms_key_arn: str


@dataclass(frozen=True, slots=True)
class UnseenKey:
    """A new key whose plaintext its maker did not see: its wrapped bytes, for the database."""

    wrapped_key: bytes
    kms_key_arn: str


class KeyGenerator(Protocol):
    """May make keys and use them at once (kms:GenerateDataKey)."""

    def generate(self, purpose: KeyPurpose, field: FieldName, key_id: int) -> GeneratedKey:
        """Make a key of 32 bytes, bound to purpose, field and key id.

        Raises DeniedError, KeyUnavailableError, ConfigurationError or UnavailableError.
        """


class UnseenKeyGenerator(Protocol):
    """May make keys without seeing their plaintext (kms:GenerateDataKeyWithoutPlaintext)."""

    def generate_unseen(self, purpose: KeyPurpose, field: FieldName, key_id: int) -> UnseenKey:
        """Make a key of 32 bytes, bound to purpose, field and key id.

        Raises DeniedError, KeyUnavailableError, ConfigurationError or UnavailableError.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey(WrappedKey):
    """A row to insert: the database adds who and when. `lease` is None for keys that do not expire."""

    lease: dt.timedelta | None


class DataKeyWriter(Protocol):
    """May add data keys."""

    def add_data_key(self, key: NewKey) -> bool:
        """Commit a new, active data key. Return False if its id is taken: draw another."""


def make_unseen_key(
    generator: UnseenKeyGenerator,
    unwrapper: KeyUnwrapper,
    purpose: KeyPurpose,
    field: FieldName,
    generation: int | None = None,
) -> NewKey:
    """Make a key in KMS and open it once, for its fingerprint; return its new row.

    Making a key and opening it are two permissions: a caller with the first alone never learns the
    key. Raises the errors of `UnseenKeyGenerator.generate_unseen` and `KeyUnwrapper.unwrap`.
    """
    key_id = draw_key_id()
    made = generator.generate_unseen(purpose, field, key_id)
    new = new_key(made, purpose, field, key_id, generation=generation)
    return dataclasses.replace(new, fingerprint=fingerprint(unwrapper.unwrap(new), key_id))
