"""`vault-etl doctor` on AWS: credentials, endpoints, KMS keys and the queue."""

from __future__ import annotations

import json

import pytest

from tests.kit.doctor import (
    CHECKS,
    NOWHERE,
    SECRET,
    Extra,
    lines,
    only,
    wrong,
)
from tests.kit.proxy import Call, FaultProxy
from tests.kit.proxy import Verdict as Answer
from tests.kit.vault import Vault
from vault_etl.local.provision import provision_resources


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_KMS"])
def test_an_endpoint_in_plain_text_is_a_fault(loaded: Vault, name: str) -> None:
    """Before any answer of it: nothing listens there."""
    away = {name: "http://0.0.0.0:9", "AWS_MAX_ATTEMPTS": "1"}
    found = wrong(loaded, "analyst", away)
    assert "in plain text, from 0.0.0.0" in found["aws_endpoints"]["detail"]
    # As in docker-compose.yml: AWS never issued this access key.
    found = wrong(loaded, "analyst", {**away, "AWS_ACCESS_KEY_ID": "test"})
    assert "aws_endpoints" not in found


@pytest.mark.parametrize("purpose", ["data", "token", "audit", "archive"])
def test_a_kms_key_is_there_enabled_and_of_its_kind(vault: Vault, purpose: str) -> None:
    """An alias that leads nowhere, a key that is disabled, one that is to end, one of another kind."""
    kms = vault.emulator.client("kms")
    signs = purpose in {"audit", "archive"}
    kind = (
        {"KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY"}
        if signs
        else {"KeyUsage": "ENCRYPT_DECRYPT"}
    )
    disabled = kms.create_key(**kind)["KeyMetadata"]["Arn"]
    kms.disable_key(KeyId=disabled.rpartition("/")[2])
    ending = kms.create_key(**kind)["KeyMetadata"]["Arn"]
    kms.schedule_key_deletion(KeyId=ending.rpartition("/")[2], PendingWindowInDays=7)
    other = vault.provisioned.key_arns["data" if signs else "audit"]
    for name, word in {
        "alias/nothing": "KMS",  # moto denies what is not there
        disabled: "Disabled",
        ending: "PendingDeletion",
        other: "it must be",
    }.items():
        extra: Extra = {
            f"VAULT_ETL_{purpose.upper()}_KEY": name,
            **vault.access_key("admin"),
            "VAULT_ETL_TRUSTED_KEY_ARNS": ",".join(vault.provisioned.key_arns.values()),
        }
        assert word in only(vault, "rotate", f"kms_{purpose}_key", extra)


@pytest.mark.iam
def test_credentials_that_aws_does_not_know_are_a_fault(loaded: Vault) -> None:
    """Of the identity, and of whatever their role would see."""
    extra = {"AWS_ACCESS_KEY_ID": "AKIAXXXXXXXXXXXXXXXX", "AWS_SECRET_ACCESS_KEY": SECRET}
    assert "STS denies this" in only(loaded, "analyst", "aws_identity", extra)


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        (("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "no credentials"),
        (("AWS_REGION",), "no region"),
    ],
)
def test_without_credentials_or_region_aws_is_not_called(
    loaded: Vault, missing: tuple[str, ...], words: str
) -> None:
    """The missing credentials are one fault; the checks that rest on them name it."""
    extra: dict[str, str | None] = {"AWS_EC2_METADATA_DISABLED": "true"}
    extra |= dict.fromkeys(missing)
    assert words in only(loaded, "ingest", "aws_credentials", extra)
    found = lines(loaded, "ingest", code=78, extra=extra)
    resting = {name for name, line in found.items() if line["detail"] == "needs aws_credentials"}
    kms = {name for name in CHECKS if name.startswith("kms_")}
    signed = {"audit_key", "audit_log"}
    assert resting == kms | signed | {"aws_identity", "aws_endpoints", "queue", "trusted_keys"}


def test_an_outage_of_aws_does_not_stop_the_database_checks(loaded: Vault) -> None:
    """Each service is a fault of its own; the checks that rest on KMS name it."""
    found = lines(loaded, "ingest", code=78, extra={"AWS_ENDPOINT_URL": NOWHERE})
    away = {name for name, line in found.items() if line["ok"] is False}
    assert away == {"aws_identity", "kms_data_key", "kms_token_key", "kms_audit_key", "queue"}
    assert found["kms_contexts"]["detail"] == "needs kms_token_key"
    assert found["token_keys"]["ok"] is True


@pytest.mark.parametrize("name", ["VisibilityTimeout", "RedrivePolicy", "", "dead"])
def test_an_unsuitable_queue_is_a_fault(vault: Vault, name: str) -> None:
    """Faults are a short visibility timeout, no dead letters, a missing queue, and a missing dead-letter queue."""
    sqs = vault.emulator.client("sqs")
    url = vault.provisioned.queue_url
    if name in {"", "dead"}:
        sqs.delete_queue(QueueUrl=vault.provisioned.dead_letter_url if name else url)
    else:
        value = "5" if name == "VisibilityTimeout" else ""
        sqs.set_queue_attributes(QueueUrl=url, Attributes={name: value})
    try:
        said = only(vault, "ingest", "queue")
    finally:
        if name:
            sqs.delete_queue(QueueUrl=url)
        provision_resources(vault.emulator)
    words = {"VisibilityTimeout": "5 s", "": "no such queue"}
    assert words.get(name, "dead-letter queue") in said


def test_a_kms_that_ignores_contexts_is_a_fault(vault: Vault) -> None:
    """Such a KMS unwraps a token key under any context."""
    stored = {str(key_id) for (key_id,) in vault.sql("SELECT key_id FROM vault_etl.data_keys")}

    def gullible(call: Call) -> Answer:
        if call.operation != "Decrypt":
            return True
        asked = json.loads(call.body)
        if asked["EncryptionContext"]["key_id"] in stored:
            return True
        opened = {"KeyId": asked["KeyId"], "Plaintext": "A" * 43 + "="}
        return json.dumps(opened).encode()

    with FaultProxy(vault.endpoint, gullible) as proxy:
        said = only(vault, "ingest", "kms_contexts", {"AWS_ENDPOINT_URL_KMS": proxy.url})
    assert "ignores the encryption context" in said


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b'{"KeyId": "k", "CiphertextBlob": "AAAA"}', "ignores the dry run of kms:GenerateDataKey"),
        ("DryRunOperationException", "a field that no vault has"),
    ],
)
def test_a_kms_that_does_not_judge_a_trial_is_no_proof(
    loaded: Vault, answer: Answer, says: str
) -> None:
    """An emulator that does the call, or allows all: `doctor` cannot tell, and finds no fault."""
    trials = list[str]()

    def emulator(call: Call) -> Answer:
        if "DryRun" not in json.loads(call.body or b"{}"):
            return True
        trials.append(call.operation)
        return answer

    with FaultProxy(loaded.endpoint, emulator) as proxy:
        found = lines(loaded, "ingest", code=0, extra={"AWS_ENDPOINT_URL_KMS": proxy.url})
    assert (found["kms_permissions"]["ok"], says in found["kms_permissions"]["detail"]) == (
        None,
        True,
    )
    assert len(trials) == (1 if isinstance(answer, bytes) else 7)
