"""The plaintext keys of a vault, as the operator opens them in KMS, for the vectors of rows."""

from __future__ import annotations

import functools

from tests.kit.vault import Vault
from vault_etl.crypto.fields import FieldName, KeyPurpose
from vault_etl.crypto.keys import encryption_context


class VaultRowKeys:
    """The keys of `tests.vectors.rows.RowKeys` for the rows of a vault."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    @functools.cached_property
    def _token_ids(self) -> dict[tuple[str, int], int]:
        found = self._vault.sql(
            "SELECT field, generation, key_id FROM data_keys WHERE purpose = 'token'"
        )
        return {(field, generation): key_id for field, generation, key_id in found}

    def data(self, field: str, key_id: int) -> bytes:
        """The data key of this field and id."""
        return self._opened(KeyPurpose.DATA, field, key_id)

    def token(self, field: str, generation: int) -> bytes:
        """The token key of this field and generation."""
        return self._opened(KeyPurpose.TOKEN, field, self._token_ids[field, generation])

    @functools.cache  # noqa: B019 - of one test
    def _opened(self, purpose: KeyPurpose, field: str, key_id: int) -> bytes:
        ((arn, wrapped),) = self._vault.sql(
            "SELECT kms_key_arn, wrapped_key FROM data_keys WHERE key_id = %s", key_id
        )
        plaintext: bytes = self._vault.emulator.client("kms").decrypt(
            KeyId=arn,
            CiphertextBlob=bytes(wrapped),
            EncryptionContext=encryption_context(purpose, FieldName(field), key_id),
        )["Plaintext"]
        return plaintext
