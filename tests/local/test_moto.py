"""The emulator refuses where the template refuses: by key, by purpose, by field."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ReadTimeoutError

from tests.kit.declarations import DEFAULT
from tests.kit.vault import emulator_session
from vault_etl.local.emulator import start_moto
from vault_etl.local.policies import ROLES
from vault_etl.local.provision import Credentials, EmulatorSession, Provisioned, provision

Moto = tuple[str, Provisioned]

pytestmark = [pytest.mark.command, pytest.mark.iam]

READERS = {"reveal", "re-encrypt", "operator", "admin"}
TOKEN_MAKERS = {"ingest", "reveal", "re-encrypt", "operator", "admin"}
WRITERS = {"ingest", "re-encrypt", "operator", "admin"}
ROTATORS = {"rotate", "re-encrypt", "operator", "admin"}
SIGNERS = {"reveal", "rotate", "re-encrypt", "erase", "audit", "operator", "admin"}
SET_SIGNERS = {"ingest", "re-encrypt", "erase", "operator", "owner", "admin"}


@pytest.mark.parametrize("role", ROLES)
def test_every_role_has_its_own_identity(moto: Moto, role: str) -> None:
    """STS names each access key by its role; the audit log takes the actor from there."""
    assert (
        _client(moto, role, "sts").get_caller_identity()["Arn"].endswith(f"user/vault-etl-{role}")
    )


@pytest.mark.parametrize("role", ROLES)
def test_roles_that_open_data_keys(moto: Moto, role: str) -> None:
    """Ingest seals under the data key and never opens: KMS answers AccessDeniedException."""
    sealed = _sealed(moto, "data")
    assert _is_allowed(lambda: _decrypt(moto, role, "data", sealed)) == (role in READERS)


@pytest.mark.parametrize("key_id", ["token", None])
def test_another_key_id_does_not_open_a_data_key(moto: Moto, key_id: str | None) -> None:
    """Naming the key that ingest may use, or no key, does not open data of the data key."""
    named = {"KeyId": moto[1].key_arns[key_id]} if key_id else {}
    call = _client(moto, "ingest", "kms").decrypt
    sealed = _sealed(moto, "data")
    assert not _is_allowed(
        lambda: call(CiphertextBlob=sealed, EncryptionContext=_context("data"), **named)
    )
    assert not _is_allowed(
        lambda: call(CiphertextBlob=sealed, EncryptionContext=_context("token"), **named)
    )


@pytest.mark.parametrize("role", ROLES)
def test_roles_that_open_token_keys(moto: Moto, role: str) -> None:
    """Only roles that make tokens open the token key."""
    sealed = _sealed(moto, "token")
    assert _is_allowed(lambda: _decrypt(moto, role, "token", sealed)) == (role in TOKEN_MAKERS)


@pytest.mark.parametrize("role", ROLES)
def test_roles_that_make_data_keys(moto: Moto, role: str) -> None:
    """Roles that seal request data keys."""
    assert _is_allowed(lambda: _generate(moto, role, "data")) == (role in WRITERS)


@pytest.mark.parametrize("role", ROLES)
def test_roles_that_make_token_keys(moto: Moto, role: str) -> None:
    """Only re-encrypt makes them, and no role gets the plaintext."""
    assert _is_allowed(lambda: _generate(moto, role, "token")) == (role == "admin")
    unseen = _client(moto, role, "kms").generate_data_key_without_plaintext
    assert _is_allowed(
        lambda: unseen(
            KeyId="alias/vault-etl-token", KeySpec="AES_256", EncryptionContext=_context("token")
        )
    ) == (role in {"re-encrypt", "operator", "admin"})


@pytest.mark.parametrize("role", ROLES)
def test_roles_that_rewrap(moto: Moto, role: str) -> None:
    """Rotation wraps a key again on the same KMS key."""
    assert _is_allowed(lambda: _rewrap(moto, role, "data", "data")) == (role in ROTATORS)


@pytest.mark.parametrize("role", sorted(ROTATORS - {"admin"}))
def test_no_role_rewraps_onto_another_key(moto: Moto, role: str) -> None:
    """`ReEncrypt` onto another key would be a hidden `Decrypt`."""
    assert not _is_allowed(lambda: _rewrap(moto, role, "data", "token"))


@pytest.mark.parametrize("role", ROLES)
def test_roles_that_sign(moto: Moto, role: str) -> None:
    """Roles that write the log sign its head. The owner, who can rewrite the log, signs only manifests."""
    sign = _client(moto, role, "kms").sign
    for key, signers in (("audit", SIGNERS), ("archive", SET_SIGNERS)):
        call = partial(
            sign,
            KeyId=f"alias/vault-etl-{key}",
            Message=b"head",
            MessageType="RAW",
            SigningAlgorithm="ECDSA_SHA_256",
        )
        assert _is_allowed(call) == (role in signers), key


@pytest.mark.parametrize(
    ("name", "value"), [("app", "other"), ("purpose", "token"), ("field", "user_id")]
)
def test_another_encryption_context_is_refused(moto: Moto, name: str, value: str) -> None:
    """A reader with another application, purpose or field is refused before any decryption."""
    context = {**_context("data"), name: value}
    decrypt = _client(moto, "reveal", "kms").decrypt
    sealed = _sealed(moto, "data")
    assert not _is_allowed(lambda: decrypt(CiphertextBlob=sealed, EncryptionContext=context))


def test_a_missing_encryption_context_is_refused(moto: Moto) -> None:
    """A call without any context is refused too."""
    decrypt = _client(moto, "reveal", "kms").decrypt
    sealed = _sealed(moto, "data")
    assert not _is_allowed(lambda: decrypt(CiphertextBlob=sealed))


def test_another_permitted_field(moto: Moto) -> None:
    """A permitted field that is not the sealed one is KMS's InvalidCiphertext."""
    context = {**_context("data"), "field": "device_id"}
    kms = _client(moto, "reveal", "kms")
    with pytest.raises(kms.exceptions.InvalidCiphertextException):
        kms.decrypt(CiphertextBlob=_sealed(moto, "data"), EncryptionContext=context)


