"""The first keys of a vault: token keys and the source key are made once, and the source key is opened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from vault_etl.audit.entries import Action, AuditRequest
from vault_etl.audit.log import AuditLog, Identity, audit_request, audited
from vault_etl.base.errors import ConfigurationError
from vault_etl.crypto.fields import SOURCE, FieldName, KeyPurpose
from vault_etl.crypto.keys import KeyMaterial, StoredKey
from vault_etl.keys.make import NewKey, UnseenKeyGenerator, make_unseen_key
from vault_etl.keys.ring import KeyReader
from vault_etl.keys.unwrap import KeyUnwrapper, must_have_its_fingerprint, prove_kms

INIT_REASON: Final = "the first token keys"

_FIRST_GENERATION = 1


@dataclass(frozen=True, slots=True)
class InitReport:
    """The ids of the keys made, the source key's last; empty: the vault has token keys already."""

    created: tuple[int, ...]


def init_keys(
    *,
    reader: KeyReader,
    writer: FirstKeyWriter,
    generator: UnseenKeyGenerator,
    unwrapper: KeyUnwrapper,
    audit: AuditLog,
    identity: Identity,
    fields: Sequence[FieldName],
) -> InitReport:
    """Make the token keys of generation 1, one for each of `fields`, and the source key. Repeating it makes no key.

    Raises ConfigurationError, and stores no key, if the KMS ignores encryption contexts.
    """
    if reader.token_keys():
        return InitReport(())
    request = audit_request(identity, Action.KEYS_INIT, INIT_REASON, fields=tuple(fields))
    with audited(audit, request):
        made = [
            make_unseen_key(generator, unwrapper, KeyPurpose.TOKEN, field, _FIRST_GENERATION)
            for field in fields
        ]
        made.append(make_unseen_key(generator, unwrapper, KeyPurpose.SOURCE, SOURCE))
        prove_kms(made[0], unwrapper)
        if not writer.add_first_keys(request, made):
            return InitReport(())
    return InitReport(tuple(key.key_id for key in made))


class FirstKeyWriter(Protocol):
    """May add the first keys of a purpose, behind the fence."""

    def add_first_keys(self, request: AuditRequest, keys: Sequence[NewKey]) -> bool:
        """Commit these keys as active, with the entry that names them, as `request` asks for.

        Returns False, with nothing changed, if keys of one of their purposes are stored already.
        """


def open_source_key(reader: SourceKeyReader, unwrapper: KeyUnwrapper) -> KeyMaterial:
    """Return the source key of the vault, which identifies the sources of lines.

    Raises ConfigurationError if no source key is stored, UnusableKeyError if the opened key is not
    the stored one, and the errors of `KeyUnwrapper.unwrap`.
    """
    key = reader.source_key()
    if key is None:
        message = "there is no source key yet"
        raise ConfigurationError(message, hint="run `vault-etl keys init` once")
    material = unwrapper.unwrap(key)
    must_have_its_fingerprint(key, material)
    return material


class SourceKeyReader(Protocol):
    """May read the source key."""

    def source_key(self) -> StoredKey | None:
        """Return the vault's one source key; None: it was never made, or it is destroyed."""
