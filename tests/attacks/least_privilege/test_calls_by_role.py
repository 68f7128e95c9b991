"""Every role's own access key against the emulator, which judges by the template's policies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.kit.vault import emulator_session
from vault_etl.local.provision import EmulatorSession, Provisioned

pytestmark = pytest.mark.iam

ROLES = ("owner", "ingest", "reveal", "rotate", "re-encrypt", "erase", "audit", "analyst")
NOBODY: frozenset[str] = frozenset()
WRITERS = frozenset({"ingest", "re-encrypt"})
ROTATORS = frozenset({"rotate", "re-encrypt"})


@dataclass(frozen=True, slots=True)
class Scene:
    """One data key and one token key as an administrator made them, and a KMS key of a thief's own."""

    provisioned: Provisioned
    data_blob: bytes
    token_blob: bytes
    own_key: str

    @property
    def data(self) -> str:
        """The ARN of the KMS key behind the data keys."""
        return self.provisioned.key_arns["data"]

    @property
    def token(self) -> str:
        """The ARN of the KMS key behind the token keys."""
        return self.provisioned.key_arns["token"]

    @property
    def audit(self) -> str:
        """The ARN of the KMS key that signs the log."""
        return self.provisioned.key_arns["audit"]


Call = Callable[[Any, Any, Scene], object]


def context(purpose: str, field: str = "ip", **more: str) -> dict[str, str]:
    """The encryption context of key 7."""
    return {"app": "vault-etl", "purpose": purpose, "field": field, "key_id": "7", **more}


def _make(key: str, *, purpose: str = "", **more: str) -> Call:
    return lambda kms, _, scene: kms.generate_data_key(
        KeyId=scene.provisioned.key_arns[key],
        NumberOfBytes=32,
        EncryptionContext=context(purpose or key, **more),
    )


def _make_unseen(key: str, *, purpose: str = "", **more: str) -> Call:
    return lambda kms, _, scene: kms.generate_data_key_without_plaintext(
        KeyId=scene.provisioned.key_arns[key],
        NumberOfBytes=32,
        EncryptionContext=context(purpose or key, **more),
    )


def _open(purpose: str) -> Call:
    return lambda kms, _, scene: kms.decrypt(
        KeyId=scene.provisioned.key_arns[purpose],
        CiphertextBlob=scene.data_blob if purpose == "data" else scene.token_blob,
        EncryptionContext=context(purpose),
    )


def _rewrap(purpose: str, *, to_own: bool = False) -> Call:
    return lambda kms, _, scene: kms.re_encrypt(
        CiphertextBlob=scene.data_blob if purpose == "data" else scene.token_blob,
        SourceEncryptionContext=context(purpose),
        DestinationKeyId=scene.own_key if to_own else scene.provisioned.key_arns[purpose],
        DestinationEncryptionContext=context(purpose),
    )


def _sign(key: str = "audit", **more: str) -> Call:
    return lambda kms, _, scene: kms.sign(
        KeyId=scene.provisioned.key_arns[key],
        Message=b"h" * 32,
        SigningAlgorithm="ECDSA_SHA_256",
        **more,
    )


