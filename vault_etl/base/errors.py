"""The project's own errors: one tree, each with its exit code and its hint.

    VaultEtlError                 1   a bug, unless a subclass says more
    ├── UsageError                2   the command line asks for something that is not allowed
    ├── DataError                65   stored data that is inconsistent
    │   ├── IntegrityError       65   a value that does not open; the error does not say why
    │   ├── UnusableKeyError     65   a stored key that no caller can open: the key is at fault
    │   │   └── KeyNotOpenedError 65  a key that KMS opens for no caller under this context
    │   └── OtherContentError    65   lines that differ from those loaded under the same name before
    ├── NotFoundError            66   no such record, or no such input file
    │   └── UnattachedMonthError       66   no such record in the table, and its month is detached or archived
    ├── UnavailableError         69   SQS, KMS, Postgres or the source of AWS credentials is unavailable
    ├── AuditError               74   the audit log could not be written
    ├── IncompleteError          75   stopped half way; safe to run again
    │   ├── RateLimitedError     75   this login writes too much of the audit log in too short a time
    │   └── StoppedError         75   SIGTERM came, at any moment of the work
    ├── DeniedError              77   KMS, Postgres or the reveal policy refused
    │   ├── LoginDeniedError     77   Postgres refuses a statement: this login has no role for it
    │   ├── KeyUnavailableError  77   a KMS key that is disabled or does not exist
    │   │   └── KeyDeniedError   77   a KMS key that this caller may not use
    │   └── PolicyDeniedError    77   the reveal policy refused, and an entry says so
    └── ConfigurationError       78   a setting, the database or the keys are not ready

Exit codes follow sysexits.h where it has one. Only the command line exits or prints.
A message is lower case, has no final period, and never holds a personal value.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import ClassVar


class VaultEtlError(Exception):
    """An error: `str(error)` is the message, and `hint` says what to do about it, or is None."""

    exit_code: ClassVar[int] = 1
    word: ClassVar[str] = "a bug"
    """The error in few words, for places without room for a sentence: the live line, a probe, a metric."""
    service: str | None = None
    """The service that failed: `postgres`, `sqs`, `kms`, `sts` or `credentials`; None if no service did."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint

    @property
    def named(self) -> str:
        """The service that failed, if one did, and the word."""
        return f"{self.service}: {self.word}" if self.service else self.word


class UsageError(VaultEtlError):
    """The command line asks for something that is not allowed."""

    exit_code = 2
    word = "a wrong option"


class DataError(VaultEtlError):
    """Stored data that is inconsistent."""

    exit_code = 65
    word = "damaged data"


class IntegrityError(DataError):
    """A sealed value did not open. Opaque by intent: the caller does not learn why."""

    def __init__(self) -> None:
        super().__init__(
            "a sealed value does not open: it, or its key, is not the one stored for it",
            hint="the row was changed by other hands, or restored in part: compare with a backup",
        )


class UnusableKeyError(DataError):
    """A stored key that no caller can open: the key is at fault, not the caller.

    The key is destroyed, malformed, wrapped by a KMS key that is not trusted here or differs from the
    one that its row names, or it does not have its fingerprint. A run over many rows skips the values
    under such a key, and names the key.
    """

    word = "an unusable key"

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(
            message,
            hint=hint
            or "compare its row of data_keys with a backup: if none has the key, what is under it is"
            " lost, and `vault-etl erase` takes it away",
        )


class KeyNotOpenedError(UnusableKeyError):
    """KMS says that these bytes are not a key under this encryption context."""


class OtherContentError(DataError):
    """The lines of a source differ from those that were loaded under its name before."""

    word = "other content"


class NotFoundError(VaultEtlError):
    """No such record, or no such input file, exists."""

    exit_code = 66
    word = "not found"


class UnattachedMonthError(NotFoundError):
    """No such record is in the table, and its month, or some month, is unattached: detached or archived."""

    word = "unattached month"


class UnavailableError(VaultEtlError):
    """SQS, KMS, Postgres or the source of AWS credentials is unavailable, or does not answer in time."""

    exit_code = 69
    word = "unavailable"


class AuditError(VaultEtlError):
    """The audit log could not be written, so nothing was revealed."""

    exit_code = 74
    word = "log not written"


class IncompleteError(VaultEtlError):
    """The work stopped half way. Running the command again is safe."""

    exit_code = 75
    word = "not complete"


class RateLimitedError(IncompleteError):
    """This login writes too many entries of the audit log in too short a time. Nothing was written."""

    word = "too many entries"


class StoppedError(IncompleteError):
    """SIGTERM came. It is raised at any moment: a commit that was under way may have succeeded."""

    word = "stopped"


class DeniedError(VaultEtlError):
    """KMS, Postgres or the reveal policy refused."""

    exit_code = 77
    word = "denied"


class LoginDeniedError(DeniedError):
    """Postgres refuses a statement: this login has no role for it."""


class KeyUnavailableError(DeniedError):
    """KMS refuses to use the KMS key that wraps a key: disabled, deleted, or not allowed for this caller."""

    word = "key refused"


class KeyDeniedError(KeyUnavailableError):
    """KMS does not let this caller use a KMS key. Another caller may."""

    word = "key denied"


class PolicyDeniedError(DeniedError):
    """The reveal policy refused. The denied intent is the entry `seq`, with its hash of 32 bytes."""

    def __init__(self, message: str, *, hint: str, seq: int, hash_: bytes) -> None:
        super().__init__(message, hint=hint)
        self.seq = seq
        self.hash = hash_


class ConfigurationError(VaultEtlError):
    """A setting is missing or malformed, or the database or the keys are not ready."""

    exit_code = 78
    word = "a wrong setting"


@contextlib.contextmanager
def of_service(service: str) -> Iterator[None]:
    """Set the service of our errors that pass through, unless they name a service already."""
    try:
        yield
    except VaultEtlError as error:
        error.service = error.service or service
        raise


def error_of_code(exit_code: int, message: str, hint: str | None) -> VaultEtlError:
    """Return the error that another process of ours ended with, from its exit code and its two lines."""
    kinds: list[type[VaultEtlError]] = VaultEtlError.__subclasses__()
    kind = next((kind for kind in kinds if kind.exit_code == exit_code), VaultEtlError)
    return kind(message, hint=hint)
