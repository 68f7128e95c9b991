"""The templates of deploy/aws, deployed to moto: each nested stack with the outputs of those before it.

moto nests stacks without their outputs, so the test reads the root and creates its stacks one after the other. It
makes no alarm, secret, schedule, metric filter and autoscaling of a template, and keeps no role of a task:
these are only linted.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
import yaml

from tests.deploy.aws.templates import GIVEN, Root, read
from tests.kit.waiting import until
from vault_etl.local.processes import free_port

pytestmark = pytest.mark.system

ACCOUNT, REGION = "123456789012", "eu-central-1"  # moto's own account
PSEUDO = {
    "AWS::AccountId": ACCOUNT,
    "AWS::Region": REGION,
    "AWS::Partition": "aws",
    "AWS::URLSuffix": "amazonaws.com",
}

UNKNOWN = {
    "Database": {
        "ResourceId": "db-ABCDEFGHIJKL01234",
        **{
            f"{name}Arn": f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{name}"
            for name in ("DeployerSecret", "RotatePassword", "AuditPassword", "ErasePassword")
        },
    },
    "Alarms": {"ScheduleGroup": "vault-etl"},
}
"""Outputs of a nested stack of which moto lacks the attribute or the resource, and made-up values for them."""
LEFT_OUT = {"Database": ("Database", "DBParameterGroupName")}
"""A property that moto does not read when it is a reference, by the nested stack and its resource."""


class Deployed:
    """A moto server of its own, with every template in it."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self.root = Root({**GIVEN, **PSEUDO})
        for name, file in self.root.nested.items():
            template, unknown = read(file), UNKNOWN.get(name, {})
            for output in unknown:
                del template["Outputs"][output]
            if name in LEFT_OUT:
                resource, left_out = LEFT_OUT[name]
                del template["Resources"][resource]["Properties"][left_out]
            self.root.made(name, self._create(name, template) | unknown)

    def client(self, service: Any) -> Any:  # noqa: ANN401 - as boto3's own
        """A client of the server."""
        return boto3.client(
            service,
            endpoint_url=self._endpoint,
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    def _create(self, name: str, template: dict[str, Any]) -> dict[str, str]:
        cloudformation = self.client("cloudformation")
        cloudformation.create_stack(
            StackName=name,
            TemplateBody=yaml.safe_dump(template),
            Parameters=[
                {"ParameterKey": key, "ParameterValue": value}
                for key, value in self.root.parameters(name).items()
            ],
            Capabilities=["CAPABILITY_NAMED_IAM"],
        )
        (stack,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
        assert stack["StackStatus"] == "CREATE_COMPLETE"
        return {each["OutputKey"]: each["OutputValue"] for each in stack.get("Outputs", [])}


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """Everything of the second step of a deployment, on moto's own server, which judges no policy."""
    port = free_port()
    place = tmp_path_factory.mktemp("aws")
    log = (place / "moto.log").open("wb")
    command = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)]
    server = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        until(lambda: "Running on" in (place / "moto.log").read_text(encoding="utf-8"))
        yield Deployed(f"http://127.0.0.1:{port}")
    finally:
        server.kill()
        server.wait()
        log.close()


def test_the_database_is_private_and_encrypted(deployed: Deployed) -> None:
    """It is in the subnets of the network, with backups; its parameters force TLS."""
    rds = deployed.client("rds")
    (database,) = rds.describe_db_instances()["DBInstances"]
    assert database["StorageEncrypted"] is True
    assert database["MultiAZ"] is True
    assert database["BackupRetentionPeriod"] == 14
    subnets = {each["SubnetIdentifier"] for each in database["DBSubnetGroup"]["Subnets"]}
    assert subnets == set(deployed.root.parameters("Database")["SubnetIds"].split(","))
    groups = rds.describe_db_parameter_groups()["DBParameterGroups"]
    (own,) = [each["DBParameterGroupName"] for each in groups if "vault-etl" in each["Description"]]
    parameters = rds.describe_db_parameters(DBParameterGroupName=own)["Parameters"]
    values = {each["ParameterName"]: each["ParameterValue"] for each in parameters}
    assert (values["rds.force_ssl"], values["log_parameter_max_length"]) == ("1", "0")


