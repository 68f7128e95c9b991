"""Making keys that outlive a process: KMS wraps one that nobody has seen, and who may open keys opens it."""

from __future__ import annotations

import dataclasses

from vault_etl.crypto.fields import KeyField, KeyPurpose
from vault_etl.crypto.keys import fingerprint
from vault_etl.keys.make import draw_key_id, new_key
from vault_etl.keys.service import KeyUnwrapper, UnseenKeyGenerator
from vault_etl.keys.store import NewKey


def make_unseen_key(
    generator: UnseenKeyGenerator,
    unwrapper: KeyUnwrapper,
    purpose: KeyPurpose,
    field: KeyField,
    generation: int | None = None,
) -> NewKey:
    """Make a key in KMS and open it once, for its fingerprint; its row to be.

    To make a key and to open it are two permissions: who has the first alone never learns what was
    made. Raises what `UnseenKeyGenerator.generate_unseen` and `KeyUnwrapper.unwrap` raise.
    """
    key_id = draw_key_id()
    made = generator.generate_unseen(purpose, field, key_id)
    new = new_key(made, purpose, field, key_id, generation=generation)
    return dataclasses.replace(new, fingerprint=fingerprint(unwrapper.unwrap(new), key_id))
