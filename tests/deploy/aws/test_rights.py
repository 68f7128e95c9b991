"""What each role, endpoint and group of deploy/aws may do, statement by statement: a wider one fails here."""

from __future__ import annotations

from typing import Any, Final

import pytest

from tests.deploy.aws.templates import FOLDER, read

OWN_ACCOUNT: Final = {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
OWN_PRINCIPALS: Final = {"StringEquals": {"aws:PrincipalAccount": {"Ref": "AWS::AccountId"}}}
ASSUMED_BY: Final = {
    "service.yaml StartRole": "ecs-tasks.amazonaws.com",
    "job.yaml StartRole": "ecs-tasks.amazonaws.com",
    "job.yaml ScheduleRole": "scheduler.amazonaws.com",
    "tunnel.yaml TunnelRole": "ecs-tasks.amazonaws.com",
}
ON_ALL: Final = {
    "ecr:GetAuthorizationToken",
    "ssmmessages:CreateControlChannel",
    "ssmmessages:CreateDataChannel",
    "ssmmessages:OpenControlChannel",
    "ssmmessages:OpenDataChannel",
}
"""Actions that AWS allows on all resources or on none."""
START: Final = {
    "ecr:BatchCheckLayerAvailability": {"Ref": "RepositoryArn"},
    "ecr:BatchGetImage": {"Ref": "RepositoryArn"},
    "ecr:GetAuthorizationToken": "*",
    "ecr:GetDownloadUrlForLayer": {"Ref": "RepositoryArn"},
}
ROLE_OF_JOB: Final = {
    "Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:role/${Role}",
}


def resources(kind: str) -> dict[str, dict[str, Any]]:
    """The properties of each resource of a kind, by its template and name."""
    return {
        f"{path.name} {name}": each["Properties"]
        for path in sorted(FOLDER.glob("*.yaml"))
        for name, each in read(path.name)["Resources"].items()
        if each["Type"] == kind
    }


def allowed(role: str) -> dict[str, Any]:
    """The resource of each action that a role may take. Each statement allows, and none has `NotAction`."""
    found = {}
    for policy in resources("AWS::IAM::Role")[role]["Policies"]:
        for statement in policy["PolicyDocument"]["Statement"]:
            assert statement["Effect"] == "Allow"
            assert set(statement) <= {"Effect", "Action", "Resource", "Condition"}
            actions = statement["Action"]
            for action in [actions] if isinstance(actions, str) else actions:
                assert action not in found
                found[action] = statement["Resource"]
    return found


def test_a_role_is_assumed_by_one_service_for_this_account() -> None:
    """A service that works for a stranger's account does not get the role."""
    roles = resources("AWS::IAM::Role")
    assert set(roles) == set(ASSUMED_BY)
    for name, service in ASSUMED_BY.items():
        (statement,) = roles[name]["AssumeRolePolicyDocument"]["Statement"]
        assert statement == {
            "Effect": "Allow",
            "Principal": {"Service": service},
            "Action": "sts:AssumeRole",
            "Condition": OWN_ACCOUNT,
        }
        assert not {"ManagedPolicyArns", "PermissionsBoundary"} & set(roles[name])


def test_a_role_may_do_what_its_service_does_and_no_more() -> None:
    """Only the start of a job reads a secret: that of its own login."""
    log: dict[str, Any] = {"Fn::GetAtt": ["Log", "Arn"]}
    assert allowed("service.yaml StartRole") == {
        **START,
        "logs:CreateLogStream": log,
        "logs:PutLogEvents": log,
    }
    log = {
        "Fn::Sub": "arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:log-group:${LogGroup}:*"
    }
    assert allowed("job.yaml StartRole") == {
        **START,
        "logs:CreateLogStream": log,
        "logs:PutLogEvents": log,
        "secretsmanager:GetSecretValue": {"Ref": "PasswordArn"},
    }
    tunnel = allowed("tunnel.yaml TunnelRole")
    assert tunnel == dict.fromkeys(ON_ALL - {"ecr:GetAuthorizationToken"}, "*")


def test_a_schedule_starts_its_task_in_its_cluster_and_passes_on_its_two_roles() -> None:
    """Another task or cluster would run with the role, and another service could be given it."""
    (policy,) = resources("AWS::IAM::Role")["job.yaml ScheduleRole"]["Policies"]
    assert policy["PolicyDocument"]["Statement"] == [
        {
            "Effect": "Allow",
            "Action": "ecs:RunTask",
            "Resource": {"Ref": "Task"},
            "Condition": {"ArnEquals": {"ecs:cluster": {"Ref": "ClusterArn"}}},
        },
        {
            "Effect": "Allow",
            "Action": "iam:PassRole",
            "Resource": [{"Fn::GetAtt": ["StartRole", "Arn"]}, ROLE_OF_JOB],
            "Condition": {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}},
        },
    ]


