"""A person allowed to see `ip` cannot open `device_id`: by the real command, and straight at KMS."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError

from tests.kit.declarations import DEFAULT
from tests.kit.events import event
from tests.kit.vault import Vault
from vault_etl.local.policies import BOUNDARY_SUFFIX, identity_policy
from vault_etl.local.provision import Credentials, EmulatorSession
from vault_etl.local.template import KEYS, Template

pytestmark = pytest.mark.iam

OF_ROLE = {"ip": "RevealIpRole", "device_id": "RevealDeviceIdRole"}
VALUES = {"ip": "203.0.113.7", "device_id": "593-47-5928"}


@pytest.fixture(scope="module")
def loaded(shared_vault: Vault) -> Vault:
    """A vault with one record."""
    shared_vault.send([event(**VALUES)])
    shared_vault.ok("ingest", "ingest")
    return shared_vault


@pytest.mark.parametrize(("own", "other"), [("ip", "device_id"), ("device_id", "ip")])
def test_a_role_of_one_field_cannot_open_the_other(loaded: Vault, own: str, other: str) -> None:
    """A field role's access key lets `reveal` show its field; KMS opens no key of the other field."""
    key = _user_of(loaded, OF_ROLE[own])
    extra = {
        "AWS_ACCESS_KEY_ID": key.access_key_id,
        "AWS_SECRET_ACCESS_KEY": key.secret_access_key,
    }
    ((record,),) = loaded.sql("SELECT record_id::text FROM vault_etl.user_logins")
    asked = ("reveal", str(record), "--reason", "a case")
    shown = loaded.ok("reveal", *asked, "--field", own, extra=extra).json
    assert shown["fields"] == {own: VALUES[own]}
    refused = loaded.run("reveal", *asked, "--field", other, extra=extra)
    assert (refused.code, refused.stdout) == (77, "")
    both = loaded.run("reveal", *asked, extra=extra)
    assert (both.code, both.stdout) == (77, "")
    (contexts,) = (
        line
        for line in loaded.run("reveal", "doctor", "--output", "json", extra=extra).lines
        if line["check"] == "kms_contexts"
    )
    assert contexts["ok"], contexts  # with the one field, IAM allows the try that KMS must refuse
    assert _opened_at_kms(loaded, key) == {("data", own), ("token", own)}


def _opened_at_kms(vault: Vault, key: Credentials) -> set[tuple[str, str]]:
    """Purpose and field of every stored key that KMS unwraps for these credentials."""
    kms = EmulatorSession(vault.endpoint, key).client("kms")
    opened = set()
    stored = vault.sql("SELECT key_id, purpose, field, kms_key_arn, wrapped_key FROM data_keys")
    for key_id, purpose, field, arn, wrapped in stored:
        context = {
            "app": "vault-etl", "purpose": purpose, "field": field, "key_id": str(key_id),
        }  # fmt: skip
        try:
            kms.decrypt(KeyId=arn, CiphertextBlob=bytes(wrapped), EncryptionContext=context)
        except ClientError as error:
            if error.response["Error"]["Code"] != "AccessDeniedException":
                raise
        else:
            opened.add((purpose, field))
    return opened


def _user_of(vault: Vault, role: str) -> Credentials:
    """An emulator's user with the policies of one of the template's field roles."""
    names = {f"{KEYS[purpose]}.Arn": arn for purpose, arn in vault.provisioned.key_arns.items()}
    document = Template.load(DEFAULT, role_per_field=True).role_policy(role, names)
    for statement in document["Statement"]:
        statement.pop("Sid", None)  # in several policies of one role some are the same
    iam = vault.emulator.client("iam")
    user = f"person-{role}-{vault.database}"
    iam.create_policy(PolicyName=f"{user}{BOUNDARY_SUFFIX}", PolicyDocument=json.dumps(document))
    iam.create_user(UserName=user)
    allowed = json.dumps(identity_policy(document))
    iam.put_user_policy(UserName=user, PolicyName=user, PolicyDocument=allowed)
    made = iam.create_access_key(UserName=user)["AccessKey"]
    return Credentials(made["AccessKeyId"], made["SecretAccessKey"])
