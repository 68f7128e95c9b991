"""Exit 74: no value is shown when an entry or a signature cannot be written, for any cause."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.audit.people import ADDRESSES, DEVICE
from tests.kit.processes import fails
from tests.kit.proxy import FaultProxy, Judge
from tests.kit.vault import Result, Vault

RAISE = """
CREATE FUNCTION vault_etl.injected() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN {body}; RETURN NEW; END $$
"""
HANG_UP = "PERFORM pg_terminate_backend(pg_backend_pid())"


@contextmanager
def trigger(vault: Vault, body: str, kind: str = "BEFORE INSERT ON audit_log") -> Iterator[None]:
    """A trigger of the superuser that runs this code at each insert."""
    name = "CONSTRAINT TRIGGER" if "AFTER" in kind else "TRIGGER"
    vault.sql(RAISE.format(body=body))
    vault.sql(f"CREATE {name} injected {kind} FOR EACH ROW EXECUTE FUNCTION vault_etl.injected()")
    try:
        yield
    finally:
        vault.sql("DROP FUNCTION vault_etl.injected() CASCADE")


def reveal(vault: Vault, record_id: str, kms: FaultProxy, **extra: str) -> Result:
    """Reveal a record with the proxy before KMS."""
    environment = {"AWS_ENDPOINT_URL_KMS": kms.url, **extra}
    return vault.run("reveal", "reveal", record_id, "--reason", "x", extra=environment)


def closed(result: Result, words: str) -> None:
    """Assert exit 74, and that no output has a value."""
    fails(result, 74, words)
    assert not any(value in result.stderr for value in (*ADDRESSES, DEVICE))


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("RAISE EXCEPTION 'x' USING ERRCODE = '53100'", "BEFORE INSERT ON audit_log"),
        ("RAISE EXCEPTION 'x' USING ERRCODE = '58030'", "BEFORE INSERT ON audit_log"),
        ("RAISE EXCEPTION 'x' USING ERRCODE = '55P03'", "BEFORE INSERT ON audit_log"),
        ("RAISE EXCEPTION 'x' USING ERRCODE = '40P01'", "BEFORE INSERT ON audit_log"),
        (HANG_UP, "BEFORE INSERT ON audit_log"),
        (HANG_UP, "AFTER INSERT ON audit_log DEFERRABLE INITIALLY DEFERRED"),
        (
            "RAISE EXCEPTION 'x' USING ERRCODE = '53100'",
            "AFTER INSERT ON audit_log DEFERRABLE INITIALLY DEFERRED",
        ),
    ],
    ids=[
        *("disk full", "input/output error", "lock timeout", "deadlock", "connection lost"),
        *("connection lost at the commit", "disk full at the commit"),
    ],
)
def test_an_intent_that_is_not_committed_shows_nothing(
    site: Vault, record_id: str, body: str, kind: str
) -> None:
    """KMS is not asked, and the log is as it was."""
    before = site.count("audit_log")
    with trigger(site, body, kind), FaultProxy(site.endpoint) as kms:
        result = reveal(site, record_id, kms)
    closed(result, "the audit log could not be written")
    assert "Decrypt" not in kms.operations()
    assert site.count("audit_log") == before


def test_a_read_only_database_shows_nothing(site: Vault, record_id: str) -> None:
    """A standby, or a server that is failing over, is read only: KMS is not asked."""
    on, off = (
        f'ALTER DATABASE "{site.database}" {verb} default_transaction_read_only'
        for verb in ("SET", "RESET")
    )
    site.sql(f"{on} = on")
    try:
        with FaultProxy(site.endpoint) as kms:
            result = reveal(site, record_id, kms)
    finally:
        site.sql(f"BEGIN READ WRITE; {off}; COMMIT")
    closed(result, "the audit log could not be written")
    assert "Decrypt" not in kms.operations()


def _sign(verdict: bool | str) -> Judge:
    return lambda call: verdict if call.operation == "Sign" else True


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        ("AccessDeniedException", "KMS denies this"),
        ("DisabledException", "KMS does not use this key"),
        ("KMSInternalException", "KMS did not do it"),
        (False, "KMS cannot be reached"),
    ],
    ids=["denied", "disabled", "failing", "down"],
)
def test_a_head_that_kms_does_not_sign_shows_nothing(
    site: Vault, record_id: str, verdict: bool | str, words: str
) -> None:
    """Opened values are withheld; intent and outcome are in the log, and `verify` lists the outcome."""
    before = site.count("audit_checkpoints")
    with FaultProxy(site.endpoint, _sign(verdict)) as kms:
        result = reveal(site, record_id, kms)
    closed(result, "the head of the audit log could not be signed")
    assert words in result.stderr
    assert "Decrypt" in kms.operations()
    last = site.sql("SELECT seq, phase, decision FROM audit_log ORDER BY seq DESC LIMIT 1")
    assert last[0][1:] == ("outcome", "done")
    assert site.count("audit_checkpoints") == before
    proof = site.ok("audit", "audit", "verify").json
    assert last[0][0] in proof["unsigned"]


def test_a_head_that_another_key_signs_shows_nothing(site: Vault, record_id: str) -> None:
    """The signature must be of the registered key: a moved alias withholds what was opened."""
    kms = site.emulator.client("kms")
    own = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["Arn"]

    extra = {
        **site.access_key("admin"),
        "VAULT_ETL_AUDIT_KEY": own,
    }
    result = site.run("reveal", "reveal", record_id, "--reason", "x", extra=extra)
    closed(result, "the key that signs is not the registered one")


@pytest.mark.parametrize(
    "body", ["RAISE EXCEPTION 'x' USING ERRCODE = '53100'", HANG_UP], ids=["disk full", "hung up"]
)
def test_a_checkpoint_that_is_not_stored_shows_nothing(
    site: Vault, record_id: str, body: str
) -> None:
    """A checkpoint that is signed and not stored does not count as signed."""
    with (
        trigger(site, body, "BEFORE INSERT ON audit_checkpoints"),
        FaultProxy(site.endpoint) as kms,
    ):
        result = reveal(site, record_id, kms)
    closed(result, "the head of the audit log could not be signed")
    assert "Sign" in kms.operations()


def test_a_reveal_without_a_registered_key_is_refused(site: Vault, record_id: str) -> None:
    """Exit 78 before the intent, with the command that mends it."""
    before = site.count("audit_log")
    site.sql(
        "ALTER TABLE audit_keys DISABLE TRIGGER ALL; CREATE TABLE kept AS TABLE audit_keys;"
        "DELETE FROM audit_keys"
    )
    try:
        with FaultProxy(site.endpoint) as kms:
            result = reveal(site, record_id, kms)
    finally:
        site.sql(
            "INSERT INTO audit_keys TABLE kept; DROP TABLE kept;"
            "ALTER TABLE audit_keys ENABLE TRIGGER ALL"
        )
    fails(result, 78, "no key is registered")
    assert "vault-etl audit checkpoint" in result.stderr
    assert kms.operations() == []
    assert site.count("audit_log") == before