def test_each_job_has_the_password_of_the_login_of_its_role() -> None:
    """A command with the secret of another one would have its rights in the database."""
    for path, stack in resources("AWS::CloudFormation::Stack").items():
        if stack["TemplateURL"] == "job.yaml":
            given = stack["Parameters"]
            role = given["Role"].removeprefix("vault-etl-")
            assert given["Login"] == f"scheduled_{role}", path
            secret = f"Outputs.{role.capitalize()}PasswordArn"
            assert given["PasswordArn"] == {"Fn::GetAtt": ["Database", secret]}, path


def test_nobody_gets_a_shell_in_the_worker() -> None:
    """ECS opens none, and its role has no action of the session manager."""
    (service,) = resources("AWS::ECS::Service").values()
    assert service["EnableExecuteCommand"] is False
    assert service["NetworkConfiguration"]["AwsvpcConfiguration"]["AssignPublicIp"] == "DISABLED"


def test_endpoints_take_principals_of_this_account_alone() -> None:
    """But for two that have no policy. The gateway of S3 is for the layers of images."""
    endpoints = resources("AWS::EC2::VPCEndpoint")
    without = {name for name, each in endpoints.items() if "PolicyDocument" not in each}
    assert without == {"network.yaml EcrDockerEndpoint", "network.yaml SessionMessagesEndpoint"}
    for name in endpoints.keys() - without:
        (statement,) = endpoints[name]["PolicyDocument"]["Statement"]
        if name == "network.yaml S3Endpoint":
            layers = "arn:${AWS::Partition}:s3:::prod-${AWS::Region}-starport-layer-bucket/*"
            assert (statement["Action"], statement["Resource"]) == (
                "s3:GetObject",
                {"Fn::Sub": layers},
            )
        else:
            assert statement["Condition"] == OWN_PRINCIPALS, name


@pytest.mark.parametrize(
    ("group", "ports"),
    [("WorkloadGroup", {443, 5432}), ("DatabaseGroup", {1}), ("EndpointGroup", set())],
)
def test_groups_let_out_what_is_needed(group: str, ports: set[int]) -> None:
    """Postgres is reached by its group alone. A group without a rule would let out everything."""
    each = resources("AWS::EC2::SecurityGroup")[f"network.yaml {group}"]
    rules = each.get("SecurityGroupEgress", [])
    assert {rule["FromPort"] for rule in rules} == {rule["ToPort"] for rule in rules} == ports
    for rule in rules:
        if rule["FromPort"] == 5432:
            assert rule["DestinationSecurityGroupId"] == {
                "Fn::GetAtt": ["DatabaseGroup", "GroupId"]
            }
        if rule["FromPort"] == 1:
            assert rule["CidrIp"] == "127.0.0.1/32"


def test_postgres_logs_no_value_and_takes_no_plain_connection() -> None:
    """What docs/how-to/database.md asks of the parameter group."""
    (group,) = resources("AWS::RDS::DBParameterGroup").values()
    assert group["Parameters"] == {
        "rds.force_ssl": "1",
        "password_encryption": "scram-sha-256",
        "log_parameter_max_length": "0",
        "log_parameter_max_length_on_error": "0",
        "log_error_verbosity": "terse",
        "idle_in_transaction_session_timeout": "60000",
    }
