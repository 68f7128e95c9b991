"""The beginning of a rotation of the token keys: a pending generation, made or found."""

from __future__ import annotations

from vault_etl.audit.entries import AuditRequest
from vault_etl.crypto.fields import PERSONAL_FIELDS, KeyPurpose
from vault_etl.crypto.keys import KeyState
from vault_etl.keys.make import NewKey, UnseenKeyGenerator, make_unseen_key
from vault_etl.keys.ring import KeyReader
from vault_etl.keys.unwrap import KeyUnwrapper, prove_kms
from vault_etl.rotation.ranges import OpenRotation
from vault_etl.rotation.rotations import TokenRotations


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
