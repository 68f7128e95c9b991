"""Checks of AWS: credentials, endpoints, KMS keys and the queue."""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from vault_etl.audit.log import Identity
from vault_etl.base.errors import ConfigurationError, UsageError
from vault_etl.doctor.diagnose import Verdict
from vault_etl.doctor.server import is_this_machine
from vault_etl.ingest.queue import QueueGauge
from vault_etl.keys.kms import SERVICE
from vault_etl.platform.aws_errors import Subject, translated

if TYPE_CHECKING:
    from types_boto3_kms.client import KMSClient


@dataclass(frozen=True, slots=True)
class KmsKey:
    """A KMS key, in the terms of KMS."""

    state: str
    spec: str
    usage: str


@dataclass(frozen=True, slots=True)
class KeyRequirement:
    """The spec and usage that a KMS key must have."""

    spec: str
    usage: str


WRAPS: Final = KeyRequirement("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT")
SIGNS: Final = KeyRequirement("ECC_NIST_P256", "SIGN_VERIFY")

_STATES: Final[Mapping[str, str]] = {
    "Disabled": "aws kms enable-key, under the break-glass role; find out who disabled it",
    "PendingDeletion": "aws kms cancel-key-deletion, at once: without this key nothing opens any more",
}


def identity(found: Identity) -> Verdict:
    """Check that the credentials work. Report the kind of caller and a role's name, which names no person."""
    kind, _, name = found.actor().split(":")[5].partition("/")
    if kind == "assumed-role":
        return Verdict.good(f"role {name.partition('/')[0]}")
    kinds = {"user": "an IAM user", "root": "the account's root user"}
    return Verdict.good(kinds.get(kind, "a federated user"))


def endpoints(urls: Mapping[str, str], *, is_key_of_aws: bool) -> Verdict:
    """Check that the endpoint of every service uses HTTPS, or is on this machine.

    An endpoint in plain text is a fault even if it claims to be an emulator: any server could claim this. With an
    access key that AWS cannot have issued, as in `docker-compose.yml`, no key of AWS KMS is in reach, whatever
    server answers: then the finding is a warning and no fault.
    """
    in_plain_text = {
        service: url
        for service, url in urls.items()
        if (parts := urllib.parse.urlsplit(url)).scheme != "https"
        and not is_this_machine(parts.hostname or "")
    }
    if not in_plain_text:
        return Verdict.good("HTTPS, or on this machine")
    hosts = sorted({urllib.parse.urlsplit(url).hostname or "?" for url in in_plain_text.values()})
    detail = f"{', '.join(in_plain_text)} in plain text, from {', '.join(hosts)}"
    if not is_key_of_aws:
        return Verdict.good(
            f"warning: {detail}; no fault with an access key that AWS did not issue"
        )
    return Verdict.bad(
        detail,
        "an https:// address in AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_… and endpoint_url, or none",
    )


def describe_key(kms: KMSClient, name: str) -> KmsKey:
    """Return the KMS key of this alias, id or ARN (kms:DescribeKey).

    Raises KeyUnavailableError if there is no such key, and UnavailableError, ConfigurationError or DeniedError.
    """
    with translated(SERVICE, Subject(name)):
        found = kms.describe_key(KeyId=name)["KeyMetadata"]
    # AWS always returns all three; an emulator may not.
    state, spec, usage = (
        str(found.get(name, f"no {name}")) for name in ("KeyState", "KeySpec", "KeyUsage")
    )
    return KmsKey(state, spec, usage)


def kms_key(found: KmsKey, name: str, required: KeyRequirement) -> Verdict:
    """Check that a KMS key is enabled, and has the spec and usage that its purpose requires."""
    if found.state != "Enabled":
        hint = _STATES.get(found.state, "see what the AWS console says about it")
        return Verdict.bad(f"{name} is not enabled: {found.state}", hint)
    if (found.spec, found.usage) != (required.spec, required.usage):
        return Verdict.bad(
            f"{name} is {found.spec}, {found.usage}",
            f"it must be {required.spec}, {required.usage}: the template of `vault-etl schema iam` makes it so",
        )
    return Verdict.good(f"{name} is enabled")


def queue(
    gauge: QueueGauge, dead_letters: Callable[[], QueueGauge], longest_receive: int
) -> Verdict:
    """Check that the queue has a dead-letter queue, and a visibility timeout longer than a receive (seconds)."""
    visibility = gauge.visibility_timeout()
    if visibility <= longest_receive:
        return Verdict.bad(
            f"its visibility timeout is {visibility} s, and a receive may take {longest_receive}",
            "set its VisibilityTimeout, for example to 60 s",
        )
    try:
        dead = dead_letters()
    except UsageError:  # a FIFO queue, which `ingest --dead-letters` does not read
        return Verdict.good(f"visibility timeout {visibility} s, FIFO")
    try:
        dead.visibility_timeout()
    except ConfigurationError:
        return Verdict.bad(
            "its dead-letter queue does not exist",
            "make the queue again: until then a message that fails is delivered forever",
        )
    return Verdict.good(f"visibility timeout {visibility} s, with a dead-letter queue")
