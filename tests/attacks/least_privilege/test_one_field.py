"""A person allowed to see `ip` cannot open `device_id`: by the real command, and straight at KMS."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from tests.kit.declarations import DEFAULT, SHOP
from tests.kit.events import event
from tests.kit.vault import Vault
from tests.kit.vaults import KeyedOf, copied
from vault_etl.declaration.iam import OwnRole
from vault_etl.declaration.model import Declaration
from vault_etl.local.policies import BOUNDARY_SUFFIX, identity_policy
from vault_etl.local.provision import Credentials, EmulatorSession
from vault_etl.local.template import KEYS, Template

pytestmark = pytest.mark.iam

VALUES = {"ip": "203.0.113.7", "device_id": "593-47-5928"}
OF_SHOP = {"email": "a@example.com", "phone": "+41446681800", "ip": "203.0.113.7"}
SIGN_UP = {
    "type": "sign-up",
    "customer": "a",
    "email": OF_SHOP["email"],
    "phone": OF_SHOP["phone"],
    "client": {"ip": OF_SHOP["ip"]},
}


@pytest.fixture(scope="module")
def loaded(shared_vault: Vault) -> Vault:
    """A vault with one record."""
    shared_vault.send([event(**VALUES)])
    shared_vault.ok("ingest", "ingest")
    return shared_vault


@pytest.fixture
def shop(keyed_of: KeyedOf, tmp_path: Path) -> Iterator[Vault]:
    """A vault of another declaration, with one record."""
    with copied(keyed_of(SHOP), tmp_path) as vault:
        vault.renew_queue()
        vault.send([json.dumps(SIGN_UP)])
        vault.ok("ingest", "ingest")
        yield vault


@pytest.mark.parametrize(("own", "other"), [("ip", "device_id"), ("device_id", "ip")])
def test_a_role_of_one_field_cannot_open_the_other(loaded: Vault, own: str, other: str) -> None:
    """A field role's access key lets `reveal` show its field; KMS opens no key of the other field."""
    ((record,),) = loaded.sql("SELECT record_id::text FROM vault_etl.user_logins")
    _opens_its_own_field_alone(loaded, DEFAULT, str(record), {own: VALUES[own]}, other)


def test_a_role_of_one_field_of_another_declaration(shop: Vault) -> None:
    """The same holds of a field that the default does not have."""
    ((record,),) = shop.sql("SELECT record_id::text FROM vault_etl.sign_ups")
    _opens_its_own_field_alone(shop, SHOP, str(record), {"email": OF_SHOP["email"]}, "phone")
    asked = ("reveal", str(record), "--reason", "a case")
    assert shop.ok("reveal", *asked).json["fields"] == OF_SHOP


def _opens_its_own_field_alone(
    vault: Vault, declaration: Declaration, record: str, shown: Mapping[str, str], other: str
) -> None:
    """The role of the one field that is shown opens it, and no other field."""
    (own,) = shown
    key = _user_of(vault, declaration, own)
    extra = key.environment
    asked = ("reveal", record, "--reason", "a case")
    assert vault.ok("reveal", *asked, "--field", own, extra=extra).json["fields"] == shown
    refused = vault.run("reveal", *asked, "--field", other, extra=extra)
    assert (refused.code, refused.stdout) == (77, "")
    both = vault.run("reveal", *asked, extra=extra)
    assert (both.code, both.stdout) == (77, "")
    lines = vault.run("reveal", "doctor", "--output", "json", extra=extra).lines
    found = {line["check"]: line for line in lines}
    # With the one field, IAM allows the try that KMS must refuse.
    assert found["kms_contexts"]["ok"], found
    assert found["kms_permissions"]["ok"], found
    assert f"KMS allows {own}, and not " in found["kms_permissions"]["detail"]
    assert _opened_at_kms(vault, key) == {("data", own), ("token", own)}


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


def _user_of(vault: Vault, declaration: Declaration, field: str) -> Credentials:
    """An emulator's user with the policies of the role that the template has for this field."""
    role = f"Reveal{OwnRole(field).id}Role"
    names = {f"{KEYS[purpose]}.Arn": arn for purpose, arn in vault.provisioned.key_arns.items()}
    document = Template.load(declaration, role_per_field=True).role_policy(role, names)
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
