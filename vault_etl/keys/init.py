"""The first keys of a vault and of each later field, which are made once; and the source key, which is opened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from vault_etl.audit.entries import Action, AuditRequest
from vault_etl.audit.log import AuditLog, Identity, audit_request, audited
from vault_etl.base.errors import ConfigurationError
from vault_etl.crypto.fields import SOURCE, FieldName, KeyPurpose
from vault_etl.crypto.keys import KeyMaterial, KeyState, StoredKey
from vault_etl.keys.make import NewKey, UnseenKeyGenerator, make_unseen_key
from vault_etl.keys.ring import KeyReader
from vault_etl.keys.unwrap import KeyUnwrapper, must_have_its_fingerprint, prove_kms

INIT_REASON: Final = "the first token keys"
ADD_REASON: Final = "token keys of new fields"

_FIRST_GENERATION = 1


@dataclass(frozen=True, slots=True)
class InitReport:
    """The ids of the keys made, the source key's last; empty: the vault has a token key of each field already."""

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
    """Make the first token keys, one for each of `fields`, and the source key; later, the keys that new fields lack.

    A new field gets a key in the active generation, and in the pending one if there is one. Repeating it makes no key.
    Raises ConfigurationError, and stores no key, if the KMS ignores encryption contexts.
    """
    stored = reader.token_keys()
    wanted = (
        _missing(stored, fields) if stored else [(field, _FIRST_GENERATION) for field in fields]
    )
    if not wanted:
        return InitReport(())
    named = tuple(dict.fromkeys(field for field, _ in wanted))
    reason = ADD_REASON if stored else INIT_REASON
    request = audit_request(identity, Action.KEYS_INIT, reason, fields=named)
    with audited(audit, request):
        made = [
            make_unseen_key(generator, unwrapper, KeyPurpose.TOKEN, field, generation)
            for field, generation in wanted
        ]
        if not stored:
            made.append(make_unseen_key(generator, unwrapper, KeyPurpose.SOURCE, SOURCE))
        prove_kms(made[0], unwrapper)
        if not writer.add_first_keys(request, made):
            return InitReport(())
    return InitReport(tuple(key.key_id for key in made))


def _missing(
    stored: Sequence[StoredKey], fields: Sequence[FieldName]
) -> Sequence[tuple[FieldName, int]]:
    """Return the fields that lack a key of the active or of the pending generation, with the generation.

    Without an active generation, a pending one belongs to a rotation, and nothing is missing.
    """
    if not any(key.state is KeyState.ACTIVE for key in stored):
        return []
    there = {(key.field, key.generation) for key in stored}
    generations = sorted({key.generation for key in stored if key.generation is not None})
    return [
        (field, generation)
        for generation in generations
        for field in fields
        if (field, generation) not in there
    ]


class FirstKeyWriter(Protocol):
    """May add the first keys of a vault, or of a field, behind the fence."""

    def add_first_keys(self, request: AuditRequest, keys: Sequence[NewKey]) -> bool:
        """Commit these keys, with the entry that names them, as `request` asks for.

        The first ones are active; later ones have the state of the other keys of their generation. Returns
        False, with nothing changed, if one of them is stored already, or if their generation has ended since.
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
