"""The first token keys of a vault, and its source key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from vault_etl.audit.audited import audited
from vault_etl.audit.entries import Action
from vault_etl.audit.identity import audit_request
from vault_etl.audit.log import AuditLog, Identity
from vault_etl.crypto.fields import PERSONAL_FIELDS, FileField, KeyPurpose
from vault_etl.keys.make_unseen import make_unseen_key
from vault_etl.keys.prove_kms import prove_kms
from vault_etl.keys.service import KeyUnwrapper, UnseenKeyGenerator
from vault_etl.keys.store import FirstKeyWriter, KeyReader

INIT_REASON: Final = "the first token keys"

_FIRST_GENERATION = 1


@dataclass(frozen=True, slots=True)
class InitReport:
    """The ids of the keys made: none if there were token keys already. The last one is the source key."""

    created: tuple[int, ...]


def init_keys(
    *,
    reader: KeyReader,
    writer: FirstKeyWriter,
    generator: UnseenKeyGenerator,
    unwrapper: KeyUnwrapper,
    audit: AuditLog,
    identity: Identity,
) -> InitReport:
    """Make the token keys of generation 1, one a field, and the source key. Safe to repeat: then it makes none.

    Raises ConfigurationError if the KMS ignores encryption contexts, and leaves no key behind then.
    """
    if reader.token_keys():
        return InitReport(())
    request = audit_request(identity, Action.KEYS_INIT, INIT_REASON, fields=PERSONAL_FIELDS)
    with audited(audit, request):
        made = [
            make_unseen_key(generator, unwrapper, KeyPurpose.TOKEN, field, _FIRST_GENERATION)
            for field in PERSONAL_FIELDS
        ]
        made.append(make_unseen_key(generator, unwrapper, KeyPurpose.SOURCE, FileField.SOURCE))
        prove_kms(made[0], unwrapper)
        if not writer.add_first_keys(request, made):
            return InitReport(())
    return InitReport(tuple(key.key_id for key in made))
