"""Parts that all commands share: settings, clock, connections to Postgres, clients of AWS.

A part is imported when it is built: a command that asks no AWS does not import botocore, which takes longer than all
of the rest.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING

from vault_etl.app.declaration import declaration_in_force
from vault_etl.base import logs
from vault_etl.crypto.fields import KeyPurpose
from vault_etl.declaration.model import Declaration
from vault_etl.platform.calls import CallObserver
from vault_etl.platform.clock import SystemClock
from vault_etl.platform.replica import Replica
from vault_etl.settings.model import Settings

if TYPE_CHECKING:
    from vault_etl.audit.aws import StsIdentity
    from vault_etl.audit.postgres_checkpoints import PostgresCheckpoints
    from vault_etl.keys.age import KeyAgeObserver
    from vault_etl.keys.kms import TrustedKeys
    from vault_etl.keys.unwrap import KmsProof
    from vault_etl.platform.aws import AwsClients
    from vault_etl.platform.postgres import Database
    from vault_etl.platform.postgres_connect import Password
    from vault_etl.platform.postgres_replica import PostgresReplica
    from vault_etl.platform.traces import Traces


class Parts:
    """Shared parts of one run. Each is built when a function first asks for it.

    `name` tells Postgres which command has a session, and which worker. With `reads_replica`, and if
    VAULT_ETL_READ_URL is set, `reads` is the replica. `calls` and `key_ages` are told of calls to AWS and
    Postgres and of the ages of keys, and `traces` makes spans: set them before the part that they observe is built.
    """

    def __init__(
        self, settings: Settings, name: str = "vault-etl", *, reads_replica: bool = False
    ) -> None:
        self.settings = settings
        self.clock = SystemClock()
        self.calls: CallObserver | None = None
        self.key_ages: KeyAgeObserver | None = None
        self.traces: Traces | None = None
        self.source: Replica | None = None
        """The server that `reads` chose; None if that is the primary, or is not chosen yet."""
        self.names = settings.names
        self.compared_at = -math.inf
        """The monotonic time when the declaration in force was last compared (`in_force`)."""
        self._databases: list[Database] = []
        self._name = name
        self._reads_replica = reads_replica

    @functools.cached_property
    def declaration(self) -> Declaration:
        """The declaration in force, read once. Raises ConfigurationError."""
        return declaration_in_force(self.settings.schema_file)

    @functools.cached_property
    def database(self) -> Database:
        """The primary. It connects when it is first used."""
        return self.new_database()

    def new_database(self, part: str = "") -> Database:
        """Another connection to the primary, for a part of the command that runs beside the others.

        All connections share the source of the password.
        """
        from vault_etl.platform.postgres import Database

        url = self.settings.need_database_url()
        made = Database(url, self.calls, self._password, self._name + part, names=self.names)
        self._databases.append(made)
        return made

    def close(self) -> None:
        """End the connections to the primary. A command does without: they end with it."""
        for database in self._databases:
            database.close()

    @functools.cached_property
    def reads(self) -> Database:
        """The server that lists, `duplicates` and the verification of the log read; logged if it is the replica.

        Raises the errors of `PostgresReplica.check`.
        """
        if self.settings.read_url is None or not self._reads_replica:
            return self.database
        self.source = found = self.replica_facts().check()
        self.database.close()  # it would be idle for as long as the command reads
        what = "read from a replica" if found.is_replica else "read from the primary"
        logs.get_logger().info(what, server=found.server, behind_seconds=found.behind_s)
        return self.replica

    @functools.cached_property
    def replica(self) -> Database:
        """The server at VAULT_ETL_READ_URL. Raises ConfigurationError if that is not set."""
        from vault_etl.platform.postgres import Database
        from vault_etl.platform.replica import SETTING

        url = self.settings.need_read_url()
        return Database(url, self.calls, self._password, self._name, SETTING, self.names)

    def replica_facts(self) -> PostgresReplica:
        """The facts that decide whether the replica may be read."""
        from vault_etl.platform.postgres_replica import PostgresReplica

        return PostgresReplica(self.database, self.replica, self.settings.read_max_lag)

    @functools.cached_property
    def aws(self) -> AwsClients:
        """The clients of AWS."""
        from vault_etl.platform.aws import AwsClients

        return AwsClients(self.calls)

    @functools.cached_property
    def identity(self) -> StsIdentity:
        """The caller of this command, as AWS knows it; STS is asked once."""
        from vault_etl.audit.aws import StsIdentity

        return StsIdentity(self.aws.sts())

    @functools.cached_property
    def kms_proof(self) -> KmsProof:
        """The proof of the KMS, which the first unwrapped key gives."""
        from vault_etl.keys.unwrap import KmsProof

        return KmsProof()

    @functools.cached_property
    def checkpoints(self) -> PostgresCheckpoints:
        """The checkpoints in the primary; the keys that sign are read once a run."""
        from vault_etl.audit.postgres_checkpoints import PostgresCheckpoints

        return PostgresCheckpoints(self.database)

    @functools.cached_property
    def trusted_keys(self) -> TrustedKeys:
        """The KMS keys that may have wrapped our keys. A run over many keys looks up the aliases once."""
        from vault_etl.keys.kms import TrustedKeys

        listed = frozenset(self.settings.trusted_key_arns)
        return TrustedKeys(self.aws.kms(), self.kms_keys, listed)

    @property
    def kms_keys(self) -> dict[KeyPurpose, str]:
        """The KMS key that wraps the keys of each purpose."""
        return {
            KeyPurpose.DATA: self.settings.data_key,
            KeyPurpose.TOKEN: self.settings.token_key,
            KeyPurpose.SOURCE: self.settings.token_key,
        }

    @functools.cached_property
    def _password(self) -> Password | None:
        from vault_etl.platform.postgres_passwords import password_of

        source = self.settings.database_password
        return None if source is None else password_of(source, lambda: self.aws)
