"""The directory of `subject export`: files that only their owner can read, their digests, and the signature."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)

from vault_etl.audit.checkpoint import AuditKey, Checkpoint
from vault_etl.audit.log import LastTrimmed
from vault_etl.base.errors import NotFoundError, UsageError
from vault_etl.cli.evidence import CsvEvidence, JsonEvidence, evidence_of
from vault_etl.cli.ui.output import plain, readable, utc_text
from vault_etl.cli.ui.printable import printable
from vault_etl.cli.ui.record_names import RecordNames, detail_names, value_names
from vault_etl.crypto.digest import sha256
from vault_etl.declaration.model import Declaration
from vault_etl.quarantine.read import ShownMessage
from vault_etl.reveal.find import UserRecord, UserRecords
from vault_etl.reveal.reveal import Revealed
from vault_etl.subject.export import SearchedMessages
from vault_etl.subject.names_user import Match

SUMS: Final = "SHA256SUMS"
SIGNATURE: Final = "SHA256SUMS.sig"
KEY: Final = "audit-key.pem"
CHECKPOINT: Final = "checkpoint.txt"

_README: Final = """\
What is stored of the user {user}
=================================

records.csv, records.jsonl   {records} of {count} records, with the login, time and reason of this export. Erased
                             fields are empty, and named in `erased`.{failed}
messages.jsonl               {named} messages that could not be read as events and name the user.
                             `match` is `text` where the id is in text that is not JSON: read these first.
log.jsonl                    {entries} entries of the audit log about them.{trimmed}
checkpoint.txt               the signed head of the audit log after the last access.

Searched: {opened} of {in_quarantine} quarantined messages{span}{erased}.
Not searched: {unattached}the queues, backups, and earlier exports.

To verify that nothing was changed:

    sha256sum -c SHA256SUMS
    openssl dgst -sha256 -verify audit-key.pem -signature SHA256SUMS.sig SHA256SUMS

The signature proves only what the key does: compare audit-key.pem with the key that the sender published.
"""


class Bundle:
    """Makes the directory (mode 0700) and its files (mode 0600), and overwrites nothing."""

    def __init__(self, path: Path, declaration: Declaration) -> None:
        self.records = self.entries = 0
        self._path = path
        try:
            path.mkdir(mode=0o700)
        except FileExistsError:
            raise _is_there(path) from None
        except OSError as error:
            message = f"{path} cannot be made: {error.strerror}"
            raise NotFoundError(message, hint="check the name of the directory") from None
        names = ("records.csv", "records.jsonl", "messages.jsonl", "log.jsonl")
        self._files = {name: os.fdopen(self._open(name), "wb") for name in names}
        self._names = RecordNames.of(declaration)
        values = value_names(declaration.events, declaration.field_names)
        more = (*self._names.of_moment(None), *detail_names(declaration))
        self._csv, self._json = CsvEvidence(self._names, values, more), JsonEvidence()
        self._write("records.csv", self._csv.header())

    @staticmethod
    def must_be_new(path: Path) -> None:
        """Raise UsageError, before the first access, if the path exists."""
        if path.exists() or path.is_symlink():
            raise _is_there(path)

    def add_record(self, record: UserRecord, revealed: Revealed) -> None:
        """Store a record in both forms."""
        plain_columns = {**self._names.of_moment(record.moment), **record.details}
        shown = {**evidence_of(revealed, self._names), **plain_columns}
        self._write("records.csv", self._csv.row(shown))
        self._write("records.jsonl", self._json.row(shown))
        self.records += 1

    def add_message(self, shown: ShownMessage, match: Match) -> None:
        """Store a quarantined message."""
        body, encoding = readable(shown.body) if shown.body else (None, None)
        row = {
            "record_id": shown.row.record_id,
            "reason_code": shown.row.reason_code,
            "path": shown.row.path,
            "quarantined_at": shown.row.quarantined_at,
            "match": match.value,
            "body": body,
            "body_encoding": encoding,
            "audit_seq": shown.receipt.seq,
            "audit_hash": shown.receipt.hash.hex(),
        }
        self._write("messages.jsonl", _line(row))

    def add_entries(self, entries: Iterable[Mapping[str, object]]) -> None:
        """Store entries of the audit log."""
        for entry in entries:
            self._write("log.jsonl", _line(entry))
            self.entries += 1

    def finish(
        self,
        user_id: str,
        found: UserRecords,
        through: SearchedMessages,
        failed: Sequence[uuid.UUID | None],
        unattached: Sequence[str],
        checkpoint: Checkpoint | None,
        trimmed: LastTrimmed | None,
    ) -> str:
        """Write the README and the checkpoint, and return the text of SHA256SUMS, to be signed."""
        self.close()
        text = _README.format(
            user=printable(user_id),
            records=self.records,
            count=found.count,
            failed="".join(f"\n{'':29}Not opened: {one}" for one in failed),
            named=through.named,
            entries=self.entries,
            opened=through.opened,
            in_quarantine=through.in_quarantine,
            span=(
                f", from {utc_text(through.first)} to {utc_text(through.last)}"
                if through.first and through.last
                else ""
            ),
            unattached=(
                f"months that are detached or archived ({', '.join(unattached)}), "
                if unattached
                else ""
            ),
            trimmed=(
                f"\n{'':29}Those up to {utc_text(trimmed.logged_at)} are in segments, and were not searched."
                if trimmed
                else ""
            ),
            erased=f", of which {through.erased} were erased" if through.erased else "",
        )
        contents = {"README.txt": text.encode()}
        if checkpoint is not None:
            contents[CHECKPOINT] = checkpoint.note.encode()
        for name, content in contents.items():
            self._store(name, content)
        names = sorted([*self._files, *contents])
        # The first line is a comment: no text that the audit key signs for the log begins with it.
        lines = ["# vault-etl/subject-export"]
        lines += [f"{sha256((self._path / name).read_bytes()).hex()}  {name}" for name in names]
        return "\n".join(lines) + "\n"

    def sign(self, manifest: str, key: AuditKey, signature: bytes) -> None:
        """Store the key, the signature, and at the very end the list."""
        public = load_der_public_key(key.spki)
        pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        self._store(KEY, pem)
        self._store(SIGNATURE, signature)
        self._store(SUMS, manifest.encode())

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()

    def _open(self, name: str) -> int:
        return os.open(self._path / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)

    def _store(self, name: str, content: bytes) -> None:
        with os.fdopen(self._open(name), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    def _write(self, name: str, content: bytes) -> None:
        self._files[name].write(content)
        self._files[name].flush()


def _line(row: Mapping[str, Any]) -> bytes:
    return json.dumps(row, default=plain).encode("ascii") + b"\n"


def _is_there(path: Path) -> UsageError:
    return UsageError(
        f"{path} exists already", hint="an export overwrites nothing: name a new directory"
    )
