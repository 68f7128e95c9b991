"""An intent before the work and an outcome after it, or no work at all."""

from __future__ import annotations

import pytest

from tests.kit.fakes.vault import FakeVault, reveal_request
from vault_etl.audit.entries import Phase
from vault_etl.audit.log import audited
from vault_etl.base.errors import (
    AuditError,
    ConfigurationError,
    DeniedError,
    IntegrityError,
    KeyUnavailableError,
    NotFoundError,
    UnavailableError,
)


def entries(vault: FakeVault) -> list[tuple[str, str, str | None]]:
    """Phase, decision and error code of every entry."""
    return [(e.phase, e.decision, e.error_code) for e in vault.database.audit]


def test_the_intent_is_committed_before_the_block(fake_vault: FakeVault) -> None:
    """The outcome is committed after the block, under the same request id."""
    with audited(fake_vault.audit, reveal_request(None)) as receipt:
        assert entries(fake_vault) == [("intent", "allowed", None)]
        assert receipt.seq == 1
    assert entries(fake_vault) == [("intent", "allowed", None), ("outcome", "done", None)]
    assert len({entry.request_id for entry in fake_vault.database.audit}) == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (IntegrityError(), "integrity"),
        (NotFoundError("none"), "not_found"),
        (KeyUnavailableError("no"), "key_unavailable"),
        (DeniedError("no"), "denied"),
        (UnavailableError("away"), "unavailable"),
        (ConfigurationError("bad"), "failed"),
        (KeyboardInterrupt(), "interrupted"),
        (ZeroDivisionError("198.51.100.7"), "bug"),
        (SystemExit(1), "bug"),
    ],
)
def test_a_failure_is_an_outcome_and_is_raised(
    fake_vault: FakeVault, error: BaseException, code: str
) -> None:
    """The outcome has a word for the failure; the text of an error could say too much."""
    with pytest.raises(type(error)) as caught, audited(fake_vault.audit, reveal_request(None)):
        raise error
    assert caught.value is error
    assert entries(fake_vault) == [("intent", "allowed", None), ("outcome", "failed", code)]


def test_without_an_intent_the_block_does_not_run(fake_vault: FakeVault) -> None:
    """The log fails closed."""
    fake_vault.audit.broken = {Phase.INTENT}
    ran = False
    with pytest.raises(AuditError), audited(fake_vault.audit, reveal_request(None)):
        ran = True
    assert not ran


def test_without_an_outcome_the_block_has_failed(fake_vault: FakeVault) -> None:
    """A result without a committed outcome must not be shown."""
    fake_vault.audit.broken = {Phase.OUTCOME}
    with pytest.raises(AuditError), audited(fake_vault.audit, reveal_request(None)):
        pass
    assert entries(fake_vault) == [("intent", "allowed", None)]


def test_a_failure_that_cannot_be_logged_is_an_audit_error(fake_vault: FakeVault) -> None:
    """The failure of the log takes the place of the block's own."""
    fake_vault.audit.broken = {Phase.OUTCOME}
    with pytest.raises(AuditError), audited(fake_vault.audit, reveal_request(None)):
        raise UnavailableError("away")
