"""An intent before the work, an outcome after it, whatever happens in between."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from vault_etl.audit.entries import AuditReceipt, AuditRequest
from vault_etl.audit.log import AuditLog
from vault_etl.base.errors import (
    DeniedError,
    IntegrityError,
    KeyUnavailableError,
    NotFoundError,
    UnavailableError,
    UnusableKeyError,
    VaultEtlError,
)


@contextlib.contextmanager
def audited(audit: AuditLog, request: AuditRequest) -> Iterator[AuditReceipt]:
    """Commit the intent, run the block, commit the outcome.

    When the block raises, a failed outcome is committed and the error goes on. Raises AuditError
    if an entry is not certain to be committed, or the head not signed (`SignedLog`): then nothing
    may be shown. Raises PolicyDeniedError, before the block, for what the policy denies. Being
    killed in between leaves an intent without an outcome, which reads as "possibly revealed".

    After the block, the receipt has the checkpoint that the person keeps.
    """
    receipt = audit.intend(request)
    try:
        yield receipt
    except BaseException as error:
        audit.conclude(receipt, _error_code(error))
        raise
    audit.conclude(receipt)


def _error_code(error: BaseException) -> str:
    """A word for the log: the text of an error could say too much."""
    codes: tuple[tuple[type[BaseException], str], ...] = (
        (IntegrityError, "integrity"),
        (NotFoundError, "not_found"),
        (KeyUnavailableError, "key_unavailable"),
        (UnusableKeyError, "key_unavailable"),
        (DeniedError, "denied"),
        (UnavailableError, "unavailable"),
        (VaultEtlError, "failed"),
        (KeyboardInterrupt, "interrupted"),
    )
    return next((code for kind, code in codes if isinstance(error, kind)), "bug")
