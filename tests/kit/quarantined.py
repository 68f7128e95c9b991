"""Bodies in a real vault's quarantine, whatever the rules of today would say of them."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping

from tests.kit.declarations import DEFAULT
from tests.kit.fakes.receipts import any_receipt
from tests.kit.vault import Vault
from vault_etl.audit.opening import Opener
from vault_etl.base.pii import Pii
from vault_etl.crypto.ciphertext import Ciphertext, ValuePlace
from vault_etl.crypto.fields import QUARANTINE, KeyPurpose
from vault_etl.crypto.keys import DataKey, KeyMaterial, encryption_context
from vault_etl.crypto.record_id import record_id_of_message
from vault_etl.crypto.sealing import Sealer
from vault_etl.event.rejection import Reason
from vault_etl.keys.kms import KmsKeyGenerator
from vault_etl.keys.make import DataKeyLeases
from vault_etl.keys.postgres import PostgresKeyStore
from vault_etl.local.provision import EmulatorSession
from vault_etl.platform.clock import SystemClock
from vault_etl.platform.postgres import Database
from vault_etl.records.fenced_writes import Loaded, WriteKeys
from vault_etl.records.messages import SealedRejection
from vault_etl.records.postgres import PostgresRecordLoader

FLIP = (
    "UPDATE quarantine SET body_ciphertext ="
    " set_byte(body_ciphertext, 40, get_byte(body_ciphertext, 40) # 1) WHERE record_id = %s"
)


MOVE = (
    "UPDATE quarantine SET body_ciphertext ="
    " (SELECT body_ciphertext FROM quarantine WHERE record_id = %s) WHERE record_id = %s"
)


def quarantine(
    vault: Vault,
    *bodies: bytes,
    reason: Reason = Reason.REFUSED_BY_DATABASE,
    path: str = "$",
    generations: tuple[int, int | None] = (1, None),
) -> list[str]:
    """Quarantine bodies as ingest would, for a reason of yesterday's; their ids, which are in order."""
    credentials = vault.provisioned.credentials["ingest"]
    kms = EmulatorSession(vault.endpoint, credentials).client("kms")
    names: Mapping[KeyPurpose, str] = {
        purpose: vault.provisioned.key_arns[purpose.kms_key.value] for purpose in KeyPurpose
    }
    database = Database(vault.database_url("ingest"))
    try:
        leases = DataKeyLeases(
            KmsKeyGenerator(kms, names), PostgresKeyStore(database), SystemClock()
        )
        key = leases.data_key(QUARANTINE, len(bodies))
        sent = round(dt.datetime.now(dt.UTC).timestamp() * 1000)
        rows = []
        for later, body in enumerate(bodies):
            record_id = record_id_of_message(str(uuid.uuid4()), sent + later)
            sealed = Sealer([key]).seal(Pii(body), ValuePlace.in_quarantine(record_id))
            rows.append(SealedRejection(record_id, reason, path, sealed))
        loaded = PostgresRecordLoader(database, DEFAULT).load(
            [], rows, WriteKeys(generations, (key,))
        )
    finally:
        database.close()
    assert isinstance(loaded, Loaded)
    assert len(loaded.rejection_ids) == len(bodies)
    return [str(row.record_id) for row in rows]


def open_body(record_id: uuid.UUID, stored: bytes, key: DataKey) -> str:
    """Open a quarantined body by hand, against a receipt of our own making."""
    opener = Opener(any_receipt())
    return opener.open(stored, ValuePlace.in_quarantine(record_id), key).expose().decode()


def quarantine_key(vault: Vault, stored: bytes) -> DataKey:
    """The key of a quarantined body, from KMS as the administrator."""
    key_id = Ciphertext.parse(stored).key_id
    ((arn, wrapped),) = vault.sql(
        "SELECT kms_key_arn, wrapped_key FROM data_keys WHERE key_id = %s", key_id
    )
    plaintext = vault.emulator.client("kms").decrypt(
        KeyId=arn,
        CiphertextBlob=bytes(wrapped),
        EncryptionContext=encryption_context(KeyPurpose.DATA, QUARANTINE, key_id),
    )["Plaintext"]
    return DataKey(key_id, QUARANTINE, KeyMaterial(plaintext))
