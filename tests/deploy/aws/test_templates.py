"""The templates of deploy/aws: what CloudFormation's linter says of them, and what holds between them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.aws.templates import FOLDER, KEYS, Root, jobs, laid_out, read
from vault_etl.settings.model import Settings


@pytest.mark.command
def test_cfn_lint_accepts_the_templates(tmp_path: Path) -> None:
    """It has no finding, not even an information, about any template, its nested stacks and their parameters."""
    (tmp_path / "aws").mkdir()
    program = Path(sys.executable).parent / "cfn-lint"
    paths = map(str, laid_out(tmp_path / "aws"))
    command = [str(program), "--include-checks", "I", "--", *paths]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_every_template_is_nested_or_deployed_by_itself() -> None:
    """The root names each file, but itself and the function's."""
    assert {path.name for path in FOLDER.glob("*.yaml")} | {KEYS} == {
        *Root({}).nested.values(),
        "stack.yaml",
        "lambda.yaml",
    }


def containers() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each container of the templates' task definitions, by the name of its resource."""
    for name in ("service.yaml", "job.yaml", "tunnel.yaml"):
        for resource, each in read(name)["Resources"].items():
            if each["Type"] == "AWS::ECS::TaskDefinition":
                yield resource, each["Properties"]["ContainerDefinitions"][0]


def test_containers_are_confined_and_have_the_time_that_a_drain_takes() -> None:
    """Read-only and without capabilities, but for the tunnel, whose agent writes; no container is root's."""
    found = dict(containers())
    assert set(found) == {"Worker", "Task", "Tunnel"}
    assert {container["User"] for container in found.values()} == {"10001"}
    del found["Tunnel"]
    for container in found.values():
        assert container["ReadonlyRootFilesystem"]
        assert container["LinuxParameters"]["Capabilities"] == {"Drop": ["ALL"]}
        assert container["StopTimeout"] > Settings().stop_within
        url = next(e for e in container["Environment"] if e["Name"] == "VAULT_ETL_DATABASE_URL")
        assert "sslmode=verify-full" in url["Value"]["Fn::Sub"]
    assert found["Worker"]["HealthCheck"]["Command"][-1] == "vault_etl.ingest.metrics.health"


def test_nothing_leads_to_the_internet() -> None:
    """No gateway, no public address, and no security group that lets in an address."""
    resources = read("network.yaml")["Resources"].values()
    kinds = {each["Type"].rpartition("::")[2] for each in resources}
    assert not kinds & {"InternetGateway", "NatGateway", "EIP", "Route"}
    rules = [
        rule for each in resources for rule in each["Properties"].get("SecurityGroupIngress", [])
    ]
    rules += [r["Properties"] for r in resources if r["Type"] == "AWS::EC2::SecurityGroupIngress"]
    assert len(rules) == 2
    assert not any("CidrIp" in rule for rule in rules)


def test_the_database_is_kept_and_takes_logins_of_iam() -> None:
    """What moto does not keep of the template."""
    database = read("database.yaml")["Resources"]["Database"]
    assert database["DeletionPolicy"] == database["UpdateReplacePolicy"] == "Snapshot"
    properties = database["Properties"]
    for wanted in (
        "DeletionProtection",
        "EnableIAMDatabaseAuthentication",
        "ManageMasterUserPassword",
    ):
        assert properties[wanted] is True, wanted
    assert properties["PubliclyAccessible"] is False
    assert properties["DBParameterGroupName"] == {"Ref": "Settings"}


def test_each_job_has_a_role_that_ecs_may_assume() -> None:
    """The template of keys has the role, and its trust lets in the workload services."""
    roles = {
        each["Properties"]["RoleName"]: each["Properties"]["AssumeRolePolicyDocument"]["Statement"]
        for each in read(KEYS)["Resources"].values()
        if each["Type"] == "AWS::IAM::Role"
    }
    asked = [job["Role"] for job in jobs().values()]
    assert len(asked) == 5
    for role in [*asked, "vault-etl-ingest"]:
        assert {"Ref": "WorkloadServices"} in [
            statement["Principal"].get("Service") for statement in roles[role]
        ]


def test_the_function_answers_for_each_message_and_its_queue_waits_long_enough() -> None:
    """Partial batch responses; a mapping as wide as the function; six timeouts of visibility; a full role."""
    function = read("lambda.yaml")["Resources"]["Function"]["Properties"]
    mapping = function["Events"]["Queue"]["Properties"]
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert (
        mapping["ScalingConfig"]["MaximumConcurrency"] == function["ReservedConcurrentExecutions"]
    )
    root = Root({"Ingest": "lambda", "DatabaseIsSetUp": "yes"})
    root.made("Database", {"ResourceId": "db-1"})
    root.made("Network", {"WorkloadEndpointIds": "vpce-1,vpce-2"})
    keys = root.parameters("Keys")
    assert int(keys["QueueVisibilityTimeout"]) == 6 * function["Timeout"]
    assert keys["WorkloadVpcEndpoints"] == "none"  # Lambda itself receives
    assert "lambda.amazonaws.com" in keys["WorkloadServices"].split(",")


@pytest.mark.parametrize(
    ("given", "state"),
    [
        ({"DatabaseIsSetUp": "no", "Ingest": "fargate"}, "none"),
        ({"DatabaseIsSetUp": "yes", "Ingest": "lambda"}, "none"),
        ({"DatabaseIsSetUp": "yes", "Ingest": "fargate"}, "running"),
    ],
)
def test_a_worker_runs_once_there_is_a_database_and_no_function(
    given: dict[str, str], state: str
) -> None:
    """Before that it would end, start again, and make new data keys each time."""
    root = Root({**given, "Email": "ops@example.com"})
    url = "https://sqs.eu-central-1.amazonaws.com/111122223333/"
    root.made("Keys", {"QueueUrl": f"{url}a", "DeadLetterQueueUrl": f"{url}b"})
    parameters = root.parameters("Alarms")
    assert parameters["State"] == state
    assert (parameters["QueueName"], parameters["DeadLetterQueueName"]) == ("a", "b")
