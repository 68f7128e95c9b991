"""Sets of files in a folder, signed by a key in memory."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from tests.kit.declared import USER_LOGINS
from tests.kit.fakes.checkpoints import FakeHeadSigner
from vault_etl.archives.keys_file import KeysFile
from vault_etl.archives.manifest import Column, Contents, Part, SetManifest
from vault_etl.archives.sets import SetStore, SetWriter
from vault_etl.crypto.digest import sha256
from vault_etl.platform.store_folder import FolderArchive

VAULT_ID: Final = uuid.UUID(int=7)
SET_ID: Final = uuid.UUID(int=8)
NO_KEYS: Final = KeysFile(())
MADE_AT: Final = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)


class SetSigner:
    """The key that signs manifests. `down` makes a KMS that does not answer."""

    def __init__(self) -> None:
        self.kms = FakeHeadSigner()
        self.key = self.kms.signing_key().key

    def sign(self, text: str) -> bytes:
        """Sign as KMS does."""
        return self.kms.sign(text.encode()).der


class FolderSet:
    """The reader and the writer of one set in `place`."""

    def __init__(self, place: Path, scratch: Path) -> None:
        self.signer = SetSigner()
        self.place, self.scratch = place, scratch
        self.store = FolderArchive(place)
        self.reader = SetStore(self.store, scratch, self.signer.key)
        self.writer = SetWriter(self.store, scratch, self.signer.sign, self.signer.key)

    def put(self, name: str, content: bytes) -> Part:
        """Store a part of one row with any content."""
        path = self.scratch / "new"
        path.write_bytes(content)
        self.writer.put(name, path)
        return Part(name, 1, len(content), sha256(content))

    def names(self) -> list[str]:
        """The names of all files."""
        return sorted(each.name for each in self.place.iterdir())


def manifest_of(version: int, parts: Iterable[Part]) -> SetManifest:
    """A manifest of these parts."""
    of_set = tuple(parts)
    return SetManifest(
        vault_id=VAULT_ID,
        set_id=SET_ID,
        version=version,
        event=USER_LOGINS,
        declaration_sha256=bytes(32),
        month=None,
        columns=(Column("record_id", "uuid"),),
        parts=of_set,
        contents=Contents(sum(part.rows for part in of_set), None, (), ()),
        keys_sha256=bytes(32),
        made_at=MADE_AT,
        tool="vault-etl 0.1.0",
    )
