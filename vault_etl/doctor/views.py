"""What `doctor` looks at, beside what other commands use: each port as one role or another may see it.

All raise UnavailableError, ConfigurationError, and DeniedError for what the caller may not see.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from vault_etl.audit.chain import StoredCheckpoint
from vault_etl.crypto.fields import KeyPurpose


@dataclass(frozen=True, slots=True)
class Miscount:
    """Of a field's key, or of `token`'s generation, in a month (2026-01): what is kept, and what is there."""

    field: str
    number: int
    month: str
    kept: int
    counted: int


@dataclass(frozen=True, slots=True)
class Server:
    """A database server. `version` is as in `server_version_num`: 160004."""

    version: int
    encoding: str
    pooled: bool
    """Whether what answered the connection is no session of the server: a pooler such as PgBouncer."""
    as_login: bool
    """Whether the server takes this for the login that it was asked as."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A replication slot of the server, of whatever database."""

    name: str
    active: bool
    """Whether its consumer is connected."""
    wal_status: str
    """`reserved`, `extended`, `unreserved` or `lost`."""
    held_bytes: int
    """Of WAL, which the server keeps for it."""


@dataclass(frozen=True, slots=True)
class Transport:
    """How the database is reached, by libpq's own word: URL, service file and environment together."""

    sslmode: str
    hosts: Sequence[str]
    """Every server that it may turn to: addresses, names, or paths of Unix sockets."""


@dataclass(frozen=True, slots=True)
class LoginRights:
    """Of the login that asks."""

    superuser: bool
    roles: Sequence[str]
    """The roles `vault_etl_…` that it acts as."""


@dataclass(frozen=True, slots=True)
class OddMember:
    """A login or group of the cluster that may more than a login with one of our roles."""

    name: str
    what: str
    """What it has or may do."""
    is_fault: bool
    """False: an administrator or a backup may need it."""


@dataclass(frozen=True, slots=True)
class Unsigned:
    """What of the audit log no checkpoint covers."""

    entries: int
    oldest: dt.timedelta | None
    """How long ago the first of them was written."""


@dataclass(frozen=True, slots=True)
class Wrapping:
    """How many keys of a purpose, destroyed ones aside, a KMS key has wrapped."""

    purpose: KeyPurpose
    kms_key_arn: str
    keys: int


@dataclass(frozen=True, slots=True)
class Holder:
    """The session that holds the turn to write the audit log, and for how long at most."""

    pid: int
    login: str
    seconds: float
    """Since its transaction began."""


@dataclass(frozen=True, slots=True)
class Turn:
    """The turn to write the audit log."""

    holder: Holder | None
    visible: bool
    """Whether the database may tell since when a session holds it."""


@dataclass(frozen=True, slots=True)
class KmsKey:
    """A KMS key, in KMS's own words."""

    state: str
    spec: str
    usage: str


class ServerFacts(Protocol):
    """Visible to every login."""

    def server(self) -> Server:
        """Version and encoding."""

    def transport(self) -> Transport:
        """How the server is reached."""

    def fence_bytes(self) -> int:
        """The size of `key_fence`: 0 unless it ever held a row."""

    def missing_months(self, ahead: int) -> Sequence[str]:
        """The months (2026-01) without a partition, from the present one to `ahead` later."""

    def detached_months(self) -> Sequence[str]:
        """The names of the tables in the place of detached months."""

    def archives(self) -> Sequence[ClosedArchive]:
        """Of closed months."""


@dataclass(frozen=True, slots=True)
class ClosedArchive:
    """A month's archive: whether the rows are there alone, and how many erasures it does not have."""

    partition: str
    alone: bool
    erasures: int


class SlotFacts(Protocol):
    """Visible to every login."""

    def slots(self) -> Sequence[Slot]:
        """All of them, by name."""


class LogFacts(Protocol):
    """Visible to every login."""

    def log_settings(self) -> Mapping[str, str]:
        """The server's settings that say which statements are logged, and how; none of a module that is not loaded."""


class LoginFacts(Protocol):
    """Visible to every login: who has which role is in the catalog."""

    def rights(self) -> LoginRights:
        """Of this login."""

    def mixed_logins(self) -> Mapping[str, bool]:
        """The logins that may ingest or reveal and read tokens, superusers aside; true of the one that asks."""

    def odd_members(self) -> Sequence[OddMember]:
        """Members of our roles that act as the owner, or have attributes or roles beside ours; faults first."""


class SignedState(Protocol):
    """For the role audit. Nothing in it is believed."""

    def registrations(self) -> Sequence[tuple[int, str]]:
        """Of each registration of a key that signs the seq of its entry and the note, the newest first."""

    def checkpoints(self) -> tuple[uuid.UUID | None, Sequence[StoredCheckpoint]]:
        """The vault's id, if it has one, and the newest checkpoints: a few hundred at most."""

    def unsigned(self, signed_seq: int) -> Unsigned:
        """What is behind the entry that is signed."""


class TurnHolder(Protocol):
    """For the role audit."""

    def turn(self) -> Turn:
        """Who holds the turn to write the audit log now."""


class KeyWrappings(Protocol):
    """For whoever may read `data_keys`."""

    def wrappings(self) -> Sequence[Wrapping]:
        """By purpose and KMS key."""


@dataclass(frozen=True, slots=True)
class TokenGenerations:
    """The generation that is active, the one that the table's constraint names, and rows of others."""

    active: int | None
    held: int | None
    others: int
    looked_at: int


class ValueCounts(Protocol):
    """For whoever may list keys."""

    def token_generations(self, *, every_row: bool) -> TokenGenerations:
        """By a sample of each partition, or by all rows."""

    def miscounted(self) -> Sequence[Miscount]:
        """Where the counts that each commit keeps are not those of the rows. Reads all of them."""


class KmsKeys(Protocol):
    """May look at a KMS key (kms:DescribeKey)."""

    def describe(self, name: str) -> KmsKey:
        """The key of this alias, id or ARN. Raises KeyUnavailableError if there is none."""


class Trust(Protocol):
    """Which KMS keys may have wrapped ours."""

    def trusts(self, purpose: KeyPurpose, arn: str) -> bool:
        """Whether keys of this purpose may be wrapped by the KMS key `arn`."""
