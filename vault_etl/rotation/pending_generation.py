"""The pending generation of token keys: begun by a rotation, or aborted before its cut-over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from vault_etl.audit.entries import AuditRequest
from vault_etl.audit.log import AuditLog, audited
from vault_etl.crypto.fields import FieldName, KeyPurpose
from vault_etl.crypto.keys import KeyState
from vault_etl.keys.destroy import OldTokens, clear_tokens
from vault_etl.keys.make import NewKey, UnseenKeyGenerator, make_unseen_key
from vault_etl.keys.needed import KeyLister
from vault_etl.keys.ring import KeyReader
from vault_etl.keys.unwrap import KeyUnwrapper, prove_kms
from vault_etl.platform.clock import Progress
from vault_etl.rotation.ranges import OpenRotation


class TokenRotations(Protocol):
    """Begins and aborts rotations of the token keys, behind the fence."""

    def next_generation(self) -> int:
        """The number of the next generation. No number is used twice."""

    def begin(self, request: AuditRequest, keys: Sequence[NewKey], ranges: int) -> OpenRotation:
        """Make these keys the pending generation: from the commit on, every batch has both tokens.

        The entry that names the keys is part of the transaction; the rotation has the request's id. If a
        rotation is under way, returns that one instead, and stores no key. If all of its ranges are done, they
        are opened again: rows that did not open before may open now. A caller without keys has seen
        a pending generation.

        Raises ConfigurationError while an old generation is kept; IncompleteError if there are
        neither keys nor a pending generation any more.
        """

    def abort(self, request: AuditRequest) -> Sequence[int]:
        """Destroy the keys of the pending generation, on the record; return their ids, if any."""


class BeginTokens:
    """Makes a generation pending. The KMS must first prove that it binds keys to their contexts."""

    def __init__(
        self,
        reader: KeyReader,
        rotations: TokenRotations,
        generator: UnseenKeyGenerator,
        unwrapper: KeyUnwrapper,
        fields: Sequence[FieldName],
    ) -> None:
        self._reader = reader
        self._rotations = rotations
        self._generator = generator
        self._unwrapper = unwrapper
        self._fields = fields

    def __call__(self, request: AuditRequest, ranges: int) -> OpenRotation:
        """Begin a rotation, or continue the one that has begun.

        Raises DataError for token keys that no entry of the log explains; ConfigurationError while the
        previous generation is kept in the rows, or if the KMS ignores contexts, and then stores no key.
        Raises the errors of KMS and Postgres too.
        """
        new: list[NewKey] = []
        if not self.pending_ids():
            generation = self._rotations.next_generation()
            new = [
                make_unseen_key(
                    self._generator, self._unwrapper, KeyPurpose.TOKEN, field, generation
                )
                for field in self._fields
            ]
            prove_kms(new[0], self._unwrapper)
        return self._rotations.begin(request, new, ranges)

    def pending_ids(self) -> tuple[int, ...]:
        """The ids of the pending keys; empty if no generation is pending."""
        keys = self._reader.token_keys()
        return tuple(sorted(key.key_id for key in keys if key.state is KeyState.PENDING))


@dataclass(frozen=True, slots=True)
class Aborted:
    """The pending keys that were destroyed, and the number of rows that had their tokens."""

    destroyed: tuple[int, ...]
    rows: int


class AbortTokens:
    """Destroys the pending generation behind the fence, then takes its tokens out of the rows."""

    def __init__(
        self,
        audit: AuditLog,
        rotations: TokenRotations,
        lister: KeyLister,
        old_tokens: OldTokens,
        progress: Progress,
    ) -> None:
        self._audit = audit
        self._rotations = rotations
        self._lister = lister
        self._old_tokens = old_tokens
        self._progress = progress

    def __call__(self, request: AuditRequest) -> Aborted:
        """Abort the rotation: afterwards everything is as it was before its beginning.

        A second run takes away the tokens that an interrupted run has left. Raises AuditError, UnavailableError;
        pages that were committed before stay done.
        """
        with audited(self._audit, request):
            destroyed = tuple(self._rotations.abort(request))
            destroyed_generations = {
                usage.key.generation
                for usage in self._lister.usage()
                if usage.key.purpose is KeyPurpose.TOKEN
                and usage.key.state is KeyState.DESTROYED
                and usage.rows
            }
            rows = sum(
                clear_tokens(self._old_tokens, generation, self._progress)
                for generation in sorted(filter(None, destroyed_generations))
            )
        return Aborted(destroyed, rows)
