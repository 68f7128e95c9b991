"""For the other commands of `keys`."""

from __future__ import annotations

import uuid

from vault_etl.app.parts import Parts
from vault_etl.audit.entries import AuditRequest
from vault_etl.crypto.fields import KeyPurpose
from vault_etl.crypto.keys import KeyState
from vault_etl.keys.age import KeyAge, key_age
from vault_etl.keys.destroy import KeyDestruction, UnusedKeyDestruction
from vault_etl.keys.init import InitReport, init_keys
from vault_etl.keys.kms import KmsKeyFinder, KmsKeyRewrapper, KmsKeyUnwrapper
from vault_etl.keys.needed import DoomedKeys
from vault_etl.keys.postgres import PostgresKeyStore, PostgresWrappedKeys
from vault_etl.keys.postgres_destroy import PostgresKeyEnder, PostgresKeyNeeds, PostgresOldTokens
from vault_etl.keys.rewrap import KeyRewrap, Rewrap, RewrapTarget
from vault_etl.platform.clock import Progress


class KeysProgram(Parts):
    """What the other commands of `keys` need."""

    def init_keys(self) -> InitReport:
        """Run `keys init`."""
        store = self._keys
        return init_keys(
            reader=store,
            writer=store,
            generator=self._unseen_generator(),
            unwrapper=self._unwrapper(),
            audit=self.audit_log(),
            identity=self.identity(),
        )

    def key_lister(self) -> PostgresKeyStore:
        """For `keys list`, `keys destroy --unused`, and the plan of a rotation."""
        return PostgresKeyStore(self._reads)

    def key_age(self, purpose: KeyPurpose) -> KeyAge:
        """For `keys rotate --if-due`: whether the keys of this purpose are due.

        Raises UnavailableError, DeniedError, ConfigurationError.
        """
        return key_age(purpose, self._keys.oldest(KeyState.ACTIVE), self._settings.key_age_limits)

    def wrapped_keys(self) -> PostgresWrappedKeys:
        """For `keys rewrap`: what there is to wrap anew."""
        return PostgresWrappedKeys(self._database)

    def rewrap(self, progress: Progress) -> Rewrap:
        """For `keys rewrap`: KMS is asked by each key's own request id, in the user agent."""
        return Rewrap(self._key_rewrap, self.identity(), progress)

    def rewrap_target(self, request: AuditRequest | None) -> RewrapTarget:
        """For `keys rewrap --to`."""
        request_id = request.request_id if request else None
        kms_keys = KmsKeyFinder(self._aws.kms(request_id), self._trusted)
        return RewrapTarget(self.audit_log(request_id), kms_keys)

    def doomed_keys(self) -> DoomedKeys:
        """For `keys destroy`: what would go, and what needs it."""
        return DoomedKeys(self._keys, PostgresKeyNeeds(self._database))

    def destroy_key(self, progress: Progress, request_id: uuid.UUID) -> KeyDestruction:
        """For `keys destroy`."""
        return KeyDestruction(
            audit=self.audit_log(request_id),
            doomed_keys=self.doomed_keys(),
            ender=PostgresKeyEnder(self._database),
            old_tokens=PostgresOldTokens(self._database),
            progress=progress,
        )

    def destroy_unused_keys(
        self, progress: Progress, request_id: uuid.UUID
    ) -> UnusedKeyDestruction:
        """For `keys destroy --unused`."""
        return UnusedKeyDestruction(
            audit=self.audit_log(request_id),
            lister=self._keys,
            ender=PostgresKeyEnder(self._database),
            progress=progress,
        )

    def _key_rewrap(self, request_id: uuid.UUID) -> KeyRewrap:
        kms = self._aws.kms(request_id)
        return KeyRewrap(
            self.audit_log(request_id),
            KmsKeyRewrapper(kms, self._trusted),
            KmsKeyUnwrapper(kms, self._trusted),
            self.wrapped_keys(),
        )
