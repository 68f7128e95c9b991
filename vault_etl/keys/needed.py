"""Keys to destroy, and what still needs them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from vault_etl.base.errors import ConfigurationError, NotFoundError
from vault_etl.crypto.fields import FieldName, KeyPurpose
from vault_etl.crypto.keys import KeyState, StoredKey
from vault_etl.keys.ring import KeyReader


@dataclass(frozen=True, slots=True)
class DestroyTarget:
    """The keys that are destroyed with `key_id`: a data key, or a whole generation of token keys.

    `keys` are those that are not destroyed yet: empty if all are.
    """

    key_id: int
    generation: int | None
    fields: tuple[FieldName, ...]
    keys: tuple[StoredKey, ...]

    @property
    def key_ids(self) -> tuple[int, ...]:
        """The ids of `keys`, in ascending order."""
        return tuple(sorted(key.key_id for key in self.keys))

    def __str__(self) -> str:
        if self.generation is None:
            return f"data key {self.key_id} of {self.fields[0]}"
        ids = " and ".join(map(str, self.key_ids))
        return f"generation {self.generation} of the token keys ({ids})"


class DestroyTargetFinder:
    """Finds the keys to destroy, and refuses while something needs them."""

    def __init__(
        self, reader: KeyReader, needs: KeyNeedsCounter, fields: Sequence[FieldName]
    ) -> None:
        self._reader = reader
        self._needs = needs
        self._fields = tuple(fields)

    def find(self, key_id: int) -> DestroyTarget:
        """Return the keys that are destroyed with this key.

        Raises NotFoundError if no key has this id, and ConfigurationError for the source key, which
        every later load of a file needs.
        """
        found = self._reader.keys([key_id])
        if not found:
            message = f"there is no key {key_id}"
            raise NotFoundError(message, hint="`vault-etl keys list` shows every key")
        (key,) = found
        if key.purpose is KeyPurpose.SOURCE:
            message = f"key {key_id} is the source key"
            raise ConfigurationError(message, hint="without it no file is known to be loaded")
        if key.generation is None:
            live = key.state is not KeyState.DESTROYED
            return DestroyTarget(key_id, None, (key.field,), (key,) if live else ())
        generation = [
            each
            for field in self._fields
            for each in self._reader.field_token_keys(field)
            if each.generation == key.generation
        ]
        return DestroyTarget(key_id, key.generation, self._fields, tuple(generation))

    def needs(self, to_destroy: DestroyTarget, *, counted: bool = False) -> KeyNeeds:
        """Return the old tokens that are cleared with the keys, and what unattached months need of them.

        Uses the kept counts, or reads all rows if `counted`. Raises ConfigurationError, with the
        counts, if anything else needs the keys.
        """
        if to_destroy.generation is None:
            needs = self._needs.of_data_key(to_destroy.key_id)
        else:
            _refuse_in_use(to_destroy)
            needs = self._needs.of_generation(to_destroy.generation, counted=counted)
        _refuse_if_needed(to_destroy, needs)
        return needs


def refuse_if_unattached_need(to_destroy: DestroyTarget, needs: KeyNeeds) -> None:
    """Raise ConfigurationError if months that are not attached, or sets, hold tokens of this generation."""
    if needs.unattached:
        message = (
            f"{to_destroy} is needed: {needs.unattached} rows with its tokens in months that are not attached,"
            " or in sets"
        )
        raise ConfigurationError(
            message,
            hint="`vault-etl partitions retoken` gives a detached month new tokens, and `lake rotate` a set or an"
            " archive; the table's rows keep none of the old ones, so the next rotation may begin",
        )


def _refuse_in_use(to_destroy: DestroyTarget) -> None:
    states = {key.state for key in to_destroy.keys}
    if KeyState.PENDING in states:
        message = f"{to_destroy} is pending"
        raise ConfigurationError(message, hint="`vault-etl keys rotate --tokens` is not done")
    if KeyState.ACTIVE in states:
        message = f"{to_destroy} is active"
        hint = "`vault-etl keys rotate --tokens` puts another one in its place first"
        raise ConfigurationError(message, hint=hint)


def _refuse_if_needed(to_destroy: DestroyTarget, needs: KeyNeeds) -> None:
    counts = {
        "values of records"
        if to_destroy.generation is None
        else "rows with its tokens": needs.values,
        "quarantined bodies": needs.bodies,
        "running lease": needs.leases,
    }
    needed_by = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    if needed_by:
        message = f"{to_destroy} is needed: {needed_by}"
        raise ConfigurationError(message, hint=_hint(to_destroy, needs))


def _hint(to_destroy: DestroyTarget, needs: KeyNeeds) -> str:
    if to_destroy.generation is not None:
        return "`vault-etl keys rotate --tokens` gives them new tokens"
    if needs.values or needs.bodies:
        return (
            "`vault-etl keys rotate` re-encrypts them under other keys; values that it names as not opening,"
            " `vault-etl erase` removes"
        )
    return "a process may seal under it until it expires; `vault-etl keys rotate` retires it"


@dataclass(frozen=True, slots=True)
class KeyNeeds:
    """The numbers of things that need a key: values of records, quarantined bodies, running leases.

    For a generation of token keys, `values` counts the rows whose tokens it made. `old_tokens`
    counts the rows that keep its tokens beside newer ones: these are cleared with the keys.
    `unattached` counts the rows that hold its tokens in months that are not attached, and in sets.
    """

    values: int = 0
    bodies: int = 0
    leases: int = 0
    old_tokens: int = 0
    unattached: int = 0


class KeyNeedsCounter(Protocol):
    """May count what needs a key."""

    def of_data_key(self, key_id: int) -> KeyNeeds:
        """Count what needs a data key; its lease runs by the database's clock."""

    def of_generation(self, generation: int, *, counted: bool) -> KeyNeeds:
        """Count what needs a generation of token keys: by the kept counts, or from all rows if `counted`."""


@dataclass(frozen=True, slots=True)
class KeyUsage:
    """A stored key, and the number of values that need it.

    `unused` marks data keys that nothing needs: no value is under them, and they are retired, or their
    lease has expired by the database's clock.
    """

    key: StoredKey
    rows: int
    unused: bool


class KeyLister(Protocol):
    """May list keys and count what needs them."""

    def usage(self, *, counted: bool = False) -> Sequence[KeyUsage]:
        """Return every key, the oldest first, from one statement, so from one snapshot.

        `rows` are the values that each commit has added and removed. `counted` reads all records instead.
        """
