"""Signed notes: checkpoints of the head (docs/formats.md, Checkpoint), registrations, and the public key.

A registration's first line differs from a checkpoint's, so that neither can be used as the other.
"""

from __future__ import annotations

import base64
import binascii
import re
import uuid
from dataclasses import dataclass
from typing import Final, final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
    load_pem_public_key,
)

from vault_etl.crypto.digest import sha256

ORIGIN: Final = "vault-etl/audit/"
KEY_HASH_BYTES: Final = 4
MAX_NOTE_BYTES: Final = 4096
"""The limit: KMS signs shorter messages as they are (`MessageType` RAW)."""

_SIGNATURE: Final = re.compile(r"\u2014 (\S+) ([A-Za-z0-9+/]+={0,2})")
_TEXT: Final = re.compile(
    re.escape(ORIGIN)
    + r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\n(0|[1-9][0-9]{0,18})\n([A-Za-z0-9+/]{43}=)\n"
)


@dataclass(frozen=True, slots=True)
class Head:
    """The newest entry: its `seq`, 0 for an empty log, and its hash of 32 bytes."""

    seq: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line: the signer's name, the first 4 bytes of the key's hash, the DER signature."""

    name: str
    key_hash: bytes
    signature: bytes

    def __str__(self) -> str:
        encoded = base64.b64encode(self.key_hash + self.signature).decode("ascii")
        return f"\u2014 {self.name} {encoded}\n"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The head of one vault's log, and its signatures."""

    vault_id: uuid.UUID
    head: Head
    signatures: tuple[Signature, ...] = ()

    @property
    def origin(self) -> str:
        """The name of the log, which each signer uses too."""
        return f"{ORIGIN}{self.vault_id}"

    @property
    def text(self) -> str:
        """The signed text: origin, seq and base64 of the hash, each ended by U+000A."""
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
        if parsed.note != note:  # another spelling of the same bits was not signed
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
    """Decode base64 with padding. Raises ValueError."""
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise _malformed() from None


def _malformed() -> ValueError:
    return ValueError("it is not a signed note of a checkpoint")


REGISTRATION_ORIGIN: Final = "vault-etl/audit-key/"
MAX_REGISTRATION_BYTES: Final = 4096

_REGISTRATION_TEXT: Final = re.compile(
    re.escape(REGISTRATION_ORIGIN)
    + r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\n(0|[1-9][0-9]{0,18})\n([A-Za-z0-9+/]{43}=)\n"
    + r"(arn:[!-~]+)\n([A-Za-z0-9+/]+={0,2})\n"
)


@dataclass(frozen=True, slots=True)
class Registration:
    """A public key, its KMS key's ARN, and the newest entry at that time, signed by the key itself.

    docs/formats.md, Registration, has the bytes. `signature` is the key's own over `text`: the proof
    that the login that registered the key can sign with it.
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
        """The signed text: origin, seq, hash, ARN and public key, each ended by U+000A."""
        hash_, spki = (base64.b64encode(part).decode() for part in (self.head.hash, self.key.spki))
        return f"{self.origin}\n{self.head.seq}\n{hash_}\n{self.kms_key_arn}\n{spki}\n"

    @property
    def note(self) -> str:
        """The signed note: the text, an empty line, one signature line."""
        return f"{self.text}\n{Signature(self.origin, self.key.hash, self.signature)}"

    def holds(self, vault_id: uuid.UUID) -> bool:
        """Say whether the key signed this registration, for this vault."""
        return self.vault_id == vault_id and self.key.verifies(self.text.encode(), self.signature)

    @classmethod
    def parse(cls, note: str) -> Registration:
        """Read a registration, byte for byte. Raises ValueError for anything else."""
        text, _, line = note.partition("\n\n")
        found = _REGISTRATION_TEXT.fullmatch(f"{text}\n")
        if found is None or len(note.encode()) >= MAX_REGISTRATION_BYTES:
            raise _malformed_registration()
        parsed = cls(
            uuid.UUID(found[1]),
            Head(int(found[2]), decoded(found[3])),
            found[4],
            AuditKey(decoded(found[5])),
            parse_signature(line.removesuffix("\n")).signature,
        )
        if parsed.note != note:  # another spelling of the same bits was not signed
            raise _malformed_registration()
        return parsed


def _malformed_registration() -> ValueError:
    return ValueError("it is not a signed note of a registration")


@final
class AuditKey:
    """The public key that verifies the audit log or archives: ECDSA on P-256 over SHA-256.

    `hash` is the first 4 bytes of the SHA-256 of its SubjectPublicKeyInfo in DER.
    """

    __slots__ = ("_key", "hash", "spki")

    def __init__(self, encoded: bytes) -> None:
        """Read a SubjectPublicKeyInfo in DER or PEM. Raises ValueError for another kind of key."""
        load = load_pem_public_key if encoded.lstrip().startswith(b"-----") else load_der_public_key
        try:
            key = load(encoded)
        except (ValueError, UnsupportedAlgorithm):
            raise _no_key() from None
        if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(
            key.curve, ec.SECP256R1
        ):
            raise _no_key()
        self._key = key
        self.spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.hash = sha256(self.spki)[:KEY_HASH_BYTES]

    def verifies(self, text: bytes, signature: bytes) -> bool:
        """Say whether `signature`, in DER, is this key's over `text`."""
        try:
            self._key.verify(signature, text, ec.ECDSA(SHA256()))
        except InvalidSignature:
            return False
        return True

    def signed(self, checkpoint: Checkpoint) -> bool:
        """Say whether one signature line of the checkpoint is this key's."""
        text = checkpoint.text.encode()
        return any(
            line.name == checkpoint.origin
            and line.key_hash == self.hash
            and self.verifies(text, line.signature)
            for line in checkpoint.signatures
        )


def _no_key() -> ValueError:
    return ValueError("it is not a public key on the curve P-256, in DER or PEM")
