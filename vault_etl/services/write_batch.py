"""One batch of messages into the database: parse, tokenise, seal, store behind the fence."""

from __future__ import annotations

import collections
import uuid
from collections.abc import Sequence
from typing import Final

from vault_etl.core.events import LoginEvent, Reason, Rejection
from vault_etl.core.fields import PERSONAL_FIELDS, Field
from vault_etl.core.messages import (
    Message,
    Outcome,
    Parsed,
    RecordRange,
    parse_message,
    seal_event,
    seal_rejection,
)
from vault_etl.core.sealing import Sealer
from vault_etl.errors import ConfigurationError, IncompleteError
from vault_etl.ports.record_store import KeysChanged, Loaded, RecordLoader, RowsRefused, WriteKeys
from vault_etl.services.key_ring import KeyRing
from vault_etl.services.make_key import DataKeyLeases

MAX_FENCE_TRIES: Final = 10
"""How often in a row the keys may change under a batch before somebody should look."""

REFUSED_WINDOW: Final = 1_000
MAX_REFUSED: Final = 10
"""More refused rows than this among the last thousand, and the fault is ours, not the data's."""


class BatchWriter:
    """Writes batches. Keeps the plaintext of one until it is committed, and no longer."""

    def __init__(
        self,
        loader: RecordLoader,
        ring: KeyRing,
        leases: DataKeyLeases,
        ranges: tuple[RecordRange, ...],
    ) -> None:
        self._loader = loader
        self._ring = ring
        self._leases = leases
        self._ranges = ranges
        self._refused = collections.deque[bool](maxlen=REFUSED_WINDOW)

    def write(self, messages: Sequence[Message]) -> tuple[list[Outcome], int]:
        """Store or quarantine every message; its outcome, in order, and how many extra fields were dropped.

        When it returns, all is committed. When it raises, what was committed before is found again
        as duplicates. Raises ConfigurationError if the database refuses too many rows.
        """
        parsed = [parse_message(message, self._ranges) for message in messages]
        extras = sum(p.content.extra_fields for p in parsed if isinstance(p.content, LoginEvent))
        first = list({p.record_id: p for p in reversed(parsed)}.values())
        loaded, refused = self._load(first)
        if refused:
            again, still = self._load(refused)
            if still:
                message = "the database refuses quarantine rows"
                raise ConfigurationError(message, hint="run `vault-etl migrate --check`")
            loaded = Loaded(
                loaded.record_ids | again.record_ids, loaded.rejection_ids | again.rejection_ids
            )
        rejected = {p.record_id for p in refused}
        return _outcomes(parsed, loaded, rejected), extras

    def _load(self, batch: Sequence[Parsed]) -> tuple[Loaded, list[Parsed]]:
        """Store what the database takes; what it refuses comes back as rejections, not stored yet."""
        result = self._load_fenced(batch)
        if isinstance(result, Loaded):
            self._refused.extend([False] * len(batch))
            return result, []
        if len(batch) == 1:
            self._refused.append(True)
            if sum(self._refused) > MAX_REFUSED:
                message = f"the database refuses row after row (SQLSTATE {result.sqlstate})"
                raise ConfigurationError(
                    message, hint="no event is at fault for that: run `vault-etl migrate --check`"
                )
            parsed = batch[0]
            rejection = Rejection(Reason.REFUSED_BY_DATABASE)
            return Loaded(frozenset(), frozenset()), [
                Parsed(parsed.record_id, parsed.message, rejection)
            ]
        middle = len(batch) // 2
        left, refused_left = self._load(batch[:middle])
        right, refused_right = self._load(batch[middle:])
        return Loaded(
            left.record_ids | right.record_ids, left.rejection_ids | right.rejection_ids
        ), refused_left + refused_right

    def _load_fenced(self, batch: Sequence[Parsed]) -> Loaded | RowsRefused:
        """Seal and store; when the fence finds that the keys have changed, seal anew and try again."""
        for _ in range(MAX_FENCE_TRIES):
            result = self._seal_and_load(batch)
            if not isinstance(result, KeysChanged):
                return result
            self._leases.forget()
        message = "the keys changed again and again under one batch"
        raise IncompleteError(message, hint="is a rotation running in a loop, or a clock wrong?")

    def _seal_and_load(self, batch: Sequence[Parsed]) -> Loaded | KeysChanged | RowsRefused:
        events = [(p, p.content) for p in batch if isinstance(p.content, LoginEvent)]
        rejections = [(p, p.content) for p in batch if isinstance(p.content, Rejection)]
        seals = dict.fromkeys(PERSONAL_FIELDS, len(events)) | {Field.QUARANTINE: len(rejections)}
        keys = [self._leases.data_key(field, count) for field, count in seals.items() if count]
        sealer = Sealer(keys)
        active, pending = self._ring.tokenizers()
        return self._loader.load(
            [seal_event(p, event, sealer, active, pending) for p, event in events],
            [seal_rejection(p, rejection, sealer) for p, rejection in rejections],
            WriteKeys((active.generation, pending.generation if pending else None), tuple(keys)),
        )


def _outcomes(parsed: Sequence[Parsed], loaded: Loaded, refused: set[uuid.UUID]) -> list[Outcome]:
    """A message that stands twice in a batch is stored once: the second is a duplicate."""
    outcomes = []
    new = set(loaded.record_ids | loaded.rejection_ids)
    for p in parsed:
        quarantine = isinstance(p.content, Rejection) or p.record_id in refused
        if p.record_id in new:
            new.remove(p.record_id)
            outcomes.append(Outcome.QUARANTINED if quarantine else Outcome.STORED)
        else:
            outcomes.append(Outcome.ALREADY_QUARANTINED if quarantine else Outcome.DUPLICATE)
    return outcomes