@pytest.mark.parametrize("role", ROLES)
def test_roles_that_receive(moto: Moto, role: str) -> None:
    """Only ingest receives from the queues."""
    receive = _client(moto, role, "sqs").receive_message
    urls = (moto[1].queue_url, moto[1].dead_letter_url)
    calls = [partial(receive, QueueUrl=url, WaitTimeSeconds=0) for url in urls]
    assert {_is_allowed(call) for call in calls} == {role in {"ingest", "operator", "admin"}}


@pytest.mark.parametrize("role", ROLES)
def test_roles_that_send(moto: Moto, role: str) -> None:
    """No role may send: producers have policies of their own."""
    send = _client(moto, role, "sqs").send_message
    assert _is_allowed(lambda: send(QueueUrl=moto[1].queue_url, MessageBody="x")) == (
        role == "admin"
    )


def test_signature_is_checked(moto: Moto) -> None:
    """An access key id without its secret is refused."""
    forged = Credentials(moto[1].credentials["reveal"].access_key_id, "x" * 40)
    kms = EmulatorSession(moto[0], forged).client("kms")
    with pytest.raises(ClientError, match="InvalidSignatureException"):
        kms.decrypt(CiphertextBlob=_sealed(moto, "data"), EncryptionContext=_context("data"))


def test_an_unknown_access_key_is_refused(moto: Moto) -> None:
    """The error has AWS's own name."""
    kms = EmulatorSession(moto[0], Credentials("AKIA" + "X" * 16, "x" * 40)).client("kms")
    with pytest.raises(ClientError, match="UnrecognizedClientException"):
        kms.decrypt(CiphertextBlob=_sealed(moto, "data"), EncryptionContext=_context("data"))


@pytest.mark.parametrize("path", ["data.json", "reset", "reset-auth"])
def test_motos_pages_are_closed(moto: Moto, path: str) -> None:
    """These pages would show every key to any user of the machine, and let any user reset them."""
    with pytest.raises(HTTPError, match="400"):
        urlopen(f"{moto[0]}/moto-api/{path}", data=b"", timeout=10)  # noqa: S310


