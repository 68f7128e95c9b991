"""A registration: the audit key says, with its own signature, that it signs this vault's log.

docs/formats.md, Registration, has the bytes. The first line is no checkpoint's, so that neither
can be used as the other.
"""

from __future__ import annotations

import base64
import re
import uuid
from dataclasses import dataclass
from typing import Final

from vault_etl.audit.checkpoint import Head, Signature, decoded, parse_signature
from vault_etl.audit.signing_key import AuditKey

REGISTRATION_ORIGIN: Final = "vault-etl/audit-key/"
MAX_REGISTRATION_BYTES: Final = 4096

_TEXT: Final = re.compile(
    re.escape(REGISTRATION_ORIGIN)
    + r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\n(0|[1-9][0-9]{0,18})\n([A-Za-z0-9+/]{43}=)\n"
    + r"(arn:[!-~]+)\n([A-Za-z0-9+/]+={0,2})\n"
)


@dataclass(frozen=True, slots=True)
class Registration:
    """A public key, the ARN of its KMS key, and the entry of the log that was the newest then.

    `signature` is the key's own over `text`: proof that who registered it can sign with it.
    """

    vault_id: uuid.UUID
    head: Head
    kms_key_arn: str
    key: AuditKey
    signature: bytes = b""

    @property
    def origin(self) -> str:
        """The first line."""
        return f"{REGISTRATION_ORIGIN}{self.vault_id}"

    @property
    def text(self) -> str:
        """What is signed: origin, seq, hash, ARN and public key, each ended by U+000A."""
        hash_, spki = (base64.b64encode(part).decode() for part in (self.head.hash, self.key.spki))
        return f"{self.origin}\n{self.head.seq}\n{hash_}\n{self.kms_key_arn}\n{spki}\n"

    @property
    def note(self) -> str:
        """The signed note: the text, an empty line, one signature line."""
        return f"{self.text}\n{Signature(self.origin, self.key.hash, self.signature)}"

    def holds(self, vault_id: uuid.UUID) -> bool:
        """Whether the key signed this, for this vault."""
        return self.vault_id == vault_id and self.key.verifies(self.text.encode(), self.signature)

    @classmethod
    def parse(cls, note: str) -> Registration:
        """Read a registration, byte for byte. Raises ValueError for anything else."""
        text, _, line = note.partition("\n\n")
        found = _TEXT.fullmatch(f"{text}\n")
        if found is None or len(note.encode()) >= MAX_REGISTRATION_BYTES:
            raise _malformed()
        parsed = cls(
            uuid.UUID(found[1]),
            Head(int(found[2]), decoded(found[3])),
            found[4],
            AuditKey(decoded(found[5])),
            parse_signature(line.removesuffix("\n")).signature,
        )
        if parsed.note != note:  # another spelling of the same bits is not what was signed
            raise _malformed()
        return parsed


def _malformed() -> ValueError:
    return ValueError("it is no signed note of a registration")
