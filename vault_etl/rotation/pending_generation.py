"""Where it is kept which rotation is under way, and how far each range of rows is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from vault_etl.audit.entries import AuditRequest
from vault_etl.audit.log import AuditLog, audited
from vault_etl.crypto.fields import PERSONAL_FIELDS, KeyPurpose
from vault_etl.crypto.keys import KeyState
from vault_etl.keys.destroy import OldTokens, clear_tokens
from vault_etl.keys.make import NewKey, UnseenKeyGenerator, make_unseen_key
from vault_etl.keys.needed import KeyLister
from vault_etl.keys.ring import KeyReader
from vault_etl.keys.unwrap import KeyUnwrapper, prove_kms
from vault_etl.platform.clock import Progress
from vault_etl.rotation.ranges import OpenRotation


class TokenRotations(Protocol):
    """May begin and abort rotations of the token keys, behind the fence."""

    def next_generation(self) -> int:
        """The number of the next generation: no number ever comes twice."""

    def begin(self, request: AuditRequest, keys: Sequence[NewKey], slices: int) -> OpenRotation:
        """Make these keys the pending generation: from the commit on, every batch has both tokens.

        The entry that names them is part of the transaction; the rotation has the request's id.
        Goes on with the rotation that is under way instead, if there is one; then these keys are
        not stored. If it has been through all of its ranges, it goes through them again: rows that
        did not open then may do so now. A call without keys has seen a pending generation.

        Raises ConfigurationError while an old generation is kept; IncompleteError if there are
        neither keys nor a pending generation any more.
        """

    def abort(self, request: AuditRequest) -> Sequence[int]:
        """Destroy the keys of the pending generation, on the record; their ids: none if there is none."""


class BeginTokens:
    """Makes a generation pending, from a KMS that has to prove itself."""

    def __init__(
        self,
        reader: KeyReader,
        rotations: TokenRotations,
        generator: UnseenKeyGenerator,
        unwrapper: KeyUnwrapper,
    ) -> None:
        self._reader = reader
        self._rotations = rotations
        self._generator = generator
        self._unwrapper = unwrapper

    def __call__(self, request: AuditRequest, slices: int) -> OpenRotation:
        """Begin, or go on with what has begun.

        Raises DataError for token keys that no entry of the log explains;
        ConfigurationError while the generation before is still kept in the rows, or if the
        KMS ignores contexts; then no key is stored. And what KMS and Postgres say.
        """
        new: list[NewKey] = []
        if not self.pending_ids():
            generation = self._rotations.next_generation()
            new = [
                make_unseen_key(
                    self._generator, self._unwrapper, KeyPurpose.TOKEN, field, generation
                )
                for field in PERSONAL_FIELDS
            ]
            prove_kms(new[0], self._unwrapper)
        return self._rotations.begin(request, new, slices)

    def pending_ids(self) -> tuple[int, ...]:
        """The ids of the pending keys: none if there is no such generation."""
        keys = self._reader.token_keys()
        return tuple(sorted(key.key_id for key in keys if key.state is KeyState.PENDING))


@dataclass(frozen=True, slots=True)
class Aborted:
    """The pending keys, which are destroyed, and how many rows had tokens of theirs."""

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
        """Abort. Run again, it takes away what an interrupted run has left; after that, nothing.

        Raises AuditError, UnavailableError. What was done until then stays.
        """
        with audited(self._audit, request):
            destroyed = tuple(self._rotations.abort(request))
            given_up = {
                usage.key.generation
                for usage in self._lister.usage()
                if usage.key.purpose is KeyPurpose.TOKEN
                and usage.key.state is KeyState.DESTROYED
                and usage.rows
            }
            rows = sum(
                clear_tokens(self._old_tokens, generation, self._progress)
                for generation in sorted(filter(None, given_up))
            )
        return Aborted(destroyed, rows)
