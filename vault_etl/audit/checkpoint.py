"""Checkpoints: the head of the audit log as a C2SP signed note (docs/formats.md, Checkpoint)."""

from __future__ import annotations

import base64
import binascii
import re
import uuid
from dataclasses import dataclass
from typing import Final

ORIGIN: Final = "vault-etl/audit/"
KEY_HASH_BYTES: Final = 4
MAX_NOTE_BYTES: Final = 4096
"""What KMS signs as it is (`MessageType` RAW) is shorter than this."""

MIN_SIGNATURE_BYTES: Final = 8
MAX_SIGNATURE_BYTES: Final = 72
"""Of an ECDSA signature on P-256 in DER."""

_SIGNATURE: Final = re.compile(r"\u2014 (\S+) ([A-Za-z0-9+/]+={0,2})")
_TEXT: Final = re.compile(
    re.escape(ORIGIN)
    + r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\n(0|[1-9][0-9]{0,18})\n([A-Za-z0-9+/]{43}=)\n"
)


@dataclass(frozen=True, slots=True)
class Head:
    """The newest entry: its `seq`, 0 of an empty log, and its hash of 32 bytes."""

    seq: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line: who signed by name, the first 4 bytes of the key's hash, the DER signature."""

    name: str
    key_hash: bytes
    signature: bytes

    def __str__(self) -> str:
        encoded = base64.b64encode(self.key_hash + self.signature).decode("ascii")
        return f"\u2014 {self.name} {encoded}\n"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The head of one vault's log, and who signed it."""

    vault_id: uuid.UUID
    head: Head
    signatures: tuple[Signature, ...] = ()

    @property
    def origin(self) -> str:
        """The name of the log, and of whoever signs for it."""
        return f"{ORIGIN}{self.vault_id}"

    @property
    def text(self) -> str:
        """What is signed: origin, seq and base64 of the hash, each ended by U+000A."""
        encoded = base64.b64encode(self.head.hash).decode("ascii")
        return f"{self.origin}\n{self.head.seq}\n{encoded}\n"

    @property
    def note(self) -> str:
        """The signed note: the text, an empty line, the signature lines."""
        return f"{self.text}\n{''.join(map(str, self.signatures))}"

    @classmethod
    def parse(cls, note: str) -> Checkpoint:
        """Read a signed note, byte for byte. Raises ValueError for anything else."""
        text, separator, lines = note.partition("\n\n")
        found = _TEXT.fullmatch(f"{text}\n")
        if not separator or found is None or len(note.encode()) >= MAX_NOTE_BYTES:
            raise _malformed()
        parsed = cls(
            uuid.UUID(found[1]),
            Head(int(found[2]), decoded(found[3])),
            tuple(parse_signature(line) for line in lines.removesuffix("\n").split("\n")),
        )
        if parsed.note != note:  # another spelling of the same bits is not what was signed
            raise _malformed()
        return parsed


def parse_signature(line: str) -> Signature:
    """Read a signature line, without its U+000A. Raises ValueError."""
    found = _SIGNATURE.fullmatch(line)
    if found is None:
        raise _malformed()
    content = decoded(found[2])
    return Signature(found[1], content[:KEY_HASH_BYTES], content[KEY_HASH_BYTES:])


def decoded(text: str) -> bytes:
    """Bytes from base64 with padding. Raises ValueError."""
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise _malformed() from None


def _malformed() -> ValueError:
    return ValueError("it is no signed note of a checkpoint")
