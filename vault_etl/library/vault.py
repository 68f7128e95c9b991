"""The vault of a program: tokens, seals, reveals, searches and loads, with the settings of the commands."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import threading
import uuid
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from vault_etl import settings
from vault_etl.app import audit
from vault_etl.app.in_force import BETWEEN_RECORDS_S, must_be_in_force
from vault_etl.app.ingest import RowLoader
from vault_etl.app.key_ring import ring
from vault_etl.app.parts import Parts
from vault_etl.base.errors import DataError, UsageError
from vault_etl.base.pii import Pii
from vault_etl.crypto.fields import FieldName
from vault_etl.declaration.searched import Searched, searched
from vault_etl.library import access, needed
from vault_etl.library.results import Found, Ingested, RevealedRecord
from vault_etl.library.rows import RowLines, Rows

if TYPE_CHECKING:
    from vault_etl.keys.ring import KeyRing
    from vault_etl.library.arrow_seal import TableSealer

Arrow = Any
"""An array of pyarrow, which has no types of its own."""

_INGEST: Final = "vault_etl_ingest"
_SHOWN: Final = 10
"""Numbers of values that an error names."""


class Vault:
    """A vault, as one login of Postgres and one identity of AWS. `from_settings` makes it.

    Any thread may call it; a call waits for the one before it. A process that is forked makes its own. `close` ends
    its connections, and so does the end of a `with` block.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._process = os.getpid()
        self._lock = threading.RLock()
        self._is_closed = False
        self._may_seal = False
        self._ring: KeyRing | None = None
        self._loaders: dict[tuple[str | None, bool], RowLoader] = {}
        self._sealers: dict[tuple[str, bool], TableSealer] = {}

    @classmethod
    def from_settings(cls) -> Self:
        """Return the vault of the settings: of the environment and `vault-etl.toml`, as of each command.

        It connects when it is first used. Raises `errors.ConfigurationError`.
        """
        loaded, _ = settings.load(os.environ)
        return cls(Parts(loaded, "vault-etl library"))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connections, and drop the keys. Every later call raises `errors.UsageError`."""
        self._is_closed = True
        self._ring = None
        self._loaders.clear()
        self._sealers.clear()
        if self._process == os.getpid():
            self._parts.close()

    def tokenize(
        self,
        field: str,
        values: Iterable[object],
        *,
        reason: str | None = None,
        purpose: str | None = None,
        ticket: str | None = None,
        invalid: Literal["raise", "null"] = "raise",
    ) -> Arrow:
        """Return the tokens of values of a field, or of a derived form such as `ip/network`: an array of `pa.uuid()`.

        The values are a list or an iterable, an Arrow array, or a column of pandas or polars; null gives null. A value
        that the field cannot hold raises `errors.DataError`, which names its number, or gives null with
        `invalid="null"`. Without a reason, the login has the role ingest, and no entry is written. With one, it has
        the role reveal: each distinct value counts for the quota of tokens, and 65,536 of them share an entry.
        """
        if invalid not in ("raise", "null"):
            message = "invalid is neither raise nor null"
            raise UsageError(message)
        arrow = needed.arrow()
        given = None if reason is None else access.Purpose.of(reason, purpose, ticket)
        with self._mine() as parts:
            wanted = self._searched(field)
            texts, broken = arrow.texts_of(values)
            if invalid == "raise":
                _must_be_held(wanted, broken)
            if given is None:
                tokens, wrong = self._sealing_tokens(parts, wanted, texts)
            else:
                distinct, at = arrow.distinct(texts)
                held = [wanted.held_or_none(value) for value in distinct]
                wrong = [
                    n for n, i in enumerate(at.to_pylist()) if i is not None and held[i] is None
                ]
                if invalid == "raise":
                    _must_be_held(wanted, wrong)
                tokens = arrow.tokens_at(access.tokens(parts, wanted, held, given), at)
        if invalid == "raise":
            _must_be_held(wanted, wrong)
        return tokens

    def reveal(
        self,
        ids: Iterable[object],
        *,
        reason: str,
        fields: Sequence[str] | None = None,
        masked: bool = False,
        purpose: str | None = None,
        ticket: str | None = None,
    ) -> Iterator[RevealedRecord]:
        """Reveal records, by ids that are UUIDs or their texts. Needs the role reveal.

        A record is accessed when the iteration comes to it. Its intent is committed before, and its outcome before it
        is yielded. A record that does not exist or does not open is skipped, with a warning in the log, and raises
        `errors.NotFoundError` or `errors.DataError` after the last record. Raises `errors.PolicyDeniedError` for a
        denial, and `errors.DeniedError` before the first record if the quota has too few accesses left.
        """
        given = access.Purpose.of(reason, purpose, ticket)
        wanted = access.record_ids_of(ids)
        with self._mine() as parts:
            named = self._fields(fields)
            reveals = access.Reveals(parts, wanted, named, given, masked=masked)
        return self._each(reveals.run())

    def find(
        self,
        field: str,
        values: Iterable[object],
        *,
        reason: str,
        limit: int = 100,
        purpose: str | None = None,
        ticket: str | None = None,
    ) -> Found:
        """Find the records that hold values of a field, or of a derived form. Needs the role reveal.

        All values, at most 65,536, share one entry, and each counts for the quota of accesses. At most `limit` records
        of each value are listed, the newest. Raises `errors.UsageError` for a value that the field cannot hold.
        """
        given = access.Purpose.of(reason, purpose, ticket)
        texts, _ = needed.arrow().texts_of(values)
        if texts.null_count:
            message = "a search takes no null, and no text that is not Unicode"
            raise UsageError(message, hint="leave those out that have no value")
        with self._mine() as parts:
            taken = [Pii.of_text(text) for text in texts.to_pylist()]
            return access.search(parts, self._searched(field), taken, given, limit)

    def ingest(
        self,
        rows: Rows,
        *,
        source: str,
        event: str | None = None,
        sent: dt.date | None = None,
        strict: bool = False,
    ) -> Ingested:
        """Load rows into Postgres, as `ingest --file - --source NAME` loads lines. Needs the role ingest.

        The rows are dicts as the messages are, or a table. A row is known by its source and its number, so a second
        load of the same rows stores nothing twice; a source may grow at its end. `event` names the event where the
        rows do not say it, `sent` the day of rows that have none. A row that is no event goes to the quarantine.
        Raises `errors.OtherContentError` for rows that differ from those loaded under this source before.
        """
        with self._mine() as parts:
            self._must_seal(parts)
            key = (event, strict)
            if key not in self._loaders:
                self._loaders[key] = RowLoader(parts, event, strict=strict)
            lines = RowLines(rows, parts.settings.batch_size)
            return Ingested.of(self._loaders[key].load(lines, source, sent))

    def seal(
        self,
        rows: Rows,
        *,
        event: str,
        set_id: uuid.UUID | None = None,
        first: int = 1,
        sent: dt.date | None = None,
        strict: bool = False,
    ) -> Arrow:
        """Return rows of an event as a sealed `pa.Table`, in the layout of a set. Needs the role ingest.

        Nothing is stored but new data keys, and no command knows of the table. The rows are dicts as the messages are,
        or a table. The id of a record follows from `set_id`, a random one if it is not given, and the row's number,
        counted from `first`. `sent` is the day of rows that have none. Raises `errors.DataError`, which names rows by
        their numbers, if some are no events.
        """
        arrow_seal = needed.arrow("arrow_seal")
        with self._mine() as parts:
            self._must_seal(parts)
            key = (event, strict)
            if key not in self._sealers:
                self._sealers[key] = arrow_seal.TableSealer(parts, event, strict=strict)
            return self._sealers[key].seal(rows, set_id or uuid.uuid4(), first, sent)

    def _each(self, records: Iterator[RevealedRecord]) -> Iterator[RevealedRecord]:
        """Reveal one record at a time, so that the caller's work on one keeps no other thread waiting."""
        while True:
            with self._mine():
                record = next(records, None)
            if record is None:
                return
            yield record

    @contextlib.contextmanager
    def _mine(self) -> Iterator[Parts]:
        """Hold the parts for one call. Raises UsageError if they are closed, or another process's."""
        with self._lock:
            if self._is_closed:
                message = "this vault is closed"
                raise UsageError(message, hint="make another one: Vault.from_settings()")
            if self._process != os.getpid():
                message = "this vault is of the process that this one was forked from"
                raise UsageError(message, hint="make the vault after the fork")
            yield self._parts

    def _must_seal(self, parts: Parts) -> None:
        if not self._may_seal:
            audit.check_role(parts, _INGEST)
            self._may_seal = True

    def _sealing_tokens(
        self, parts: Parts, wanted: Searched, texts: Arrow
    ) -> tuple[Arrow, Sequence[int]]:
        """Return the tokens that ingest makes, and the indices of values that the field cannot hold."""
        from vault_etl.lake.parquet_batches import BatchTokens  # noqa: PLC0415 - pyarrow is an extra

        self._must_seal(parts)
        must_be_in_force(parts, within=BETWEEN_RECORDS_S)
        if self._ring is None:
            self._ring = ring(parts)  # keeps a key for five minutes
        active, _ = self._ring.tokenizers()
        return BatchTokens(active.field(wanted.field.name), wanted).tokens(texts)

    def _searched(self, name: str) -> Searched:
        known = searched(self._parts.declaration)
        if (wanted := known.get(FieldName(name))) is None:
            message = "the field is not one of this vault"
            raise UsageError(message, hint=f"its fields are {', '.join(known)}")
        return wanted

    def _fields(self, names: Sequence[str] | None) -> tuple[FieldName, ...]:
        declared = self._parts.declaration.field_names
        if names is None:
            return declared
        fields = tuple(FieldName(name) for name in dict.fromkeys(names))
        if isinstance(names, str) or not fields or not set(fields) <= set(declared):
            message = "the fields are not a list of fields of this vault"
            raise UsageError(message, hint=f"its fields are {', '.join(declared)}")
        return fields


def _must_be_held(wanted: Searched, wrong: Sequence[int]) -> None:
    """Raise DataError for values, by their indices, that the field cannot hold."""
    if wrong:
        some = ", ".join(str(index + 1) for index in wrong[:_SHOWN])
        message = f"the field {wanted.name} cannot hold {len(wrong)} of these values: number {some}"
        raise DataError(message, hint=f'{wanted.hint}; invalid="null" gives those no token')
