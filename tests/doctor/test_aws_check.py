"""Credentials work and name nobody, KMS keys are of their kind, the queue holds what it shows."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from vault_etl.base.errors import ConfigurationError, UsageError
from vault_etl.doctor.checks import aws
from vault_etl.doctor.views import KmsKey
from vault_etl.ingest.queue import QueueDepth

ROLE = "arn:aws:sts::111122223333:assumed-role/vault-etl-audit/ada"


@dataclass
class Somebody:
    """`Identity` of an ARN."""

    arn: str

    def actor(self) -> str:
        """See `Identity.actor`."""
        return self.arn

    def host(self) -> str:
        """See `Identity.host`."""
        return "host.example"


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
    """A session has the name of whoever took the role on."""
    verdict = aws.identity(Somebody(arn))
    assert (verdict.ok, verdict.detail) == (True, detail)


@dataclass
class Keys:
    """`KmsKeys` of one key."""

    key: KmsKey

    def describe(self, name: str) -> KmsKey:
        """See `KmsKeys.describe`."""
        assert name == "alias/x"
        return self.key


WRAPS = KmsKey("Enabled", "SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT")
SIGNS = KmsKey("Enabled", "ECC_NIST_P256", "SIGN_VERIFY")


@pytest.mark.parametrize(
    ("key", "kind", "ok"),
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
def test_a_kms_key_is_enabled_and_of_its_kind(key: KmsKey, kind: aws.Kind, ok: bool) -> None:
    """Else the line says what it is, and the hint what it must be."""
    verdict = aws.kms_key(Keys(key), "alias/x", kind)
    assert verdict.ok is ok
    assert bool(verdict.hint) is not ok
    assert "alias/x" in verdict.detail


class Gauge:
    """`QueueGauge` of a visibility timeout, or of a queue that is not there."""

    def __init__(self, seconds: int | None) -> None:
        self._seconds = seconds

    def depth(self) -> QueueDepth:
        """See `QueueGauge.depth`."""
        return QueueDepth(0, 0, 0)

    def visibility_timeout(self) -> int:
        """See `QueueGauge.visibility_timeout`."""
        if self._seconds is None:
            raise ConfigurationError("SQS has no such queue")
        return self._seconds


@pytest.mark.parametrize(("seconds", "ok"), [(0, False), (25, False), (26, True), (60, True)])
def test_a_message_stays_hidden_for_longer_than_a_receive_takes(seconds: int, ok: bool) -> None:
    """Else its handle is stale when it comes."""
    assert aws.queue(Gauge(seconds), lambda: Gauge(30), 25).ok is ok


def test_a_dead_letter_queue_that_is_gone_is_missed() -> None:
    """SQS goes on naming it."""
    verdict = aws.queue(Gauge(60), lambda: Gauge(None), 25)
    assert (verdict.ok, "dead-letter" in verdict.detail) == (False, True)


def test_a_fifo_queue_is_taken_as_it_is() -> None:
    """Ingest reads it; its dead letters it does not."""

    def fifo() -> Gauge:
        raise UsageError("--dead-letters cannot read a FIFO queue")

    assert aws.queue(Gauge(60), fifo, 25).ok
