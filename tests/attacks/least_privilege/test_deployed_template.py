"""The template, deployed through CloudFormation (LocalStack's), and the main job on what it made."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import boto3
import pytest

from tests.kit.declarations import DEFAULT
from tests.kit.vault import ROLES, SAMPLES, Vault, sample_events
from vault_etl.declaration.iam import iam_template
from vault_etl.local.emulator import Emulator
from vault_etl.local.postgres import RunningPostgres
from vault_etl.local.provision import Credentials, EmulatorSession, Provisioned, provision_resources
from vault_etl.local.template import KEYS, Template

ACCOUNT, REGION = "111122223333", "eu-central-1"  # LocalStack takes its account from the access key
pytestmark = pytest.mark.iam

STACK = "vault-etl"
BODY = iam_template(DEFAULT, role_per_field=True)
QUEUE_ATTRIBUTES = (
    "SqsManagedSseEnabled",
    "VisibilityTimeout",
    "MessageRetentionPeriod",
    "ReceiveMessageWaitTimeSeconds",
)


@dataclass(frozen=True, slots=True)
class Deployed:
    """A stack that CloudFormation made, in an account and a region where nothing else is."""

    endpoint: str
    outputs: Mapping[str, str]
    resources: Mapping[str, str]
    """Name in the template → physical id."""

    account: str = ACCOUNT

    def client(self, service: Any) -> Any:  # noqa: ANN401 - as boto3's own
        """A client in that account and region."""
        return _client(self.endpoint, service, self.account)


@pytest.fixture(scope="module")
def deployed(localstack: Emulator) -> Deployed:
    """The template as it is, deployed with its defaults."""
    return _deploy(localstack.endpoint, ACCOUNT, {})


def _deploy(endpoint: str, account: str, parameters: Mapping[str, str]) -> Deployed:
    cloudformation = _client(endpoint, "cloudformation", account)
    cloudformation.create_stack(
        StackName=STACK,
        TemplateBody=BODY,
        Parameters=[
            {"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()
        ],
        Capabilities=["CAPABILITY_NAMED_IAM"],
    )
    cloudformation.get_waiter("stack_create_complete").wait(
        StackName=STACK, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
    (stack,) = cloudformation.describe_stacks(StackName=STACK)["Stacks"]
    made = cloudformation.describe_stack_resources(StackName=STACK)["StackResources"]
    return Deployed(
        endpoint,
        {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]},
        {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in made},
        account,
    )


@pytest.fixture(scope="module")
def vault(
    deployed: Deployed, postgres: RunningPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Vault]:
    """An empty database beside the deployed keys and queues; the settings are the stack's outputs."""
    key = Credentials(ACCOUNT, "test")
    session = EmulatorSession(deployed.endpoint, key)
    arns = {purpose: deployed.outputs[f"{name}Arn"] for purpose, name in KEYS.items()}
    provisioned = Provisioned(
        session.on_endpoint(deployed.outputs["QueueUrl"]),
        session.on_endpoint(deployed.outputs["DeadLetterQueueUrl"]),
        arns,
        dict.fromkeys((*ROLES, "operator"), key),
    )
    database = f"deployed_{uuid.uuid4().hex[:12]}"
    home = tmp_path_factory.mktemp("deployed")
    overrides = {
        "AWS_REGION": REGION,
        "VAULT_ETL_TRUSTED_KEY_ARNS": f"{arns['data']},{arns['token']}",
        "VAULT_ETL_DRAIN_WAIT": "0",
    }
    around = Vault(postgres, "postgres", deployed.endpoint, provisioned, home)
    around.sql(f'CREATE DATABASE "{database}"')
    yield Vault(postgres, database, deployed.endpoint, provisioned, home, overrides)
    around.sql(f'DROP DATABASE "{database}" WITH (FORCE)')


def test_the_main_job_runs_on_what_cloudformation_made(vault: Vault) -> None:
    """Migrate, keys init, seed, ingest, reveal, rotate, reveal: on the stack's keys and queue alone."""
    vault.ok("admin", "migrate")
    assert vault.ok("audit", "audit", "checkpoint").json["seq"] == 2
    vault.ok("re-encrypt", "keys", "init")
    assert vault.ok("admin", "local", "seed", str(SAMPLES)).json == {"sent": 100}
    summary = vault.ok("ingest", "ingest").json
    assert (summary["stored"], summary["quarantined"], summary["deleted"]) == (99, 1, 100)
    ((record, user),) = vault.sql("SELECT record_id::text, user_id FROM user_logins LIMIT 1")
    (sent,) = (event for event in map(_event, sample_events()) if event.get("user_id") == user)
    for role in ("ingest", "reveal"):  # LocalStack's free edition has neither dry runs nor policies
        found = {line["check"]: line for line in vault.run(role, "doctor").lines}
        assert found["kms_permissions"]["ok"] is None, found["kms_permissions"]
        assert "ignores the dry run" in found["kms_permissions"]["detail"]
    asked = ("reveal", str(record), "--reason", "a case")
    first = vault.ok("reveal", *asked).json["fields"]
    assert first == {field: sent[field] for field in ("ip", "device_id")}
    rotated = vault.ok("re-encrypt", "keys", "rotate", "--yes").json
    assert (rotated["values_reencrypted"], rotated["values_remaining"]) == (2 * 99 + 1, 0)
    assert vault.ok("reveal", *asked).json["fields"] == first
    used = vault.sql("SELECT DISTINCT purpose, kms_key_arn FROM data_keys")
    arns = vault.provisioned.key_arns
    wrapped_by = {"data": arns["data"], "token": arns["token"], "source": arns["token"]}
    assert {tuple(row) for row in used} == set(wrapped_by.items())


