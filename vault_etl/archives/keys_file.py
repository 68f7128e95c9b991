"""The wrapped keys of a set, in their only valid encoding (docs/formats.md, Keys of a set): KMS alone unwraps them."""

from __future__ import annotations

import base64
import datetime as dt
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from typing_extensions import override

from vault_etl.base.errors import DataError
from vault_etl.crypto.fields import FieldName, KeyPurpose
from vault_etl.crypto.keys import FINGERPRINT_BYTES, MAX_KEY_ID, KeyState, StoredKey
from vault_etl.keys.ring import KeyReader

FORMAT_VERSION: Final = 1
MAX_KEYS_BYTES: Final = 64 * 2**20
"""Enough for 100,000 keys."""

_MOMENT: Final = "%Y-%m-%dT%H:%M:%SZ"
_IN_ORDER: Final = {KeyState.ACTIVE: 0, KeyState.PENDING: 1, KeyState.DECRYPT_ONLY: 2}


@dataclass(frozen=True, slots=True)
class KeysFile(KeyReader):
    """The keys that the parts of a set need: data keys, and token keys of every generation that rows name.

    No key is destroyed. The file does not say which login made a key.
    """

    held: tuple[StoredKey, ...]
    _by_id: dict[int, StoredKey] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Index the keys by their ids: a set may need many of them."""
        object.__setattr__(self, "_by_id", {key.key_id: key for key in self.held})

    @override
    def keys(self, key_ids: Iterable[int]) -> Sequence[StoredKey]:
        return [self._by_id[key_id] for key_id in key_ids if key_id in self._by_id]

    @override
    def token_keys(self) -> Sequence[StoredKey]:
        return [
            key
            for key in self.held
            if key.purpose is KeyPurpose.TOKEN and key.state is not KeyState.DECRYPT_ONLY
        ]

    @override
    def field_token_keys(self, field: FieldName) -> Sequence[StoredKey]:
        found = [key for key in self.held if key.purpose is KeyPurpose.TOKEN and key.field == field]
        return sorted(found, key=lambda key: (_IN_ORDER[key.state], -(key.generation or 0)))

    @classmethod
    def of(cls, keys: Iterable[StoredKey]) -> KeysFile:
        """Return the file of these keys, each once; destroyed keys are left out."""
        by_id = {key.key_id: key for key in keys if key.state is not KeyState.DESTROYED}
        return cls(tuple(by_id[key_id] for key_id in sorted(by_id)))

    def encode(self) -> bytes:
        """Return the bytes of `keys-N.json`: one line of JSON, names sorted, no blanks, ended by U+000A."""
        document = {
            "format_version": FORMAT_VERSION,
            "keys": [
                {
                    "created_at": f"{key.created_at.astimezone(dt.UTC):{_MOMENT}}",
                    "field": key.field,
                    "fingerprint": key.fingerprint.hex(),
                    "generation": key.generation,
                    "key_id": key.key_id,
                    "kms_key_arn": key.kms_key_arn,
                    "purpose": key.purpose.value,
                    "state": key.state.value,
                    "wrapped_key": base64.b64encode(key.wrapped_key or b"").decode("ascii"),
                }
                for key in self.held
            ],
        }
        text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return text.encode() + b"\n"

    @classmethod
    def parse(cls, content: bytes) -> KeysFile:
        """Parse a file of keys; accept only the bytes that `encode` returns. Raises DataError for others."""
        try:
            document = json.loads(content.decode())
            parsed = cls(tuple(_key(each) for each in document["keys"]))
            if parsed.encode() == content and parsed == cls.of(parsed.held):
                return parsed
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            pass
        message = "the keys of the set are not a file of wrapped keys"
        raise DataError(message, hint="it was changed: take the set from a backup of it")


def _key(given: Mapping[str, Any]) -> StoredKey:
    """Read one key. Raises ValueError, TypeError, KeyError or AttributeError for another one."""
    key_id, generation, fingerprint = given["key_id"], given["generation"], given["fingerprint"]
    if not (
        type(given["field"]) is type(given["kms_key_arn"]) is str
        and type(key_id) is int
        and 0 < key_id <= MAX_KEY_ID
        and (generation is None or type(generation) is int)
        and len(fingerprint) == 2 * FINGERPRINT_BYTES
    ):
        raise ValueError
    return StoredKey(
        key_id=key_id,
        purpose=KeyPurpose(given["purpose"]),
        field=FieldName(given["field"]),
        generation=generation,
        kms_key_arn=given["kms_key_arn"],
        wrapped_key=base64.b64decode(given["wrapped_key"], validate=True),
        fingerprint=bytes.fromhex(fingerprint),
        state=KeyState(given["state"]),
        created_at=dt.datetime.strptime(given["created_at"], _MOMENT).replace(tzinfo=dt.UTC),
        created_by="",
    )