def test_the_network_leads_to_the_services_and_nowhere_else(deployed: Deployed) -> None:
    """Each route is local or to the gateway of S3, and an endpoint of both subnets leads to each service."""
    ec2 = deployed.client("ec2")
    vpc = {"Name": "vpc-id", "Values": [_vpc(deployed)]}
    endpoints = ec2.describe_vpc_endpoints(Filters=[vpc])["VpcEndpoints"]
    names = {each["ServiceName"].removeprefix(f"com.amazonaws.{REGION}.") for each in endpoints}
    assert names == {
        *("s3", "sqs", "kms", "sts", "logs", "secretsmanager"),
        *("ecr.api", "ecr.dkr", "ssmmessages"),
    }
    assert {len(e["SubnetIds"]) for e in endpoints if e["VpcEndpointType"] == "Interface"} == {2}
    tables = ec2.describe_route_tables(Filters=[vpc])["RouteTables"]
    routes = [route for table in tables for route in table["Routes"]]
    assert {route.get("GatewayId", "").partition("-")[0] for route in routes} <= {"local", "vpce"}


def _vpc(deployed: Deployed) -> str:
    ids = deployed.root.parameters("Database")["SubnetIds"].split(",")
    subnets = deployed.client("ec2").describe_subnets(SubnetIds=ids)["Subnets"]
    (vpc,) = {each["VpcId"] for each in subnets}
    return str(vpc)


def test_each_task_has_the_login_and_the_settings_of_its_command(deployed: Deployed) -> None:
    """The worker logs in by IAM; a job has the password of its own login, and no other secret."""
    ecs = deployed.client("ecs")
    logins = {}
    for arn in ecs.list_task_definitions()["taskDefinitionArns"]:
        task = ecs.describe_task_definition(taskDefinition=arn)["taskDefinition"]
        (container,) = task["containerDefinitions"]
        if task["family"] == "vault-etl-tunnel":
            assert "environment" not in container or container["environment"] == []
            continue
        settings = {each["name"]: each["value"] for each in container["environment"]}
        secrets = {each["name"]: each["valueFrom"] for each in container.get("secrets", [])}
        url = settings["VAULT_ETL_DATABASE_URL"]
        login = url.removeprefix("postgresql://").partition("@")[0]
        assert deployed.root.parameters("Service")["DatabaseAddress"] in url
        assert settings["VAULT_ETL_QUEUE_URL"].endswith("/vault-etl-logins")
        assert settings["VAULT_ETL_TRUSTED_KEY_ARNS"].count("arn:aws:kms:") == 2
        assert container["image"].startswith(f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/vault-etl@")
        logins[task["family"].removeprefix("vault-etl-")] = (login, list(secrets))
    assert logins == {
        "ingest": ("iam_ingest", []),
        "rotate": ("scheduled_rotate", ["PGPASSWORD"]),
        "checkpoint": ("scheduled_audit", ["PGPASSWORD"]),
        "verify": ("scheduled_audit", ["PGPASSWORD"]),
        "status": ("scheduled_audit", ["PGPASSWORD"]),
        "retention": ("scheduled_erase", ["PGPASSWORD"]),
    }


def test_the_roles_of_the_vault_are_bound_to_the_network_and_the_database(
    deployed: Deployed,
) -> None:
    """The nested template of keys got the endpoints of the network, and the login of this database."""
    iam = deployed.client("iam")
    statements = {}
    for policy in iam.list_policies(Scope="Local")["Policies"]:
        arn, version = policy["Arn"], policy["DefaultVersionId"]
        document = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]
        for statement in document["Document"]["Statement"]:
            statements[statement.get("Sid")] = statement
    bound = statements["OwnNetworkAlone"]["Condition"]["StringNotEquals"]["aws:SourceVpce"]
    assert sorted(bound) == sorted(
        deployed.root.parameters("Keys")["WorkloadVpcEndpoints"].split(",")
    )
    (login,) = statements["LogIn"]["Resource"]
    assert login.endswith(":dbuser:db-ABCDEFGHIJKL01234/iam_ingest")


def test_the_rule_of_failed_commands_tells_the_topic_of_the_alarms(deployed: Deployed) -> None:
    """Its pattern names the group in which schedules start their tasks."""
    events = deployed.client("events")
    (rule,) = events.list_rules()["Rules"]
    group = read("job.yaml")["Resources"]["Timer"]["Properties"]["Target"]["EcsParameters"]["Group"]
    assert json.loads(rule["EventPattern"])["detail"]["group"] == [group]
    (target,) = events.list_targets_by_rule(Rule=rule["Name"])["Targets"]
    assert target["Arn"].endswith(":vault-etl-alarms")