def test_every_resource_of_the_template_was_made(deployed: Deployed) -> None:
    """CloudFormation made all of them, and none but them."""
    template = deployed.client("cloudformation").get_template(StackName=STACK)["TemplateBody"]
    assert template == BODY
    assert set(deployed.resources) == set(Template.load(DEFAULT, role_per_field=True)._resources)


@pytest.mark.parametrize(
    "role", ["owner", "ingest", "reveal", "rotate", "re-encrypt", "erase", "audit"]
)
def test_the_embedded_stack_judges_by_the_policies_that_cloudformation_attached(
    deployed: Deployed, role: str
) -> None:
    """`Template.policy` of a role is what CloudFormation attached to the role, word for word."""
    wanted = Template.load(DEFAULT).policy(role, _names(deployed))["Statement"]
    assert _as_set(_attached(deployed, role)) == _as_set(wanted)


PARAMETERS = {
    "WorkloadVpcEndpoints": "vpce-0123456789abcdef0,vpce-0fedcba9876543210",
    "Producers": f"arn:aws:iam::{ACCOUNT}:role/web",
    "SecondFactorSeconds": "900",
    "DatabaseResource": "cluster-ABCDEFGHIJKL01234",
}


def test_statements_that_parameters_switch_on_are_those_we_read_into_the_template(
    localstack: Emulator,
) -> None:
    """With parameters given, CloudFormation makes the policies that our own reader makes of them."""
    deployed = _deploy(localstack.endpoint, "777788889999", PARAMETERS)
    template = Template.load(DEFAULT, **PARAMETERS)
    names = _names(deployed)
    for role in ("ingest", "reveal", "rotate", "audit"):
        wanted = template.policy(role, names)["Statement"]
        assert _as_set(_attached(deployed, role)) == _as_set(wanted)
        sids = [statement["Sid"] for statement in wanted]
        assert ("OwnNetworkAlone" in sids) is (role != "reveal")
        assert ("LogIn" in sids) is (role == "ingest")
    sqs, queue = deployed.client("sqs"), deployed.outputs["QueueUrl"]
    attributes = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["Policy"])["Attributes"]
    policy = template.resolved_properties("QueuePolicy", names)["PolicyDocument"]
    made = json.loads(attributes["Policy"])["Statement"]
    assert _as_set(made) == _as_set(policy["Statement"])
    assert "SendingIsForProducers" in {statement["Sid"] for statement in made}
    trust = deployed.client("iam").get_role(RoleName="vault-etl-reveal")["Role"]
    (person,) = trust["AssumeRolePolicyDocument"]["Statement"]
    assert person["Condition"]["NumericLessThan"] == {"aws:MultiFactorAuthAge": "900"}


def _attached(deployed: Deployed, role: str) -> list[Any]:
    iam = deployed.client("iam")
    attached = iam.list_attached_role_policies(RoleName=f"vault-etl-{role}")["AttachedPolicies"]
    statements = []
    for policy in attached:
        arn = policy["PolicyArn"]
        version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        document = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]
        statements += document["Document"]["Statement"]
    return statements


def _names(deployed: Deployed) -> dict[str, str]:
    queues = {
        f"{name}.Arn": f"arn:aws:sqs:{REGION}:{deployed.account}:{deployed.resources[name].rpartition('/')[2]}"
        for name in ("LoginQueue", "DeadLetterQueue")
    }
    keys = {f"{name}.Arn": deployed.outputs[f"{name}Arn"] for name in KEYS.values()}
    own = {"AWS::Partition": "aws", "AWS::Region": REGION, "AWS::AccountId": deployed.account}
    return own | keys | queues


def test_the_embedded_stack_has_the_keys_and_queues_that_cloudformation_makes(
    deployed: Deployed,
) -> None:
    """Our own provisioning, on the same emulator beside it, makes the like of every key and queue."""
    beside = EmulatorSession(deployed.endpoint, Credentials("444455556666", "test"))
    made = provision_resources(beside)
    ours, theirs = beside.client("kms"), deployed.client("kms")
    for purpose in KEYS:
        alias = f"alias/vault-etl-{purpose}"
        assert _key(ours, alias) == _key(theirs, alias)
    for url, name in ((made.queue_url, "QueueUrl"), (made.dead_letter_url, "DeadLetterQueueUrl")):
        assert _queue(beside.client("sqs"), url) == _queue(
            deployed.client("sqs"), beside.on_endpoint(deployed.outputs[name])
        )


def _client(endpoint: str, service: Any, account: str = ACCOUNT) -> Any:  # noqa: ANN401
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id=account,
        aws_secret_access_key="test",
    )


def _as_set(statements: list[Any]) -> set[str]:
    return {json.dumps(statement, sort_keys=True) for statement in statements}


def _event(body: str) -> dict[str, Any]:
    parsed = json.loads(body)
    return parsed if isinstance(parsed, dict) else {}


def _key(kms: Any, alias: str) -> tuple[object, ...]:  # noqa: ANN401
    described = kms.describe_key(KeyId=alias)["KeyMetadata"]
    rotates = (
        kms.get_key_rotation_status(KeyId=described["KeyId"])["KeyRotationEnabled"]
        if described["KeyUsage"] == "ENCRYPT_DECRYPT"
        else None
    )
    wanted = ("KeySpec", "KeyUsage", "Description", "Enabled")
    return (*(described[name] for name in wanted), rotates)


def _queue(sqs: Any, url: str) -> dict[str, object]:  # noqa: ANN401
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    redrive = json.loads(attributes.get("RedrivePolicy", "{}"))
    redrive.pop("deadLetterTargetArn", None)  # of another account
    return {name: attributes[name] for name in QUEUE_ATTRIBUTES} | {"redrive": redrive}
