"""Checks of AWS: credentials, endpoints, KMS keys and the queue."""

from __future__ import annotations

import pytest
from typing_extensions import override

from tests.kit.fakes.identity import FakeIdentity
from vault_etl.base.errors import ConfigurationError, UsageError
from vault_etl.doctor import aws
from vault_etl.doctor.aws import KmsKey
from vault_etl.ingest.queue import QueueDepth, QueueGauge

ROLE = "arn:aws:sts::111122223333:assumed-role/vault-etl-audit/ada"


@pytest.mark.parametrize(
    ("arn", "detail"),
    [
        (ROLE, "role vault-etl-audit"),
        ("arn:aws:iam::111122223333:user/people/ada", "an IAM user"),
        ("arn:aws:iam::111122223333:root", "the account's root user"),
        ("arn:aws:sts::111122223333:federated-user/ada", "a federated user"),
    ],
)
def test_an_identity_names_no_person_and_no_account(arn: str, detail: str) -> None:
    """A session of a role has the name of the person who assumed it; the verdict leaves it out."""
    verdict = aws.identity(FakeIdentity(arn))
    assert (verdict.ok, verdict.detail) == (True, detail)


def test_an_endpoint_in_plain_text_is_a_fault_with_its_services() -> None:
    """The source of the endpoint does not matter; HTTPS and this machine are good."""
    fine = {"KMS": "https://kms.eu-west-1.amazonaws.com", "SQS": "http://127.0.0.1:4566"}
    assert aws.endpoints(fine, is_key_of_aws=True).ok
    for url in ("http://192.0.2.1:4566", "http://kms.internal", "http://127.0.0.1.evil.example"):
        verdict = aws.endpoints({**fine, "STS": url}, is_key_of_aws=True)
        assert (verdict.ok, verdict.detail.startswith("STS in plain text, from ")) == (False, True)
        assert "AWS_ENDPOINT_URL" in str(verdict.hint)


def test_plain_text_with_an_access_key_that_aws_did_not_issue_is_a_warning() -> None:
    """This is the case between the containers of `docker compose`: no key of AWS is in reach."""
    verdict = aws.endpoints({"KMS": "http://localstack:4566"}, is_key_of_aws=False)
    assert verdict.ok
    assert verdict.detail.startswith("warning: KMS in plain text, from localstack")


WRAPS = KmsKey("Enabled", "SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT")
SIGNS = KmsKey("Enabled", "ECC_NIST_P256", "SIGN_VERIFY")


@pytest.mark.parametrize(
    ("key", "required", "ok"),
    [
        (WRAPS, aws.WRAPS, True),
        (SIGNS, aws.SIGNS, True),
        (WRAPS, aws.SIGNS, False),
        (SIGNS, aws.WRAPS, False),
        (KmsKey("Enabled", "ECC_NIST_P256", "KEY_AGREEMENT"), aws.SIGNS, False),
        (KmsKey("Enabled", "ECC_NIST_P384", "SIGN_VERIFY"), aws.SIGNS, False),
        (KmsKey("Disabled", "SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT"), aws.WRAPS, False),
        (KmsKey("PendingDeletion", "ECC_NIST_P256", "SIGN_VERIFY"), aws.SIGNS, False),
        (KmsKey("PendingImport", "SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT"), aws.WRAPS, False),
    ],
)
def test_a_kms_key_is_enabled_and_meets_its_requirement(
    key: KmsKey, required: aws.KeyRequirement, ok: bool
) -> None:
    """Otherwise the verdict says what the key is, and the hint what it must be."""
    verdict = aws.kms_key(key, "alias/x", required)
    assert verdict.ok is ok
    assert bool(verdict.hint) is not ok
    assert "alias/x" in verdict.detail


class FakeGauge(QueueGauge):
    """A queue with this visibility timeout in seconds; None: a queue that does not exist."""

    def __init__(self, seconds: int | None) -> None:
        self._seconds = seconds

    @override
    def depth(self) -> QueueDepth:
        return QueueDepth(0, 0, 0)

    @override
    def visibility_timeout(self) -> int:
        if self._seconds is None:
            raise ConfigurationError("SQS has no such queue")
        return self._seconds


@pytest.mark.parametrize(("seconds", "ok"), [(0, False), (25, False), (26, True), (60, True)])
def test_a_message_stays_hidden_for_longer_than_a_receive_takes(seconds: int, ok: bool) -> None:
    """Otherwise its receipt handle is stale when the receive ends."""
    assert aws.queue(FakeGauge(seconds), lambda: FakeGauge(30), 25).ok is ok


def test_a_dead_letter_queue_that_was_deleted_is_a_fault() -> None:
    """SQS still names a queue that was deleted."""
    verdict = aws.queue(FakeGauge(60), lambda: FakeGauge(None), 25)
    assert (verdict.ok, "dead-letter" in verdict.detail) == (False, True)


def test_a_fifo_queue_is_good() -> None:
    """Ingest reads a FIFO queue, but not its dead letters."""

    def fifo() -> FakeGauge:
        raise UsageError("--dead-letters cannot read a FIFO queue")

    assert aws.queue(FakeGauge(60), fifo, 25).ok
