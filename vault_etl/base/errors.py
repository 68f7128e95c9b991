"""The project's own errors: one tree, each with its exit code and its hint.

    VaultEtlError                 1   a bug, if nothing more precise was raised
    ├── UsageError                2   the command line asks for something that it may not
    ├── DataError                65   data that does not hold together
    │   ├── IntegrityError       65   a value that does not open; says nothing about why
    │   ├── UnusableKeyError     65   a stored key that nothing here opens: the key is at fault
    │   │   └── KeyNotOpenedError 65  a key that KMS does not open under this context, for any caller
    │   └── OtherContentError    65   lines that are not those loaded under the same name before
    ├── NotFoundError            66   no such record, or no such input file
    │   └── MonthAwayError       66   no such record in the table, whose month is detached or archived
    ├── UnavailableError         69   SQS, KMS, Postgres or the source of AWS credentials is away
    ├── AuditError               74   the audit log could not be written
    ├── IncompleteError          75   stopped half way; safe to run again
    │   └── RateLimitedError     75   this login writes too much of the audit log in too short a time
    ├── DeniedError              77   KMS, Postgres or the reveal policy said no
    │   ├── LoginDeniedError     77   Postgres lets this login not do that: it has not the role for it
    │   ├── KeyUnavailableError  77   a KMS key that is disabled, or is not there
    │   │   └── KeyDeniedError   77   a KMS key that this caller may not use
    │   └── PolicyDeniedError    77   the reveal policy said no, on the record
    └── ConfigurationError       78   a setting, the database or the keys are not ready

Exit codes follow sysexits.h where it has one. Nothing below the command line exits or prints.
A message is lower case, has no final period, and never holds a personal value.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import ClassVar


class VaultEtlError(Exception):
    """What went wrong (`str(error)`), and what to do about it (`hint`, or None)."""

    exit_code: ClassVar[int] = 1
    word: ClassVar[str] = "a bug"
    """What it is, where there is no room for a sentence: on the live line, in a probe, in a metric."""
    service: str | None = None
    """Who failed: `postgres`, `sqs`, `kms`, `sts` or `credentials`; None if none of them did."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(VaultEtlError):
    """The command line asks for something that it may not."""

    exit_code = 2
    word = "a wrong option"


class DataError(VaultEtlError):
    """Stored data that does not hold together."""

    exit_code = 65
    word = "damaged data"


class IntegrityError(DataError):
    """A sealed value did not open. Deliberately opaque: the caller learns nothing about why."""

    def __init__(self) -> None:
        super().__init__(
            "a sealed value does not open: it, or its key, is not the one stored for it",
            hint="the row was changed by other hands, or restored in part: compare with a backup",
        )


class UnusableKeyError(DataError):
    """A stored key that nothing here opens, whoever asks: the key is at fault, and not the caller.

    It is destroyed, no key, wrapped by a KMS key that is not trusted here or is not the one that its row
    names, or does not have its fingerprint. Runs over many rows pass what is under it, and name it.
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
    """KMS says that these bytes are no key under this encryption context."""


class OtherContentError(DataError):
    """The lines of a source are not those that were loaded under its name before."""

    word = "other content"


class NotFoundError(VaultEtlError):
    """There is no such record, or no such input file."""

    exit_code = 66
    word = "not found"


class MonthAwayError(NotFoundError):
    """There is no such record in the table, and months are not in it: they are detached or archived."""

    word = "month away"


class UnavailableError(VaultEtlError):
    """SQS, KMS, Postgres or the source of AWS credentials is away, or does not answer in time."""

    exit_code = 69
    word = "unavailable"


class AuditError(VaultEtlError):
    """The audit log could not be written, so nothing was revealed."""

    exit_code = 74
    word = "log not written"


class IncompleteError(VaultEtlError):
    """The work stopped half way and is safe to run again."""

    exit_code = 75
    word = "not complete"


class RateLimitedError(IncompleteError):
    """This login writes too much of the audit log in too short a time: nothing was written."""

    word = "too many entries"


class DeniedError(VaultEtlError):
    """KMS, Postgres or the reveal policy said no."""

    exit_code = 77
    word = "denied"


class LoginDeniedError(DeniedError):
    """Postgres refuses a statement of this login, which has not the role for it."""


class KeyUnavailableError(DeniedError):
    """KMS refuses the KMS key that wraps a key: it is disabled, deleted, or not for this caller."""

    word = "key refused"


class KeyDeniedError(KeyUnavailableError):
    """KMS does not let this caller use a KMS key. Another caller may."""

    word = "key denied"


class PolicyDeniedError(DeniedError):
    """The reveal policy said no. The denied intent is an entry: `seq`, and its hash of 32 bytes."""

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
    """Errors of ours that pass here are this service's, unless they are another's already."""
    try:
        yield
    except VaultEtlError as error:
        error.service = error.service or service
        raise


def error_of_code(exit_code: int, message: str, hint: str | None) -> VaultEtlError:
    """The error that another process of ours ended with, from its exit code and its two lines."""
    kinds: list[type[VaultEtlError]] = VaultEtlError.__subclasses__()
    kind = next((kind for kind in kinds if kind.exit_code == exit_code), VaultEtlError)
    return kind(message, hint=hint)
