"""What the commands are made of: each part is built when it is first needed."""

from __future__ import annotations

import datetime as dt
import functools
import sys
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Self

from vault_etl.audit.checkpoint import Checkpoint
from vault_etl.audit.entries import AuditRequest
from vault_etl.audit.identity_sts import StsIdentity
from vault_etl.audit.kms import KmsHeadSigner, KmsPublicKey
from vault_etl.audit.postgres import (
    PostgresAuditLog,
)
from vault_etl.audit.postgres_checkpoints import PostgresCheckpoints
from vault_etl.audit.signed_log import SignedLog
from vault_etl.base import logs
from vault_etl.crypto.fields import KeyPurpose
from vault_etl.keys.age import KeyAgeObserver
from vault_etl.keys.kms import (
    KmsKeyFinder,
    KmsKeyGenerator,
    KmsKeyUnwrapper,
    KmsUnseenKeyGenerator,
    TrustedKeys,
)
from vault_etl.keys.make import DataKeyLeases
from vault_etl.keys.old import OldKeys
from vault_etl.keys.postgres import PostgresKeyStore
from vault_etl.keys.ring import MAX_CACHED_SECONDS, KeyReader, KeyRing
from vault_etl.keys.unwrap import ProvenUnwrapper
from vault_etl.platform.aws import AwsClients, CallObserver
from vault_etl.platform.clock import SystemClock
from vault_etl.platform.core_dumps import forbid_core_dumps
from vault_etl.platform.postgres import Database
from vault_etl.platform.postgres_connect import Password
from vault_etl.platform.postgres_passwords import password_of
from vault_etl.platform.postgres_replica import PostgresReplica
from vault_etl.platform.replica import SETTING as READ_SETTING
from vault_etl.platform.replica import Replica
from vault_etl.records.postgres import PostgresRecordLoader
from vault_etl.records.write_batch import BatchWriter
from vault_etl.settings import Settings


