"""Bodies in a real vault's quarantine, whatever the rules of today would say of them."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping

from tests.kit.vault import Vault
from vault_etl.base.pii import Pii
from vault_etl.crypto.ciphertext import ValuePlace
from vault_etl.crypto.fields import Field, KeyPurpose
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
        key = leases.data_key(Field.QUARANTINE, len(bodies))
        sent = round(dt.datetime.now(dt.UTC).timestamp() * 1000)
        rows = []
        for later, body in enumerate(bodies):
            record_id = record_id_of_message(str(uuid.uuid4()), sent + later)
            sealed = Sealer([key]).seal(Pii(body), ValuePlace.in_quarantine(record_id))
            rows.append(SealedRejection(record_id, reason, path, sealed))
        loaded = PostgresRecordLoader(database).load([], rows, WriteKeys(generations, (key,)))
    finally:
        database.close()
    assert isinstance(loaded, Loaded)
    assert len(loaded.rejection_ids) == len(bodies)
    return [str(row.record_id) for row in rows]
