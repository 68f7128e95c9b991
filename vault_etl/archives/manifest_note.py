"""The signature of the manifest of a set: a signed note, as of a checkpoint, under an origin of its own.

docs/formats.md, Set, specifies the bytes. The first line differs from that of checkpoints and registrations,
so that no signed note can be used as another kind.
"""

from __future__ import annotations

import base64
import re
import uuid
from dataclasses import dataclass
from typing import Final

from vault_etl.audit.checkpoint import MAX_NOTE_BYTES, AuditKey, Signature, decoded, parse_signature
from vault_etl.base.errors import DataError
from vault_etl.crypto.digest import sha256

ARCHIVE_ORIGIN: Final = "vault-etl/archive/"

_TEXT: Final = re.compile(
    re.escape(ARCHIVE_ORIGIN)
    + r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\n([A-Za-z0-9+/]{43}=)\n"
)


@dataclass(frozen=True, slots=True)
class ManifestNote:
    """The SHA-256 of a manifest of this vault, with its signatures."""

    vault_id: uuid.UUID
    sha256: bytes
    signatures: tuple[Signature, ...] = ()

    @property
    def origin(self) -> str:
        """The first line, which is also the name of the signer."""
        return f"{ARCHIVE_ORIGIN}{self.vault_id}"

    @property
    def text(self) -> str:
        """The signed text: origin and base64 of the hash, each ended by U+000A."""
        return f"{self.origin}\n{base64.b64encode(self.sha256).decode('ascii')}\n"

    @classmethod
    def of(cls, manifest: bytes, vault_id: uuid.UUID) -> ManifestNote:
        """Return the note of a manifest, without a signature."""
        return cls(vault_id, sha256(manifest))

    def signed(self, key: AuditKey, signature: bytes) -> ManifestNote:
        """Return the note with this signature added; `signature` is in DER."""
        line = Signature(self.origin, key.hash, signature)
        return ManifestNote(self.vault_id, self.sha256, (*self.signatures, line))

    def encode(self) -> bytes:
        """Return the bytes of the file: the text, an empty line, the signature lines."""
        return f"{self.text}\n{''.join(map(str, self.signatures))}".encode()

    @classmethod
    def parse(cls, content: bytes) -> ManifestNote:
        """Parse a note; accept only the bytes that `encode` returns. Raises DataError for anything else."""
        try:
            text, separator, lines = content.decode().partition("\n\n")
            found = _TEXT.fullmatch(f"{text}\n")
            if not separator or found is None or len(content) >= MAX_NOTE_BYTES:
                raise _malformed()
            parsed = cls(
                uuid.UUID(found[1]),
                decoded(found[2]),
                tuple(parse_signature(line) for line in lines.removesuffix("\n").split("\n")),
            )
        except ValueError:
            raise _malformed() from None
        if parsed.encode() != content:  # base64 with other unused bits is not what was signed
            raise _malformed()
        return parsed

    def check(self, manifest: bytes, vault_id: uuid.UUID, key: AuditKey) -> None:
        """Raise DataError unless `key`, which signs archives, signed this manifest of this vault."""
        if self.vault_id != vault_id:
            message = "the set belongs to another vault"
            raise DataError(message, hint="does VAULT_ETL_DATABASE_URL name the right vault?")
        if self.sha256 != sha256(manifest):
            message = "the signature belongs to another manifest"
            raise DataError(message, hint="take both files from a backup of the set")
        text = self.text.encode()
        if not any(
            line.name == self.origin
            and line.key_hash == key.hash
            and key.verifies(text, line.signature)
            for line in self.signatures
        ):
            message = "the key of VAULT_ETL_ARCHIVE_KEY did not sign the manifest"
            raise DataError(
                message,
                hint="was that key replaced? then name the ARN of the old key in VAULT_ETL_ARCHIVE_KEY; if not, the"
                " set was changed: take it from a backup",
            )


def _malformed() -> DataError:
    message = "the signature is not a signed note of a manifest"
    return DataError(message, hint="take the set from a backup")
