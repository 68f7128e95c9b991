"""A real LocalStack, in an environment of its own. Half a minute and 240 MB: not for every run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.local.least_commands import least_commands
from vault_etl.local.emulator import EmulatorName
from vault_etl.local.provision import Credentials, EmulatorSession
from vault_etl.local.stack import EmbeddedStack
from vault_etl.platform.resources import resource_dir

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

CONTEXT = {"app": "vault-etl", "purpose": "data", "field": "ip", "key_id": "7"}


@pytest.fixture(scope="module")
def told() -> list[str]:
    """Return the stack's messages about slow steps."""
    return []


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory, told: list[str]) -> Iterator[EmbeddedStack]:
    """A running stack on LocalStack."""
    stack = EmbeddedStack(
        tmp_path_factory.mktemp("deep"),
        durable=False,
        notify=told.append,
        run_command=least_commands,
    )
    try:
        stack.start(EmulatorName.LOCALSTACK)
        yield stack
    finally:
        stack.reset()


def test_the_first_use_of_localstack_is_announced(deep: EmbeddedStack, told: list[str]) -> None:
    """Making the environment takes a while, and is announced once."""
    assert deep.status().state == "running"
    assert sum("once" in step for step in told) == 1


def test_localstack_keeps_its_files_to_itself(
    deep: EmbeddedStack, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Its TLS certificate too: two that share one read it half-written when they start together."""
    assert deep.status().state == "running"
    assert list(tmp_path_factory.getbasetemp().glob("deep*/**/fs/**/server.test.pem"))


def test_localstack_has_the_queues(deep: EmbeddedStack) -> None:
    """The printed URL works without DNS, and the queue has its dead-letter queue."""
    url = deep.environment("admin")["VAULT_ETL_QUEUE_URL"]
    assert url.startswith("http://127.0.0.1:")
    sqs = _client(deep, "sqs")
    sqs.send_message(QueueUrl=url, MessageBody="x")
    assert sqs.receive_message(QueueUrl=url)["Messages"][0]["Body"] == "x"
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert int(json.loads(attributes["RedrivePolicy"])["maxReceiveCount"]) == 5


def test_localstack_checks_the_encryption_context(deep: EmbeddedStack) -> None:
    """Its KMS refuses another context."""
    kms = _client(deep, "kms")
    blob = kms.generate_data_key(
        KeyId="alias/vault-etl-data", KeySpec="AES_256", EncryptionContext=CONTEXT
    )["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=blob, EncryptionContext=CONTEXT)["Plaintext"]
    with pytest.raises(kms.exceptions.InvalidCiphertextException):
        kms.decrypt(CiphertextBlob=blob, EncryptionContext={**CONTEXT, "field": "device_id"})
    made = kms.generate_data_key_without_plaintext(
        KeyId="alias/vault-etl-token", KeySpec="AES_256", EncryptionContext=CONTEXT
    )
    assert "Plaintext" not in made
    assert kms.decrypt(CiphertextBlob=made["CiphertextBlob"], EncryptionContext=CONTEXT)[
        "Plaintext"
    ]
    with pytest.raises(kms.exceptions.InvalidCiphertextException):
        kms.decrypt(
            CiphertextBlob=made["CiphertextBlob"],
            EncryptionContext={**CONTEXT, "field": "device_id"},
        )


def test_localstack_listens_on_loopback_only(deep: EmbeddedStack) -> None:
    """LocalStack listens on 127.0.0.1 only."""
    emulator = deep.status().emulator
    assert emulator is not None
    connections = psutil.Process(emulator.process.pid).net_connections("inet")
    listening = {c.laddr.ip for c in connections if c.status == "LISTEN"}
    assert listening == {"127.0.0.1"}


def test_the_provisioning_script_finds_existing_resources(deep: EmbeddedStack) -> None:
    """The script for docker-compose prints them, and changes nothing."""
    admin = deep.environment("admin")
    script = resource_dir("keys") / "provision_emulator.py"
    environment = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "PATH": os.defpath}
    environment["AWS_ENDPOINT_URL"] = admin["AWS_ENDPOINT_URL"]
    outputs = [
        subprocess.run(
            [sys.executable, str(script)], env=environment, capture_output=True, check=True
        ).stdout
        for _ in range(2)
    ]
    assert outputs[0] == outputs[1]
    made = json.loads(outputs[0])
    provisioned = deep.status().recorded.provisioned
    assert provisioned is not None
    assert made["queue_url"] == admin["VAULT_ETL_QUEUE_URL"]
    assert made["key_arns"] == provisioned.key_arns


def test_localstack_stops_and_starts(deep: EmbeddedStack, told: list[str]) -> None:
    """A stop ends it; the next start needs no new environment."""
    emulator = deep.status().emulator
    assert emulator is not None
    deep.stop()
    assert not emulator.is_running()
    assert deep.start(EmulatorName.LOCALSTACK).state == "running"
    assert sum("once" in step for step in told) == 1


def test_requirements_are_locked() -> None:
    """Every package has its version and hashes, and the file has no address."""
    folder = Path(sys.modules[EmbeddedStack.__module__].__file__ or "").parent
    text = (folder / "localstack-requirements.txt").read_text(encoding="utf-8")
    assert "://" not in text
    packages = re.findall(r"^(?!#)(\S+)==(\S+).*\\\n    --hash=sha256:", text, re.MULTILINE)
    assert len(packages) == len(re.findall(r"^[^#\s-]", text, re.MULTILINE)) > 80


def _client(stack: EmbeddedStack, service: str) -> Any:  # noqa: ANN401  # boto3's
    admin = stack.environment("admin")
    key = Credentials(admin["AWS_ACCESS_KEY_ID"], admin["AWS_SECRET_ACCESS_KEY"])
    return EmulatorSession(admin["AWS_ENDPOINT_URL"], key).client(service)