def test_a_connection_is_kept(moto: Moto) -> None:
    """A second request goes over the same connection, although no one read the body of the first."""
    with closing(HTTPConnection(moto[0].removeprefix("http://"), timeout=10)) as connection:
        for _ in range(2):
            connection.request("POST", "/moto-api/reset", body=b"unread")
            connection.getresponse().read()
            assert connection.sock is not None


def test_a_caller_that_hung_up_receives_nothing(moto: Moto) -> None:
    """A message that comes during the long poll of a caller that has gone is visible to the next caller."""
    made = moto[1]
    sqs = _client(moto, "admin", "sqs")
    key = made.credentials["admin"]
    impatient = boto3.client(
        "sqs",
        endpoint_url=moto[0],
        region_name="us-east-1",
        aws_access_key_id=key.access_key_id,
        aws_secret_access_key=key.secret_access_key,
        config=Config(read_timeout=0.2, retries={"total_max_attempts": 1}),
    )
    while sqs.receive_message(QueueUrl=made.queue_url, WaitTimeSeconds=0).get("Messages"):
        pass  # of other tests
    with pytest.raises(ReadTimeoutError):
        impatient.receive_message(QueueUrl=made.queue_url, WaitTimeSeconds=10)
    sqs.send_message(QueueUrl=made.queue_url, MessageBody="x")
    time.sleep(0.3)  # the abandoned poll asks for a message several times
    (received,) = sqs.receive_message(QueueUrl=made.queue_url, WaitTimeSeconds=0)["Messages"]
    sqs.delete_message(QueueUrl=made.queue_url, ReceiptHandle=received["ReceiptHandle"])


def test_a_message_goes_to_the_dead_letters(tmp_path: Path) -> None:
    """The fifth receive is a message's last: then the dead-letter queue has it."""
    emulator = start_moto(tmp_path)
    try:
        made = provision(emulator.endpoint, DEFAULT)
        sqs = EmulatorSession(emulator.endpoint, made.credentials["admin"]).client("sqs")
        sqs.send_message(QueueUrl=made.queue_url, MessageBody="poison")

        def receive(url: str) -> int:
            answer = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=0, VisibilityTimeout=0)
            return len(answer.get("Messages", []))

        assert [receive(made.queue_url) for _ in range(6)] == [1, 1, 1, 1, 1, 0]
        assert receive(made.dead_letter_url) == 1
    finally:
        emulator.stop()
    assert not emulator.is_running()


def _client(moto: Moto, role: str, service: str) -> Any:  # noqa: ANN401  # boto3's
    return emulator_session(moto[0], moto[1].credentials[role]).client(service)


def _context(purpose: str) -> dict[str, str]:
    return {"app": "vault-etl", "purpose": purpose, "field": "ip", "key_id": "7"}


def _generate(moto: Moto, role: str, purpose: str) -> bytes:
    answer = _client(moto, role, "kms").generate_data_key(
        KeyId=f"alias/vault-etl-{purpose}", KeySpec="AES_256", EncryptionContext=_context(purpose)
    )
    return bytes(answer["CiphertextBlob"])


def _sealed(moto: Moto, purpose: str) -> bytes:
    return _generate(moto, "admin", purpose)


def _decrypt(moto: Moto, role: str, purpose: str, sealed: bytes) -> None:
    _client(moto, role, "kms").decrypt(
        KeyId=moto[1].key_arns[purpose], CiphertextBlob=sealed, EncryptionContext=_context(purpose)
    )


def _rewrap(moto: Moto, role: str, source: str, target: str) -> None:
    _client(moto, role, "kms").re_encrypt(
        CiphertextBlob=_sealed(moto, source),
        SourceKeyId=moto[1].key_arns[source],
        SourceEncryptionContext=_context(source),
        DestinationKeyId=moto[1].key_arns[target],
        DestinationEncryptionContext=_context(target),
    )


def _is_allowed(call: Callable[[], object]) -> bool:
    try:
        call()
    except ClientError as error:
        if error.response["Error"]["Code"] == "AccessDeniedException":
            return False
        raise
    return True
