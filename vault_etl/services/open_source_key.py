"""Open the key under which sources of lines are known."""

from __future__ import annotations

from vault_etl.core.keys import KeyMaterial
from vault_etl.errors import ConfigurationError
from vault_etl.ports.key_service import KeyUnwrapper
from vault_etl.ports.key_store import SourceKeyReader
from vault_etl.services.prove_kms import must_have_its_fingerprint


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
