"""Open the key under which sources of lines are known."""

from __future__ import annotations

from vault_etl.base.errors import ConfigurationError
from vault_etl.crypto.keys import KeyMaterial
from vault_etl.keys.prove_kms import must_have_its_fingerprint
from vault_etl.keys.service import KeyUnwrapper
from vault_etl.keys.store import SourceKeyReader


def open_source_key(reader: SourceKeyReader, unwrapper: KeyUnwrapper) -> KeyMaterial:
    """The source key of the vault.

    Raises ConfigurationError if there is none, UnusableKeyError if it is not the one stored, and
    what `KeyUnwrapper.unwrap` raises.
    """
    key = reader.source_key()
    if key is None:
        message = "there is no source key yet"
        raise ConfigurationError(message, hint="run `vault-etl keys init` once")
    material = unwrapper.unwrap(key)
    must_have_its_fingerprint(key, material)
    return material
