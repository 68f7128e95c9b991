"""What AWS says: who asks, what kind of KMS keys there are, and how the queue is set up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from vault_etl.audit.log import Identity
from vault_etl.base.errors import ConfigurationError, UsageError
from vault_etl.doctor.doctor import Verdict
from vault_etl.doctor.views import KmsKeys
from vault_etl.ingest.queue import QueueGauge


@dataclass(frozen=True, slots=True)
class Kind:
    """What a KMS key has to be."""

    spec: str
    usage: str


WRAPS: Final = Kind("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT")
SIGNS: Final = Kind("ECC_NIST_P256", "SIGN_VERIFY")

_STATES: Final[Mapping[str, str]] = {
    "Disabled": "aws kms enable-key, under the break-glass role; find out who disabled it",
    "PendingDeletion": "aws kms cancel-key-deletion, at once: without it nothing opens any more",
}


def identity(found: Identity) -> Verdict:
    """The credentials work. Of whose they are the kind is told, and a role's name: no person's."""
    kind, _, name = found.actor().split(":")[5].partition("/")
    if kind == "assumed-role":
        return Verdict.good(f"role {name.partition('/')[0]}")
    kinds = {"user": "an IAM user", "root": "the account's root user"}
    return Verdict.good(kinds.get(kind, "a federated user"))


def kms_key(keys: KmsKeys, name: str, kind: Kind) -> Verdict:
    """There, enabled, and of the kind that its purpose needs."""
    found = keys.describe(name)
    if found.state != "Enabled":
        hint = _STATES.get(found.state, "see what the AWS console says of it")
        return Verdict.bad(f"{name} is not enabled: {found.state}", hint)
    if (found.spec, found.usage) != (kind.spec, kind.usage):
        return Verdict.bad(
            f"{name} is {found.spec}, {found.usage}",
            f"it must be {kind.spec}, {kind.usage}: keys/vault-etl.template.yaml makes it so",
        )
    return Verdict.good(f"{name} is enabled")


def queue(
    gauge: QueueGauge, dead_letters: Callable[[], QueueGauge], longest_receive: int
) -> Verdict:
    """There, with a visibility timeout that outlasts a receive (seconds), and a dead-letter queue."""
    visibility = gauge.visibility_timeout()
    if visibility <= longest_receive:
        return Verdict.bad(
            f"its visibility timeout is {visibility} s, and a receive may take {longest_receive}",
            "set its VisibilityTimeout: 60 s is a good one",
        )
    try:
        dead = dead_letters()
    except UsageError:  # a FIFO queue, which `ingest --dead-letters` does not read
        return Verdict.good(f"visibility timeout {visibility} s, FIFO")
    try:
        dead.visibility_timeout()
    except ConfigurationError:
        return Verdict.bad(
            "its dead-letter queue is not there",
            "make it anew: until then a message that fails comes round for ever",
        )
    return Verdict.good(f"visibility timeout {visibility} s, with a dead-letter queue")
