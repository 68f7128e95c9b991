"""Making keys: a random id, a key from KMS bound to it, and the row."""

from __future__ import annotations

import dataclasses
import datetime as dt
import secrets
from dataclasses import dataclass
from typing import Final, Protocol

from vault_etl.base.errors import IncompleteError
from vault_etl.crypto.fields import Field, KeyField, KeyPurpose
from vault_etl.crypto.keys import (
    MAX_LEASE,
    MAX_SEALS,
    DataKey,
    KeyMaterial,
    WrappedKey,
    fingerprint,
)
from vault_etl.keys.unwrap import KeyUnwrapper
from vault_etl.platform.clock import Clock

_MAX_DRAWS: Final = 20


def draw_key_id() -> int:
    """A random uint32 but 0. Never from a sequence: a restore rolls that back, and ids would come again."""
    return secrets.randbelow(2**32 - 1) + 1


def make_data_key(
    generator: KeyGenerator, field: Field, lease: dt.timedelta = MAX_LEASE
) -> tuple[NewKey, KeyMaterial]:
    """Make a data key in KMS: its row to be, and its plaintext.

    Raises what `KeyGenerator.generate` raises.
    """
    key_id = draw_key_id()
    made = generator.generate(KeyPurpose.DATA, field, key_id)
    new = new_key(made, KeyPurpose.DATA, field, key_id, lease=lease)
    return dataclasses.replace(new, fingerprint=fingerprint(made.material, key_id)), made.material


def new_key(
    made: GeneratedKey | UnseenKey,
    purpose: KeyPurpose,
    field: KeyField,
    key_id: int,
    *,
    generation: int | None = None,
    lease: dt.timedelta | None = None,
) -> NewKey:
    """Build the row of a key that KMS made, but for its fingerprint."""
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
    """The data keys that one process seals under: one a field, each for a time and a number of seals.

    No two processes share a data key, so there is nothing to coordinate. A key is made before its
    first seal, and never if there is none.
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
        self._leases: dict[Field, _Lease] = {}
        self.made: list[int] = []

    def data_key(self, field: Field, seals: int) -> DataKey:
        """A data key that is good for that many more seals, which are counted as done.

        Raises what `KeyGenerator.generate` and `DataKeyWriter.add_data_key` raise.
        """
        lease = self._leases.get(field)
        if lease is None or lease.seals_left < seals or self._clock.monotonic() >= lease.ends:
            lease = self._leases[field] = self._take(field)
        lease.seals_left -= seals
        return lease.key

    @property
    def seals_left(self) -> dict[Field, int]:
        """How many more values may be sealed under each lease."""
        return {field: lease.seals_left for field, lease in self._leases.copy().items()}

    def forget(self) -> None:
        """Drop every key: the fence said that one of them may no longer be written under."""
        self._leases.clear()

    def _take(self, field: Field) -> _Lease:
        # Counted from before the key exists, so that our end comes before the database's.
        ends = self._clock.monotonic() + self._max_age.total_seconds()
        for _ in range(_MAX_DRAWS):
            new, material = make_data_key(self._generator, field, self._max_age)
            if self._writer.add_data_key(new):
                self.made.append(new.key_id)
                return _Lease(DataKey(new.key_id, field, material), ends, self._max_seals)
        message = f"no free key id in {_MAX_DRAWS} draws"
        raise IncompleteError(message)


class _Lease:
    """How long, and for how many seals, a data key is ours."""

    __slots__ = ("ends", "key", "seals_left")

    def __init__(self, key: DataKey, ends: float, seals_left: int) -> None:
        self.key = key
        self.ends = ends
        self.seals_left = seals_left


@dataclass(frozen=True, slots=True)
class GeneratedKey:
    """A new key: in plaintext, for memory alone, and wrapped, for the database."""

    material: KeyMaterial
    wrapped_key: bytes
    kms_key_arn: str


@dataclass(frozen=True, slots=True)
class UnseenKey:
    """A new key that its maker was not shown: wrapped, for the database."""

    wrapped_key: bytes
    kms_key_arn: str


class KeyGenerator(Protocol):
    """May make keys and use them at once (kms:GenerateDataKey)."""

    def generate(self, purpose: KeyPurpose, field: Field, key_id: int) -> GeneratedKey:
        """A new key of 32 bytes, bound to purpose, field and key id.

        Raises DeniedError, KeyUnavailableError, ConfigurationError or UnavailableError.
        """


class UnseenKeyGenerator(Protocol):
    """May make keys without seeing them (kms:GenerateDataKeyWithoutPlaintext)."""

    def generate_unseen(self, purpose: KeyPurpose, field: KeyField, key_id: int) -> UnseenKey:
        """Make a key of 32 bytes, bound to purpose, field and key id.

        Raises DeniedError, KeyUnavailableError, ConfigurationError or UnavailableError.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey(WrappedKey):
    """A row to be: the database adds who and when. `lease` is None for token keys, which do not expire."""

    lease: dt.timedelta | None


class DataKeyWriter(Protocol):
    """May add data keys."""

    def add_data_key(self, key: NewKey) -> bool:
        """Commit a new, active data key. False if its id is taken: draw again."""


def make_unseen_key(
    generator: UnseenKeyGenerator,
    unwrapper: KeyUnwrapper,
    purpose: KeyPurpose,
    field: KeyField,
    generation: int | None = None,
) -> NewKey:
    """Make a key in KMS and open it once, for its fingerprint; its row to be.

    To make a key and to open it are two permissions: who has the first alone never learns what was
    made. Raises what `UnseenKeyGenerator.generate_unseen` and `KeyUnwrapper.unwrap` raise.
    """
    key_id = draw_key_id()
    made = generator.generate_unseen(purpose, field, key_id)
    new = new_key(made, purpose, field, key_id, generation=generation)
    return dataclasses.replace(new, fingerprint=fingerprint(unwrapper.unwrap(new), key_id))
