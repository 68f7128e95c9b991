"""A vault whose KMS keys have replicas continues in the other region."""

from __future__ import annotations

import dataclasses
from typing import Any, Final

import boto3
import pytest

from tests.kit.events import event
from tests.kit.vault import Vault
from vault_etl.keys.kms import TrustedKeys

HOME, AWAY = "us-east-1", "eu-west-1"
KEY: Final = "arn:aws:kms:us-east-1:111122223333:key/"
REPLICATED: Final = f"mrk-{'0' * 32}"
ADDRESS: Final = "203.0.113.7"


@pytest.mark.unit
@pytest.mark.parametrize(
    ("arn", "there"),
    [
        (f"{KEY}{REPLICATED}", f"arn:aws:kms:eu-west-1:111122223333:key/{REPLICATED}"),
        (f"{KEY}00000000-0000-0000-0000-000000000000", None),
        (f"{KEY}{REPLICATED}0", None),
        (f"x{KEY}{REPLICATED}", None),
        (f"{KEY.replace('key/', 'alias/')}{REPLICATED}", None),
    ],
)
def test_the_replica_of_a_key_is_known_by_its_id(arn: str, there: str | None) -> None:
    """Only the ARN of a multi-Region key has a counterpart in another region."""
    kms = boto3.client("kms", region_name=AWAY, aws_access_key_id="a", aws_secret_access_key="b")
    assert TrustedKeys(kms, {}, frozenset()).in_region(arn) == (there or arn)


@pytest.mark.iam
def test_replicas_open_and_seal_in_another_region(bare_vault: Vault) -> None:
    """Values open there and new ones are stored, tokens stay the same, and the first region opens what came since."""
    trusted = [_replicated(bare_vault, purpose) for purpose in ("data", "token")]
    kms = _away(bare_vault, "kms")
    signing = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]
    kms.create_alias(AliasName="alias/vault-etl-audit", TargetKeyId=signing["KeyId"])
    home = dataclasses.replace(
        bare_vault,
        overrides={
            "VAULT_ETL_DATA_KEY": "alias/replicated-data",
            "VAULT_ETL_TOKEN_KEY": "alias/replicated-token",
            "VAULT_ETL_TRUSTED_KEY_ARNS": ",".join(trusted),
            "VAULT_ETL_DRAIN_WAIT": "0",
            **bare_vault.access_key("admin"),
        },
    )
    home.ok("re-encrypt", "keys", "init")
    home.send([event(ip=ADDRESS)])
    home.ok("ingest", "ingest")

    sqs = _away(home, "sqs")
    queue = sqs.create_queue(QueueName="away")["QueueUrl"]
    away = dataclasses.replace(
        home, overrides={**home.overrides, "AWS_REGION": AWAY, "VAULT_ETL_QUEUE_URL": queue}
    )
    sqs.send_message(QueueUrl=queue, MessageBody=event(ip=ADDRESS))
    assert away.ok("ingest", "ingest").json["stored"] == 1
    (shared,) = home.ok("analyst", "duplicates", "--field", "ip").lines
    assert shared["count"] == 2
    arns = home.sql("SELECT DISTINCT split_part(kms_key_arn, ':', 4) FROM data_keys ORDER BY 1")
    assert arns == [(AWAY,), (HOME,)]
    for vault in (away, home):
        vault.ok("audit", "audit", "checkpoint", "--new-key")
        for (record_id,) in home.sql("SELECT record_id::text FROM user_logins"):
            (shown,) = vault.ok("reveal", "reveal", record_id, "--reason", "drill").lines
            assert shown["fields"]["ip"] == ADDRESS
        vault.ok("re-encrypt", "keys", "rewrap")


def _replicated(vault: Vault, purpose: str) -> str:
    """Make a multi-Region key with a replica, and an alias, which replicas share in moto; return its ARN."""
    kms = vault.emulator.client("kms")
    arn = kms.create_key(MultiRegion=True)["KeyMetadata"]["Arn"]
    kms.replicate_key(KeyId=arn, ReplicaRegion=AWAY)
    kms.create_alias(AliasName=f"alias/replicated-{purpose}", TargetKeyId=arn)
    return str(arn)


def _away(vault: Vault, service: Any) -> Any:  # noqa: ANN401 - of boto3
    """A client of the emulator's administrator in the other region."""
    key = vault.provisioned.credentials["admin"]
    return boto3.client(
        service,
        region_name=AWAY,
        endpoint_url=vault.endpoint,
        aws_access_key_id=key.access_key_id,
        aws_secret_access_key=key.secret_access_key,
    )
