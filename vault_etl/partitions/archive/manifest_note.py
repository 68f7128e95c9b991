"""The signature of an archive's manifest: a signed note, like a checkpoint's, under an origin of its own.

docs/formats.md, Archive, has the bytes. The first line is no checkpoint's and no registration's, so that none
can be used as another.
"""

from __future__ import annotations

import base64
import re
import uuid
from dataclasses import dataclass
from typing import Final

from vault_etl.audit.checkpoint import MAX_NOTE_BYTES, Signature, decoded, parse_signature
from vault_etl.audit.signing_key import AuditKey
from vault_etl.base.errors import DataError
from vault_etl.crypto.digest import sha256

ARCHIVE_ORIGIN: Final = "vault-etl/archive/"

_TEXT: Final = re.compile(
    re.escape(ARCHIVE_ORIGIN)
    + r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\n([A-Za-z0-9+/]{43}=)\n"
)


@dataclass(frozen=True, slots=True)
class ManifestNote:
    """The SHA-256 of a manifest of this vault, and who signed it."""

    vault_id: uuid.UUID
    sha256: bytes
    signatures: tuple[Signature, ...] = ()

    @property
    def origin(self) -> str:
        """The first line, and the name of the signer."""
        return f"{ARCHIVE_ORIGIN}{self.vault_id}"

    @property
    def text(self) -> str:
        """What is signed: origin and base64 of the hash, each ended by U+000A."""
        return f"{self.origin}\n{base64.b64encode(self.sha256).decode('ascii')}\n"

    @classmethod
    def of(cls, manifest: bytes, vault_id: uuid.UUID) -> ManifestNote:
        """The note of a manifest, not yet signed."""
        return cls(vault_id, sha256(manifest))

    def signed(self, key: AuditKey, signature: bytes) -> ManifestNote:
        """The note with this signature line, in DER."""
        line = Signature(self.origin, key.hash, signature)
        return ManifestNote(self.vault_id, self.sha256, (*self.signatures, line))

    def encode(self) -> bytes:
        """The bytes of `manifest.sig`: the text, an empty line, the signature lines."""
        return f"{self.text}\n{''.join(map(str, self.signatures))}".encode()

    @classmethod
    def parse(cls, content: bytes) -> ManifestNote:
        """Read a note, byte for byte. Raises DataError for anything else."""
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
        if parsed.encode() != content:  # another spelling of the same bits is not what was signed
            raise _malformed()
        return parsed

    def check(self, manifest: bytes, vault_id: uuid.UUID, key: AuditKey) -> None:
        """Raise DataError unless `key`, which signs archives, signed this manifest of this vault."""
        if self.vault_id != vault_id:
            message = "the archive is another vault's"
            raise DataError(message, hint="is VAULT_ETL_DATABASE_URL that of the right vault?")
        if self.sha256 != sha256(manifest):
            message = "the signature is another manifest's"
            raise DataError(message, hint="take both from a backup of the archive")
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
                hint="was that key replaced? name the old one's ARN in VAULT_ETL_ARCHIVE_KEY; if not, the archive"
                " was changed: take it from a backup",
            )


def _malformed() -> DataError:
    message = "manifest.sig is no signed note of a manifest"
    return DataError(message, hint="take the archive from a backup of it")