CALLS: dict[str, tuple[Call, frozenset[str]]] = {
    "make a data key": (_make("data"), WRITERS),
    "make a data key with a fifth pair": (_make("data", more="x"), NOBODY),
    "make a data key of a field unheard of": (_make("data", field="user_id"), NOBODY),
    "make a token key and see it": (_make("token"), NOBODY),
    "make a token key": (_make_unseen("token"), frozenset({"re-encrypt"})),
    "make a token key with a fifth pair": (_make_unseen("token", more="x"), NOBODY),
    "make a data key unseen": (_make_unseen("data"), NOBODY),
    "make the source key": (
        _make_unseen("token", purpose="source", field="source"),
        frozenset({"re-encrypt"}),
    ),
    "make the source key and see it": (_make("token", purpose="source", field="source"), NOBODY),
    "make a token key of the field source": (_make_unseen("token", field="source"), NOBODY),
    "open a data key": (_open("data"), frozenset({"reveal", "re-encrypt"})),
    "open a token key": (_open("token"), frozenset({"ingest", "reveal", "re-encrypt"})),
    "rewrap a data key": (_rewrap("data"), ROTATORS),
    "rewrap a token key": (_rewrap("token"), ROTATORS),
    "rewrap a data key to a key of one's own": (_rewrap("data", to_own=True), NOBODY),
    "rewrap a token key to a key of one's own": (_rewrap("token", to_own=True), NOBODY),
    "encrypt by hand": (
        lambda kms, _, scene: kms.encrypt(
            KeyId=scene.data, Plaintext=b"x", EncryptionContext=context("data")
        ),
        NOBODY,
    ),
    "grant": (
        lambda kms, _, scene: kms.create_grant(
            KeyId=scene.data, GranteePrincipal="*", Operations=["Decrypt"]
        ),
        NOBODY,
    ),
    "change a key's policy": (
        lambda kms, _, scene: kms.put_key_policy(
            KeyId=scene.data, PolicyName="default", Policy="{}"
        ),
        NOBODY,
    ),
    "disable a key": (lambda kms, _, scene: kms.disable_key(KeyId=scene.data), NOBODY),
    "end a key": (lambda kms, _, scene: kms.schedule_key_deletion(KeyId=scene.token), NOBODY),
    "sign": (
        _sign(MessageType="RAW"),
        frozenset({"reveal", "rotate", "re-encrypt", "erase", "audit"}),
    ),
    "sign a digest of anything at all": (_sign(MessageType="DIGEST"), NOBODY),
    "sign an archive or a set": (
        _sign("archive", MessageType="RAW"),
        frozenset({"owner", "ingest", "re-encrypt", "erase"}),
    ),
    "sign a digest of any archive": (_sign("archive", MessageType="DIGEST"), NOBODY),
    "read the archive key's public half": (
        lambda kms, _, scene: kms.get_public_key(KeyId=scene.provisioned.key_arns["archive"]),
        frozenset({"owner", "ingest", "reveal", "re-encrypt", "erase", "audit"}),
    ),
    "sign without saying what it is": (_sign(), NOBODY),
    "read the audit key's public half": (
        lambda kms, _, scene: kms.get_public_key(KeyId=scene.audit),
        frozenset({"audit"}),
    ),
    "receive": (
        lambda _, sqs, scene: sqs.receive_message(
            QueueUrl=scene.provisioned.queue_url, WaitTimeSeconds=0
        ),
        frozenset({"ingest"}),
    ),
    "receive dead letters": (
        lambda _, sqs, scene: sqs.receive_message(
            QueueUrl=scene.provisioned.dead_letter_url, WaitTimeSeconds=0
        ),
        frozenset({"ingest"}),
    ),
    "see how deep the queue is": (
        lambda _, sqs, scene: sqs.get_queue_attributes(
            QueueUrl=scene.provisioned.queue_url, AttributeNames=["All"]
        ),
        frozenset({"ingest", "audit"}),
    ),
    "send": (
        lambda _, sqs, scene: sqs.send_message(
            QueueUrl=scene.provisioned.queue_url, MessageBody="{}"
        ),
        NOBODY,
    ),
    "empty the queue": (
        lambda _, sqs, scene: sqs.purge_queue(QueueUrl=scene.provisioned.queue_url),
        NOBODY,
    ),
}


@pytest.fixture(scope="module")
def scene(moto: tuple[str, Provisioned]) -> Scene:
    """Made by the emulator's administrator."""
    endpoint, provisioned = moto
    kms = emulator_session(endpoint, provisioned.credentials["admin"]).client("kms")
    data, token = (
        kms.generate_data_key(
            KeyId=provisioned.key_arns[purpose],
            NumberOfBytes=32,
            EncryptionContext=context(purpose),
        )["CiphertextBlob"]
        for purpose in ("data", "token")
    )
    return Scene(provisioned, data, token, kms.create_key()["KeyMetadata"]["Arn"])


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("name", CALLS)
def test_each_call_is_for_its_roles_alone(
    moto: tuple[str, Provisioned], scene: Scene, name: str, role: str
) -> None:
    """A role's own access key makes the call if the table says so, and is denied it otherwise."""
    call, allowed = CALLS[name]
    session = emulator_session(moto[0], moto[1].credentials[role])
    assert _passes(call, session, scene) is (role in allowed)


def _passes(call: Call, session: EmulatorSession, scene: Scene) -> bool:
    try:
        call(session.client("kms"), session.client("sqs"), scene)
    except ClientError as error:
        if error.response["Error"]["Code"] != "AccessDeniedException":
            raise
        return False
    return True
