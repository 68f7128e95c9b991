"""Exit 74: when the log cannot be written, KMS is not asked, and nothing is shown."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.kit.denials import APPEND, REVOKE
from tests.kit.processes import fails
from tests.kit.proxy import Call, FaultProxy
from tests.kit.samples import a_record, stored_samples
from tests.kit.sessions import connect
from tests.kit.vault import Result, Vault


@pytest.fixture
def granted(loaded: Vault) -> Iterator[Vault]:
    """The shared vault, whose reveal role may append again afterwards."""
    yield loaded
    loaded.sql(f"GRANT EXECUTE ON FUNCTION {APPEND} TO vault_etl_reveal")


def test_without_the_right_to_append_nothing_is_decrypted(granted: Vault) -> None:
    """The reveal role that may not append gets exit 74, and KMS sees no Decrypt."""
    granted.sql(REVOKE)
    with FaultProxy(granted.endpoint) as kms:
        result = reveal(granted, kms)
    fails(result, 74, "the audit log could not be written")
    assert "Decrypt" not in kms.operations()


def test_a_locked_log_is_not_waited_for_for_ever(loaded: Vault) -> None:
    """With the head of the log locked, a reveal gives up after ten seconds: 74, and no Decrypt."""
    with (
        closing(connect(loaded.database_url("admin"))) as other,
        other.cursor() as cursor,
        FaultProxy(loaded.endpoint) as kms,
    ):
        cursor.execute("LOCK TABLE audit_turn IN EXCLUSIVE MODE")
        result = reveal(loaded, kms)
    fails(result, 74, "the audit log could not be written")
    assert "Decrypt" not in kms.operations()


def test_an_outcome_that_cannot_be_written_shows_nothing(granted: Vault) -> None:
    """The value was opened: exit 74, no value printed, and the log has the intent alone."""
    entries = granted.count("audit_log")

    def revoke_at_last_moment(call: Call) -> bool:
        if call.operation == "Decrypt":
            granted.sql(REVOKE)
        return True

    with FaultProxy(granted.endpoint, revoke_at_last_moment) as kms:
        result = reveal(granted, kms)
    fails(result, 74, "the audit log could not be written")
    assert "Decrypt" in kms.operations()
    for event in stored_samples():
        assert event["ip"] not in result.stderr
        assert event["device_id"] not in result.stderr
    assert granted.count("audit_log") == entries + 1
    assert granted.sql("SELECT phase FROM audit_log ORDER BY seq DESC LIMIT 1") == [("intent",)]


def test_the_decrypt_follows_the_committed_intent(loaded: Vault) -> None:
    """When KMS is asked, the intent is there for another session to see; its id is in the user agent."""
    seen = []

    def look(call: Call) -> bool:
        if call.operation == "Decrypt":
            last = "SELECT phase, request_id::text FROM audit_log ORDER BY seq DESC LIMIT 1"
            seen.append((*loaded.sql(last)[0], call.user_agent))
        return True

    with FaultProxy(loaded.endpoint, look) as kms:
        assert reveal(loaded, kms).code == 0
    assert seen
    for phase, request_id, user_agent in seen:
        assert phase == "intent"
        assert f"request/{request_id}" in user_agent


def reveal(vault: Vault, kms: FaultProxy) -> Result:
    """Reveal some record, with the proxy before KMS."""
    record_id, _ = a_record(vault)
    extra = {"AWS_ENDPOINT_URL_KMS": kms.url}
    return vault.run("reveal", "reveal", record_id, "--reason", "x", extra=extra)
