"""The table of wrapped keys."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from vault_etl.core.fields import Field
from vault_etl.core.keys import StoredKey, WrappedKey


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey(WrappedKey):
    """A row to be: the database adds who and when. `lease` is None for token keys, which do not expire."""

    lease: dt.timedelta | None


class KeyReader(Protocol):
    """May read wrapped keys."""

    def keys(self, key_ids: Iterable[int]) -> Sequence[StoredKey]:
        """The stored keys of these ids; unknown ids are left out."""

    def token_keys(self) -> Sequence[StoredKey]:
        """The active and the pending token keys."""

    def field_token_keys(self, field: Field) -> Sequence[StoredKey]:
        """The token keys of one field that are not destroyed: the active one, then the newest first."""


class SourceKeyReader(Protocol):
    """May read the source key."""

    def source_key(self) -> StoredKey | None:
        """The one source key of the vault, if it was made and is not destroyed."""


class DataKeyWriter(Protocol):
    """May add data keys."""

    def add_data_key(self, key: NewKey) -> bool:
        """Commit a new, active data key. False if its id is taken: draw again."""


class TokenKeyWriter(Protocol):
    """May add token keys, behind the fence."""

    def add_first_token_keys(self, keys: Sequence[NewKey]) -> bool:
        """Commit the keys of generation 1 as active. False if there are token keys already."""


class KeyRetirer(Protocol):
    """May retire data keys, behind the fence."""

    def retire_data_keys(self, fields: Iterable[Field]) -> Sequence[int]:
        """Make every active data key of these fields `decrypt_only`; their ids."""


@dataclass(frozen=True, slots=True)
class KeyUsage:
    """A stored key, and how many values still need it."""

    key: StoredKey
    rows: int


class KeyLister(Protocol):
    """May list keys and count what needs them."""

    def usage(self) -> Sequence[KeyUsage]:
        """Every key, the oldest first."""
