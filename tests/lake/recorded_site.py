"""A database with keys, and sets on its record."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Sequence
from typing import Final

from tests.kit.declarations import DEFAULT
from tests.kit.requests import request
from tests.kit.scratch import Scratch
from vault_etl.archives.manifest import Contents, GenerationCount, KeyCount
from vault_etl.audit.entries import Action
from vault_etl.crypto.fields import EventName
from vault_etl.lake.postgres import NewManifest, PostgresSets, RecordedSet

LOGINS: Final = EventName("user_logins")
FIRST, SECOND, THIRD = (bytes([number]) * 32 for number in (1, 2, 3))


@dataclasses.dataclass(frozen=True, slots=True)
class Site:
    """A database with token keys of generation 1, and two data keys of the field ip."""

    scratch: Scratch
    old: int
    new: int

    def begin(self, location: str = "/lake/a", role: str = "ingest") -> uuid.UUID:
        """Register a set."""
        with self.scratch.database(role) as database:
            return PostgresSets(database, DEFAULT).begin(LOGINS, location)

    def record(
        self, set_id: uuid.UUID, key: int, digest: bytes | None = None, generation: int = 1
    ) -> None:
        """Record three rows whose values of ip are sealed under a key."""
        with self.scratch.database("ingest") as database:
            PostgresSets(database, DEFAULT).record(
                set_id, LOGINS, 3, *counts(key, generation), manifest_sha256=digest
            )

    def made(self, location: str = "/lake/a") -> uuid.UUID:
        """A set with the first manifest, under the old key."""
        set_id = self.begin(location)
        self.record(set_id, self.old, FIRST)
        return set_id

    def recorded(self, role: str = "erase") -> Sequence[RecordedSet]:
        """All sets that a role sees."""
        with self.scratch.database(role) as database:
            return PostgresSets(database, DEFAULT).recorded()

    def replaced(self, set_id: uuid.UUID, old: bytes, new: bytes, version: int = 2) -> NewManifest:
        """A manifest of the same rows under the new key."""
        return NewManifest(set_id, LOGINS, old, new, version, contents_of(self.new))

    def erased(self, set_id: uuid.UUID, new: NewManifest, *erasures: int) -> None:
        """Put a manifest in the place of another one as the role erase."""
        asked = request(action=Action.LAKE_ERASE, record_id=set_id)
        with self.scratch.database("erase") as database:
            PostgresSets(database, DEFAULT).erased(asked, new, erasures, 1)

    def usage(self, key: int) -> int:
        """How many values need a key, as `keys list` counts them."""
        query = "SELECT rows FROM key_usage(false) WHERE key_id = %s"
        return int(self.scratch.value(query, key, role="audit"))


def counts(key: int, generation: int = 1) -> tuple[list[KeyCount], list[GenerationCount]]:
    """Three rows whose values of ip are sealed under this key."""
    return [KeyCount("ip", key, 3)], [GenerationCount(generation, 3)]


def contents_of(key: int) -> Contents:
    """What a manifest says of these rows."""
    keys, generations = counts(key)
    return Contents(3, bytes(32), tuple(keys), tuple(generations))
