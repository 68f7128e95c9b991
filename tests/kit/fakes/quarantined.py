"""Messages in quarantine: such as yesterday's rules put there, whatever today's say of them."""

from __future__ import annotations

import uuid

from tests.kit.fakes.database import FakeDatabase
from tests.kit.fakes.vault import FakeVault
from vault_etl.base.pii import Pii
from vault_etl.crypto.ciphertext import ValuePlace
from vault_etl.crypto.fields import QUARANTINE
from vault_etl.crypto.record_id import record_id_of_message
from vault_etl.crypto.sealing import Sealer
from vault_etl.event.rejection import Reason
from vault_etl.records.messages import SealedRejection


def quarantine(vault: FakeVault, *bodies: bytes, sent_ms: int | None = None) -> list[uuid.UUID]:
    """Quarantine these bodies, each sent a millisecond later; their ids, which are in order."""
    sealer = Sealer([vault.leases().data_key(QUARANTINE, len(bodies))])
    now = vault.clock.now()
    sent = round(now.timestamp() * 1000) if sent_ms is None else sent_ms
    ids = []
    for later, body in enumerate(bodies):
        record_id = record_id_of_message(str(uuid.uuid4()), sent + later)
        sealed = sealer.seal(Pii(body), ValuePlace.in_quarantine(record_id))
        put(vault.database, SealedRejection(record_id, Reason.FIELD_TOO_LONG, "$.user_id", sealed))
        ids.append(record_id)
    return ids


def put(database: FakeDatabase, rejection: SealedRejection) -> None:
    """Store a row, as it is."""
    database.quarantine[rejection.record_id] = rejection
    database.quarantined_at[rejection.record_id] = database.clock.now()
