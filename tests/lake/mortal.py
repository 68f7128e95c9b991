"""A process that can be killed: its store, and the record of a set as it sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from typing_extensions import override

from vault_etl.archives.manifest import Contents
from vault_etl.audit.checkpoint import Head
from vault_etl.audit.entries import Action, AuditReceipt, AuditRequest
from vault_etl.base.errors import IncompleteError
from vault_etl.lake.postgres import NewManifest
from vault_etl.platform.store import ArchiveStore


class Killed(BaseException):
    """The process ends here, as by `kill -9`: nothing of ours catches it."""


class KillSwitch:
    """Kills before the call of this number, which is after the one before it. None: never."""

    def __init__(self, at: int | None = None) -> None:
        self.calls = 0
        self._at = at

    def __call__(self, act: Callable[[], Any]) -> Any:  # noqa: ANN401 - whatever the call returns
        """Do it, unless the process is dead."""
        self.calls += 1
        if self._at is not None and self.calls >= self._at:
            raise Killed
        return act()


class MortalStore(ArchiveStore):
    """Files in memory, which the disk does not slow down. Changes go through a kill switch."""

    def __init__(self, files: dict[str, bytes], switch: KillSwitch) -> None:
        self._files, self._switch = files, switch

    @property
    @override
    def location(self) -> str:
        return "/srv/lake/one"

    @override
    def names(self) -> list[str]:
        return sorted(self._files)

    @override
    def get(self, name: str, target: Path, most_bytes: int) -> None:
        assert len(self._files[name]) <= most_bytes
        target.write_bytes(self._files[name])

    @override
    def put(self, name: str, source: Path) -> None:
        content = source.read_bytes()

        def act() -> None:
            if name in self._files:
                message = f"{name} exists already"
                raise IncompleteError(message)
            self._files[name] = content

        self._switch(act)

    @override
    def delete(self, name: str) -> None:
        self._switch(lambda: self._files.pop(name, None))


class SetRecord:
    """The record of one set: the manifest that counts, the erasures that wait, and the entries."""

    def __init__(self, sha256: bytes) -> None:
        self.sha256 = sha256
        self.contents: Contents | None = None
        self.entries: list[tuple[Action, str, bool]] = []
        self.pending = {1: "u-1", 2: "u-4"}

    def through(self, switch: KillSwitch) -> MortalRecord:
        """The record as a process sees it."""
        return MortalRecord(self, switch)

    def replace(self, request: AuditRequest, new: NewManifest) -> Head:
        """Put the new manifest in the place of the one it was made from."""
        if new.old_sha256 != self.sha256:
            message = "another manifest is on the record"
            raise IncompleteError(message)
        self.sha256, self.contents = new.sha256, new.contents
        self.entries.append((request.action, request.reason, new.old_sha256 != new.sha256))
        return Head(len(self.entries), bytes(32))


class MortalRecord:
    """Changes of a record go through a kill switch."""

    def __init__(self, record: SetRecord, switch: KillSwitch) -> None:
        self._record, self._switch = record, switch

    def rotated(self, receipt: AuditReceipt, new: NewManifest) -> Head:
        """As `PostgresSets.rotated`."""
        found: Head = self._switch(lambda: self._record.replace(receipt.request, new))
        return found

    def erased(
        self, request: AuditRequest, new: NewManifest, erasures: Iterable[int], rows: int
    ) -> Head:
        """As `PostgresSets.erased`."""
        del rows

        def act() -> Head:
            head = self._record.replace(request, new)
            for each in erasures:
                self._record.pending.pop(each)
            return head

        found: Head = self._switch(act)
        return found
