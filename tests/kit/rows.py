"""Rows for the loader, sealed under stored keys."""

from __future__ import annotations

import dataclasses
import datetime as dt
import os
import uuid
from collections.abc import Mapping
from typing import Final

from tests.kit.bench import Bench
from tests.kit.declared import PERSONAL_FIELDS
from tests.kit.fakes.identity import ACTOR
from tests.kit.login_records import changed
from vault_etl.audit.entries import Action, AuditRequest
from vault_etl.base.pii import Pii
from vault_etl.crypto.ciphertext import ValuePlace
from vault_etl.crypto.fields import FieldName
from vault_etl.crypto.keys import DataKey
from vault_etl.crypto.record_id import record_id_of_message
from vault_etl.crypto.sealing import Sealer
from vault_etl.event.rejection import Reason
from vault_etl.records.fenced_writes import Loaded, WriteKeys
from vault_etl.records.messages import SealedRecord, SealedRejection

NONE: Final[Mapping[FieldName, uuid.UUID]] = {}


@dataclasses.dataclass(frozen=True, slots=True)
class Writer:
    """The keys of one process, and rows sealed under them."""

    bench: Bench
    keys: tuple[DataKey, ...]

    def write_keys(
        self, active: int = 1, pending: int | None = None, keys: tuple[DataKey, ...] | None = None
    ) -> WriteKeys:
        """Return the keys that the fence is shown."""
        return WriteKeys((active, pending), self.keys if keys is None else keys)

    def record(self, **changes: object) -> SealedRecord:
        """A row of the bench's event, sent now, with these columns changed."""
        event, record_id, sealer = self.bench.event, self.record_id(), Sealer(self.keys)
        place = {f: ValuePlace(event.name, f, f, record_id, "user-1") for f in self.bench.fields}
        row = SealedRecord(
            event=event.name,
            record_id=record_id,
            subject="user-1",
            plain={
                **dict.fromkeys(event.details, "web"),
                event.subject.name: "user-1",
                event.day.name: dt.date(2026, 1, 31),
            },
            tokens=self.tokens(),
            next_tokens=None,
            ciphertexts={f: sealer.seal(Pii(b"value"), place[f]) for f in self.bench.fields},
            token_generation=1,
            next_token_generation=None,
        )
        return changed(row, **changes)

    def tokens(self, known: Mapping[FieldName, uuid.UUID] = NONE) -> dict[FieldName, uuid.UUID]:
        """Tokens of all values: the known ones, and others that no row has."""
        return {field: known.get(field) or uuid.uuid4() for field in self.bench.fields}

    def rejection(self) -> SealedRejection:
        """A row of `quarantine`, sent now."""
        record_id = self.record_id()
        body = Sealer(self.keys).seal(Pii(b"junk"), ValuePlace.in_quarantine(record_id))
        return SealedRejection(record_id, Reason.NOT_AN_ADDRESS, "$.ip", body)

    def retry(self) -> Writer:
        """A process that seals again, with keys of its own login."""
        return Writer(
            self.bench, tuple(self.bench.new_key(f) for f in self.bench.declaration.data_fields)
        )

    def record_id(self) -> uuid.UUID:
        """The record id of a message sent now."""
        return record_id_of_message(os.urandom(16).hex(), int(self.bench.now().timestamp() * 1000))

    def load(self, *rows: SealedRecord | SealedRejection) -> Loaded:
        """Load these rows; they must be taken. Those with next tokens come last, while generation 2 is pending."""
        records = [row for row in rows if isinstance(row, SealedRecord)]
        rejections = [row for row in rows if isinstance(row, SealedRejection)]
        plain = [record for record in records if record.next_token_generation is None]
        result: object = Loaded(frozenset(), frozenset())
        if plain or rejections:
            result = self.bench.loader.load(plain, rejections, self.write_keys())
        assert isinstance(result, Loaded)
        if plain == records:
            return result
        twins = [record for record in records if record.next_token_generation is not None]
        if not any(key.generation == 2 for key in self.bench.keys.token_keys()):
            self.bench.pending(self.bench.token_keys(2))
        more = self.bench.loader.load(twins, [], self.write_keys(1, 2))
        assert isinstance(more, Loaded)
        return Loaded(result.record_ids | more.record_ids, result.rejection_ids)


def writer(bench: Bench) -> Writer:
    """A process with a data key a field, in a vault that may lack its token keys."""
    if not bench.keys.token_keys():
        bench.first_token_keys()
    return Writer(bench, tuple(bench.data_key(field) for field in bench.declaration.data_fields))


def cut_over_request(*fields: FieldName) -> AuditRequest:
    """A request to cut over to another generation of tokens, of these fields or the default's."""
    return AuditRequest(
        request_id=uuid.uuid4(),
        action=Action.KEYS_CUT_OVER,
        actor=ACTOR,
        host="host.example",
        reason="a test asks",
        fields=fields or PERSONAL_FIELDS,
    )
