"""Nothing is said in plain text, or to an unproven server, outside this machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from tests.kit.fakes.identity import FakeIdentity
from vault_etl.doctor.checks import transport
from vault_etl.doctor.views import Transport

AWAY = "db.internal"
HERE = [
    "127.0.0.1",
    "127.9.9.9",
    "::1",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "",
    "/run/pg",
    "@pg",
]


@dataclass
class Facts:
    """A server that is reached like this."""

    sslmode: str
    hosts: list[str]

    def transport(self) -> Transport:
        """See `ServerFacts.transport`."""
        return Transport(self.sslmode, self.hosts)


def tls(sslmode: str, *hosts: str, account: str = "111122223333") -> Any:  # noqa: ANN401 - a verdict
    """The verdict on this, with an AWS account."""
    facts: Any = Facts(sslmode, list(hosts))
    caller = FakeIdentity()
    caller.actor = lambda: f"arn:aws:iam::{account}:user/x"  # type: ignore[method-assign]
    return transport.postgres_tls(facts, lambda: caller)


@pytest.mark.parametrize(
    "sslmode", ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]
)
def test_a_server_elsewhere_needs_verify_full(sslmode: str) -> None:
    """Each weaker mode lets somebody in between read, or answer; one host of many is enough."""
    for hosts in ([AWAY], ["192.0.2.1"], ["127.0.0.1", AWAY], ["localhost.evil.example"]):
        verdict = tls(sslmode, *hosts)
        assert verdict.ok is (sslmode == "verify-full"), hosts
        assert bool(verdict.hint) is not verdict.ok
        assert sslmode in verdict.detail


@pytest.mark.parametrize("host", HERE)
def test_this_machine_needs_none(host: str) -> None:
    """Loopback addresses, and Unix sockets."""
    assert tls("disable", host).ok


def test_in_an_emulator_it_is_a_warning() -> None:
    """No key there is worth anything; it is said all the same."""
    verdict = tls("prefer", AWAY, account="000000000000")
    assert verdict.ok
    assert verdict.detail.startswith("warning: sslmode=prefer to db.internal")


def test_an_endpoint_in_plain_text_is_told_with_its_services() -> None:
    """Wherever it came from; HTTPS and this machine are fine."""
    fine = {"KMS": "https://kms.eu-west-1.amazonaws.com", "SQS": "http://127.0.0.1:4566"}
    assert transport.aws_endpoints(fine, is_key_of_aws=True).ok
    for url in ("http://192.0.2.1:4566", "http://kms.internal", "http://127.0.0.1.evil.example"):
        verdict = transport.aws_endpoints({**fine, "STS": url}, is_key_of_aws=True)
        assert (verdict.ok, verdict.detail.startswith("STS in plain text, from ")) == (False, True)
        assert "AWS_ENDPOINT_URL" in str(verdict.hint)


def test_with_an_access_key_that_is_none_of_aws_it_is_a_warning() -> None:
    """As between the containers of `docker compose`: no key of AWS's is in reach."""
    verdict = transport.aws_endpoints({"KMS": "http://localstack:4566"}, is_key_of_aws=False)
    assert verdict.ok
    assert verdict.detail.startswith("warning: KMS in plain text, from localstack")