class Parts:
    """What commands share. Each part is built when it is first needed.

    `name` says to Postgres which command has a session, and which worker. What `reads_replica` looks
    through records, lists or the log at VAULT_ETL_READ_URL, if that is set.
    """

    def __init__(
        self, settings: Settings, name: str = "vault-etl", *, reads_replica: bool = False
    ) -> None:
        forbid_core_dumps()
        self._settings = settings
        self._name = name
        self._reads_replica = reads_replica
        self._clock = SystemClock()
        self._calls: CallObserver | None = None
        self._ages: KeyAgeObserver | None = None
        self.source: Replica | None = None
        """Where answers came from, if it was asked for elsewhere than at the primary."""

    def check_role(
        self, *roles: str, requests: Callable[[], Iterable[AuditRequest]] = tuple
    ) -> None:
        """Raise DeniedError unless the database's login acts as one of these roles.

        `requests` are then put on the record, as denied, if the login may write the log at all.
        """
        PostgresAuditLog(self._database).check_role(*roles, requests=requests)

    def audit_log(
        self,
        request_id: uuid.UUID | None = None,
        keep: Callable[[Checkpoint], None] | None = None,
    ) -> SignedLog:
        """The log for an audited command: its head is signed, stored and logged at the end."""
        signer = KmsHeadSigner(self._aws.kms(request_id), self._settings.audit_key)
        checkpoints = PostgresCheckpoints(self._database)
        keep = keep or keep_checkpoint
        return SignedLog(PostgresAuditLog(self._database), checkpoints, signer, keep)

    def identity(self) -> StsIdentity:
        """Who runs this command, by AWS's word."""
        return self._identity

    def batch_writer(self, *, strict: bool = False) -> BatchWriter:
        """What stores batches of messages, wherever they come from."""
        loader = PostgresRecordLoader(self._database)
        ring = self._ring(max_seconds=self._lease.total_seconds())
        return BatchWriter(
            loader, ring, self._leases(), self._clock, strict=strict or self._settings.strict
        )

    @functools.cached_property
    def _database(self) -> Database:
        return self._new_database()

    def _new_database(self, part: str = "") -> Database:
        """A connection of its own, for a part of the command that works beside the others.

        The source of the password is shared.
        """
        url = self._settings.need_database_url()
        return Database(url, self._calls, self._password, self._name + part)

    @functools.cached_property
    def _reads(self) -> Database:
        """What this command looks through records, lists or the log at: told, unless no other is set.

        Raises as `ReplicaFacts.check`.
        """
        if self._settings.read_url is None or not self._reads_replica:
            return self._database
        self.source = found = self._replica_facts().check()
        self._database.close()  # it would be idle for as long as a look takes
        what = "read from a replica" if found.is_replica else "read from the primary"
        logs.get_logger().info(what, server=found.server, behind_seconds=found.behind_s)
        return self._replica

    @functools.cached_property
    def _replica(self) -> Database:
        url = self._settings.need_read_url()
        return Database(url, self._calls, self._password, self._name, READ_SETTING)

    def _replica_facts(self) -> PostgresReplica:
        return PostgresReplica(self._database, self._replica, self._settings.read_max_lag)

    @functools.cached_property
    def _password(self) -> Password | None:
        source = self._settings.database_password
        return None if source is None else password_of(source, lambda: self._aws)

    @property
    def _public_key(self) -> KmsPublicKey:
        return KmsPublicKey(self._aws.kms(), self._settings.audit_key)

    @functools.cached_property
    def _identity(self) -> StsIdentity:
        return StsIdentity(self._aws.sts())

    @functools.cached_property
    def _keys(self) -> PostgresKeyStore:
        return PostgresKeyStore(self._database)

    @functools.cached_property
    def _aws(self) -> AwsClients:
        return AwsClients(self._calls)

    @functools.cached_property
    def _generator(self) -> KmsKeyGenerator:
        return KmsKeyGenerator(self._aws.kms(), self._key_names)

    def _unseen_generator(self, request_id: uuid.UUID | None = None) -> KmsUnseenKeyGenerator:
        return KmsUnseenKeyGenerator(self._aws.kms(request_id), self._key_names)

    @property
    def _key_names(self) -> Mapping[KeyPurpose, str]:
        return {
            KeyPurpose.DATA: self._settings.data_key,
            KeyPurpose.TOKEN: self._settings.token_key,
            KeyPurpose.SOURCE: self._settings.token_key,
        }

    def _ring(
        self,
        request_id: uuid.UUID | None = None,
        *,
        reader: KeyReader | None = None,
        max_seconds: float = MAX_CACHED_SECONDS,
    ) -> KeyRing:
        """Keys, unwrapped by a KMS that has to prove itself with the first of them."""
        unwrapper = ProvenUnwrapper(self._unwrapper(request_id))
        return KeyRing(reader or self._keys, unwrapper, max_seconds=max_seconds)

    @property
    def _lease(self) -> dt.timedelta:
        return dt.timedelta(hours=self._settings.lease_hours)

    def _unwrapper(self, request_id: uuid.UUID | None = None) -> KmsKeyUnwrapper:
        return KmsKeyUnwrapper(self._aws.kms(request_id), self._trusted)

    @functools.cached_property
    def _trusted(self) -> TrustedKeys:
        """Of a run over many keys: aliases are looked up once."""
        listed = frozenset(self._settings.trusted_key_arns)
        return TrustedKeys(self._aws.kms(), self._key_names, listed)

    def _old_keys(self, ring: KeyRing, request_id: uuid.UUID) -> OldKeys:
        """What opens the keys of many rows, and passes those that are at fault."""
        return OldKeys(
            ring,
            KmsKeyFinder(self._aws.kms(request_id), self._trusted),
            self._keys,
            self._generator,
            self._unwrapper(request_id),
        )

    def _leases(self) -> DataKeyLeases:
        return DataKeyLeases(
            self._generator,
            self._keys,
            self._clock,
            max_age=self._lease,
            max_seals=self._settings.lease_seals,
        )


class LastCheckpoint:
    """Keeps the newest signed head of many looks, which covers all before it, and logs it at their end."""

    def __init__(self) -> None:
        self.checkpoint: Checkpoint | None = None

    def __call__(self, checkpoint: Checkpoint) -> None:
        """Keep this one."""
        self.checkpoint = checkpoint

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.checkpoint is not None:
            keep_checkpoint(self.checkpoint)


def keep_checkpoint(checkpoint: Checkpoint) -> None:
    """Log a signed head: logs are kept where the database's owner cannot reach. A screen is no log."""
    logger = logs.get_logger()
    log = logger.debug if sys.stderr.isatty() else logger.info
    log("checkpoint", seq=checkpoint.head.seq, note=checkpoint.note)
