"""The table of wrapped keys."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from vault_etl.audit.entries import AuditRequest
from vault_etl.crypto.fields import Field
from vault_etl.crypto.keys import StoredKey, WrappedKey


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


class KeyTrail(Protocol):
    """May compare the keys with the entries of the log that say what they are."""

    def unexplained(self, key_ids: Collection[int] | None = None) -> Sequence[int]:
        """The ids of keys that are not what the newest entry about them says, or that have none.

        Of these keys, or of all. A data key that nothing has changed since it was made needs no entry.
        """


class FirstKeyWriter(Protocol):
    """May add the first keys of a purpose, behind the fence."""

    def add_first_keys(self, request: AuditRequest, keys: Sequence[NewKey]) -> bool:
        """Commit these as active, with the entry that names them, as `request` asks for.

        False, with nothing changed, if there are keys of one of their purposes already.
        """


class KeyRetirer(Protocol):
    """May retire data keys, behind the fence."""

    def retire_data_keys(self, request: AuditRequest, fields: Iterable[Field]) -> Sequence[int]:
        """Make every active data key of these fields `decrypt_only`, on the record; their ids."""


@dataclass(frozen=True, slots=True)
class KeyUsage:
    """A stored key, and how many values still need it.

    `unused` are data keys that nothing needs: no value is under them, and they are retired, or their
    lease is over by the database's clock.
    """

    key: StoredKey
    rows: int
    unused: bool


class KeyLister(Protocol):
    """May list keys and count what needs them."""

    def usage(self, *, counted: bool = False) -> Sequence[KeyUsage]:
        """Every key, the oldest first; one statement, so one snapshot.

        Rows are those that each commit has added and taken away. `counted` reads all records instead.
        """
