"""The formats once more, from docs/formats.md alone, on the standard library, OpenSSL's AES-GCM and Tink.

Nothing here may import `vault_etl`: what our code says of itself would be no oracle.
"""

from __future__ import annotations

import hashlib
import hmac
import socket
import struct
import uuid

import tink  # type: ignore[import-untyped]
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from tink import aead, secret_key_access
from tink.proto import aes_gcm_pb2, tink_pb2  # type: ignore[import-untyped]

aead.register()


def lp(text: str) -> bytes:
    """Behind its length, a big-endian uint16."""
    encoded = text.encode("utf-8")
    return struct.pack(">H", len(encoded)) + encoded


def canonical_ip(text: str) -> bytes:
    """By the C library's own parser; the caller strips, and leaves out what is no address."""
    if "." in text and ":" not in text:
        return bytes(10) + b"\xff\xff" + socket.inet_pton(socket.AF_INET, text)
    return socket.inet_pton(socket.AF_INET6, text)


def token(key: bytes, field: str, canonical: bytes) -> uuid.UUID:
    """Token format 1."""
    field_key = hmac.digest(key, b"vault-etl/1/token" + lp(field), "sha256")
    return uuid.UUID(bytes=hmac.digest(field_key, canonical, "sha256")[:16])


def placeholder_token(field: str, canonical: bytes) -> uuid.UUID:
    """Of a value that stands for none: without a key."""
    hashed = b"vault-etl/1/placeholder" + lp(field) + canonical.lower()
    return uuid.UUID(bytes=hashlib.sha256(hashed).digest()[:16])


def fingerprint(key: bytes, key_id: int) -> bytes:
    """8 bytes."""
    return hmac.digest(key, b"vault-etl/1/fingerprint" + struct.pack(">I", key_id), "sha256")[:8]


def record_id(message_id: str, sent_ms: int) -> uuid.UUID:
    """By arithmetic on one number of 128 bits."""
    return _uuid_7(sent_ms, hashlib.sha256(b"vault-etl/1/record" + message_id.encode("ascii")))


def line_id(source_id: uuid.UUID, number: int, milliseconds: int) -> uuid.UUID:
    """The same of a line."""
    hashed = source_id.bytes + struct.pack(">Q", number)
    return _uuid_7(milliseconds, hashlib.sha256(b"vault-etl/1/line" + hashed))


def _uuid_7(milliseconds: int, digest: hashlib._Hash) -> uuid.UUID:
    made = milliseconds << 80 | int.from_bytes(digest.digest()[:10], "big")
    made = made & ~(0xF << 76) | 0x7 << 76
    return uuid.UUID(int=made & ~(0x3 << 62) | 0x2 << 62)


def associated_data(table: str, field: str, record: uuid.UUID, key_id: int, user_id: str) -> bytes:
    """What AES-GCM authenticates beside the value."""
    fixed = record.bytes + struct.pack(">I", key_id)
    return b"vault-etl/1" + lp(table) + lp(field) + fixed + lp(user_id)


def pad(value: bytes) -> bytes:
    """ISO/IEC 7816-4, byte by byte."""
    padded = bytearray(value)
    padded.append(0x80)
    while len(padded) % 16:
        padded.append(0)
    return bytes(padded)


def seal(key: bytes, key_id: int, nonce: bytes, padded: bytes, aad: bytes) -> bytes:
    """Ciphertext format 1 of a text that is padded already, or should have been."""
    return b"\x01" + struct.pack(">I", key_id) + nonce + AESGCM(key).encrypt(nonce, padded, aad)


def tink_opens(key: bytes, key_id: int, stored: bytes, aad: bytes) -> bytes:
    """The padded text, by Tink. Raises tink.TinkError."""
    opened: bytes = _tink(key, key_id).decrypt(stored, aad)
    return opened


def tink_seals(key: bytes, key_id: int, padded: bytes, aad: bytes) -> bytes:
    """Tink draws the nonce: for the one vector that is a constant since."""
    sealed: bytes = _tink(key, key_id).encrypt(padded, aad)
    return sealed


def _tink(key: bytes, key_id: int) -> aead.Aead:
    material = aes_gcm_pb2.AesGcmKey(version=0, key_value=key)
    keyset = tink_pb2.Keyset(primary_key_id=key_id)
    keyset.key.add(
        key_data=tink_pb2.KeyData(
            type_url="type.googleapis.com/google.crypto.tink.AesGcmKey",
            value=material.SerializeToString(),
            key_material_type=tink_pb2.KeyData.SYMMETRIC,
        ),
        status=tink_pb2.ENABLED,
        key_id=key_id,
        output_prefix_type=tink_pb2.TINK,
    )
    handle = tink.proto_keyset_format.parse(keyset.SerializeToString(), secret_key_access.TOKEN)
    return handle.primitive(aead.Aead)
