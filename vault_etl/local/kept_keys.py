"""Keys that survive the end of a LocalStack: its free edition forgets them when it stops.

A key's id and its material are in a file, and LocalStack takes both from tags when it makes the key again. moto ignores
these tags. Whoever reads the file has the key: it is for an emulator alone.
"""

from __future__ import annotations

import base64
import os
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from vault_etl.local.private_files import (
    make_private_directory,
    read_private_json,
    write_private_json,
)

if TYPE_CHECKING:
    from types_boto3_kms.type_defs import TagTypeDef

_SYMMETRIC: Final = "SYMMETRIC_DEFAULT"
_AES_KEY_BYTES: Final = 32


def kept_key_tags(directory: Path, name: str, key_spec: str) -> list[TagTypeDef]:
    """Return the tags that give a key its id and material, which are made at the first call.

    `key_spec` is "SYMMETRIC_DEFAULT" (32 random bytes) or "ECC_NIST_P256" (PKCS #8). Raises ConfigurationError if the
    directory belongs to another user.
    """
    make_private_directory(directory)
    path = directory / f"{name}.json"
    kept = read_private_json(path)
    if not kept:
        material = base64.b64encode(_new_material(key_spec)).decode("ascii")
        kept = {"id": str(uuid.uuid4()), "material": material}
        write_private_json(path, kept)
    return [
        {"TagKey": "_custom_id_", "TagValue": kept["id"]},
        {"TagKey": "_custom_key_material_", "TagValue": kept["material"]},
    ]


def _new_material(key_spec: str) -> bytes:
    if key_spec == _SYMMETRIC:
        return os.urandom(_AES_KEY_BYTES)
    private = ec.generate_private_key(ec.SECP256R1())
    return private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
