"""The vault as one process sees it: the driver, or a Python worker of an executor, with credentials of its own.

Nothing here is sent to another process. A function that runs on an executor calls `process_vault` there.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping

import cachetools

from vault_etl import settings
from vault_etl.app.in_force import must_be_in_force
from vault_etl.app.key_ring import key_store, ring
from vault_etl.app.keys import leases
from vault_etl.app.parts import Parts
from vault_etl.base.empty_variables import forget_empty
from vault_etl.base.errors import ConfigurationError
from vault_etl.crypto.fields import FieldName
from vault_etl.crypto.keys import KeyState
from vault_etl.crypto.tokens import FieldTokenizer
from vault_etl.declaration.searched import Searched, searched
from vault_etl.keys.make import DataKeyLeases
from vault_etl.keys.ring import MAX_CACHED_SECONDS, KeyReader, KeyRing
from vault_etl.platform.core_dumps import forbid_core_dumps


def process_vault() -> ProcessVault:
    """Return the vault of this process, made once from its environment.

    Raises ConfigurationError for missing settings, or if the database has another declaration in force.
    """
    return _made(os.getpid())


@functools.lru_cache(maxsize=1)
def _made(pid: int) -> ProcessVault:  # noqa: ARG001 - a forked process makes its own
    forget_empty(os.environ)
    if in_task():
        forbid_core_dumps()
    loaded, _ = settings.load(os.environ)
    parts = Parts(loaded, "vault-etl spark")
    must_be_in_force(parts)
    return ProcessVault(parts)


def in_task() -> bool:
    """Tell whether this process runs a task. The driver is a program of its user."""
    from pyspark import TaskContext  # noqa: PLC0415 - the package can be imported without Spark

    return TaskContext.get() is not None


class ProcessVault:
    """Settings, connections and unwrapped keys of one process. Spark runs one task at a time in a Python worker."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self._tokenizers: cachetools.TTLCache[tuple[FieldName, int], FieldTokenizer] = (
            cachetools.TTLCache(64, MAX_CACHED_SECONDS)
        )
        self._of_set: tuple[bytes, KeyRing] | None = None

    @functools.cached_property
    def ring(self) -> KeyRing:
        """The keys of the database, unwrapped once and kept for one lease."""
        return ring(self.parts, max_seconds=self.parts.settings.lease_hours * 3600)

    @functools.cached_property
    def leases(self) -> DataKeyLeases:
        """The data keys that this process seals under."""
        return leases(self.parts)

    def ring_of_set(self, manifest_sha256: bytes, keys: Callable[[], KeyReader]) -> KeyRing:
        """Return the ring of the keys of a set, which `keys` reads once. It is for one set at a time."""
        if self._of_set is None or self._of_set[0] != manifest_sha256:
            self._of_set = (manifest_sha256, ring(self.parts, reader=keys()))
        return self._of_set[1]

    @functools.cached_property
    def searched(self) -> Mapping[FieldName, Searched]:
        """Fields and derived forms, which have tokens, by name."""
        return searched(self.parts.declaration)

    def active_generation(self, field: FieldName) -> int:
        """Return the active generation of a field's tokens. Raises ConfigurationError without token keys."""
        stored = key_store(self.parts).field_token_keys(field)
        if not stored or stored[0].state is not KeyState.ACTIVE:
            message = "there are no token keys yet"
            raise ConfigurationError(message, hint="run `vault-etl keys init` once")
        return stored[0].generation or 0

    def field_tokenizer(self, field: FieldName, generation: int) -> FieldTokenizer:
        """Return the tokenizer of a field; the database is asked every five minutes at most."""
        found = self._tokenizers.get((field, generation))
        if found is None:
            found = self.ring.field_tokenizer(field, generation)
            self._tokenizers[field, generation] = found
        return found
