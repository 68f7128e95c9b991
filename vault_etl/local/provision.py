"""Makes in an emulator what CloudFormation makes on AWS: keys, aliases, queues; and a user per role.

The template of `vault-etl schema iam` defines the resources. Key policies and queue policies are left out, because
no emulator enforces them. `EmulatorSession` makes clients without the user's AWS settings.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, Request, build_opener

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from vault_etl.base.errors import UnavailableError
from vault_etl.declaration.model import Declaration
from vault_etl.declaration.read import read_declaration
from vault_etl.local.emulator import REGION
from vault_etl.local.kept_keys import kept_key_tags
from vault_etl.local.policies import BOUNDARY_SUFFIX, ROLES, boundary, identity_policy
from vault_etl.local.template import ARCHIVE_BUCKET, KEYS, Template
from vault_etl.platform.aws_errors import code_of
from vault_etl.platform.aws_models import share_models

if TYPE_CHECKING:
    from types_boto3_iam import IAMClient
    from types_boto3_kms import KMSClient
    from types_boto3_sqs import SQSClient

_SWITCH_SECONDS = 10
_CONFIG = Config(
    connect_timeout=5,  # seconds, as the next
    read_timeout=60,
    retries={"mode": "standard", "total_max_attempts": 3},
    proxies={},  # no proxy for loopback
)


@dataclass(frozen=True, slots=True)
class Credentials:
    """An access key of the emulator. The repr shows no secret."""

    access_key_id: str
    secret_access_key: str = field(repr=False)

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which a command signs its calls with this key."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
        }


class EmulatorSession:
    """Makes clients of the emulator at `endpoint`, with these credentials and no other setting."""

    def __init__(self, endpoint: str, credentials: Credentials) -> None:
        self._endpoint = endpoint
        self._session = botocore.session.Session(
            session_vars={
                "profile": (None, None, None, None),
                "config_file": (None, None, os.devnull, None),
                "credentials_file": (None, None, os.devnull, None),
            }
        )
        share_models(self._session)
        self._session.set_credentials(credentials.access_key_id, credentials.secret_access_key)
        self._clients: dict[str, Any] = {}

    def client(self, service: Any) -> Any:  # noqa: ANN401  # as botocore's own type says
        """Return the client of "sqs", "kms", "sts", "iam" or "s3". Clients are kept: making one is slow."""
        if service not in self._clients:
            self._clients[service] = self._session.create_client(
                service, REGION, endpoint_url=self._endpoint, config=_CONFIG
            )
        return self._clients[service]

    def on_endpoint(self, queue_url: str) -> str:
        """Return the URL with the emulator's own address: LocalStack's host name needs DNS."""
        scheme, address = urlsplit(self._endpoint)[:2]
        return urlsplit(queue_url)._replace(scheme=scheme, netloc=address).geturl()

    def switch_authentication_on(self) -> None:
        """Make moto check signatures and policies from now on. LocalStack has no such switch."""
        request = Request(  # noqa: S310  # the emulator's own address
            f"{self._endpoint}/moto-api/reset-auth",
            data=b"0",  # the number of further calls that need no permission
            headers={"Content-Type": "text/plain"},
        )
        with build_opener(ProxyHandler({})).open(request, timeout=_SWITCH_SECONDS):
            pass


# Both emulators accept any credentials until authentication is switched on.
_ANY_CREDENTIALS = Credentials("test", "test")
_QUEUE_ATTRIBUTES = (
    "SqsManagedSseEnabled",
    "VisibilityTimeout",
    "MessageRetentionPeriod",
    "ReceiveMessageWaitTimeSeconds",
    "RedrivePolicy",
    "FifoQueue",
)


@dataclass(frozen=True, slots=True)
class Resources:
    """The keys, and the first queue. `key_arns` is by purpose: data, token, audit, archive."""

    queue_url: str
    dead_letter_url: str
    key_arns: Mapping[str, str]
    names: Mapping[str, str] = field(repr=False)
    """The values of the template's names: {"DataKey.Arn": …, "AWS::Region": …}."""


@dataclass(frozen=True, slots=True)
class Provisioned:
    """The resources in the emulator that the stack needs, and each role's access key."""

    queue_url: str
    dead_letter_url: str
    key_arns: Mapping[str, str]
    credentials: Mapping[str, Credentials] = field(repr=False)


def provision(endpoint: str, declaration: Declaration, *, authenticate: bool = True) -> Provisioned:
    """Make everything in a fresh emulator; the users may do what the roles of the declaration may.

    `authenticate` switches moto's checks of signatures and permissions on at the end; LocalStack's
    free edition has no such checks. Raises UnavailableError if the emulator does not answer, or
    refuses.
    """
    session = EmulatorSession(endpoint, _ANY_CREDENTIALS)
    resources = provision_resources(session, declaration)
    with _setting_up():
        session.client("s3").create_bucket(Bucket=ARCHIVE_BUCKET)
        credentials = _provision_users(session, declaration, resources.names)
        if authenticate:
            session.switch_authentication_on()
        for role in ROLES:
            EmulatorSession(endpoint, credentials[role]).client("sts").get_caller_identity()
    return Provisioned(
        resources.queue_url, resources.dead_letter_url, resources.key_arns, credentials
    )


def provision_resources(
    session: EmulatorSession,
    declaration: Declaration | None = None,
    *,
    kept_keys: Path | None = None,
) -> Resources:
    """Make the missing keys and aliases, and the queues of a declaration: of the default, if none is given.

    A LocalStack that starts again gets the same keys from the folder `kept_keys`. Safe to repeat. Raises
    UnavailableError if the emulator does not answer, or refuses.
    """
    template = Template.load(declaration or read_declaration(None))
    with _setting_up():
        account = session.client("sts").get_caller_identity()["Account"]
        names = {"AWS::Partition": "aws", "AWS::Region": REGION, "AWS::AccountId": account}
        kms = session.client("kms")
        arns = {
            purpose: _provision_key(kms, template, name, kept_keys)
            for purpose, name in KEYS.items()
        }
        names |= {f"{KEYS[purpose]}.Arn": arn for purpose, arn in arns.items()}
        sqs = session.client("sqs")
        urls = {}
        for queue, dead_letters in template.queues():
            for each in (dead_letters, queue):
                urls[each], names[f"{each}.Arn"] = _provision_queue(sqs, template, each, names)
        first, first_dead = template.queues()[0]
    return Resources(
        queue_url=session.on_endpoint(urls[first]),
        dead_letter_url=session.on_endpoint(urls[first_dead]),
        key_arns=arns,
        names=names,
    )


def change_policies(endpoint: str, admin: Credentials, declaration: Declaration) -> Resources:
    """Let each role of a provisioned emulator do what the template of a declaration says, with its queues.

    Raises UnavailableError if the emulator does not answer, or refuses.
    """
    session = EmulatorSession(endpoint, admin)
    resources = provision_resources(session, declaration)
    names = resources.names
    template, iam = Template.of_emulator(declaration), session.client("iam")
    with _setting_up():
        for role in ROLES:
            document = boundary(role, template, names)
            if not document["Statement"]:
                continue
            arn = f"arn:aws:iam::{names['AWS::AccountId']}:policy/vault-etl-{role}{BOUNDARY_SUFFIX}"
            (before,) = iam.list_policy_versions(PolicyArn=arn)["Versions"]
            iam.create_policy_version(
                PolicyArn=arn, PolicyDocument=json.dumps(document), SetAsDefault=True
            )
            iam.delete_policy_version(PolicyArn=arn, VersionId=before["VersionId"])
    return resources


@contextlib.contextmanager
def _setting_up() -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        refused = f"{error.operation_name}: {code_of(error.response)}"
        message = f"the AWS emulator refused to be set up ({refused})"
        raise UnavailableError(message, hint="start the emulator again") from None
    except (BotoCoreError, OSError):
        message = "the AWS emulator could not be set up: it does not answer"
        hint = "check that the emulator runs, and AWS_ENDPOINT_URL"
        raise UnavailableError(message, hint=hint) from None


def _provision_key(kms: KMSClient, template: Template, name: str, kept_keys: Path | None) -> str:
    alias = template.alias(name)
    try:
        return kms.describe_key(KeyId=alias)["KeyMetadata"]["Arn"]
    except kms.exceptions.NotFoundException:
        pass
    properties = template.properties(name)
    spec = properties["KeySpec"]
    key = kms.create_key(
        KeySpec=spec,
        KeyUsage=properties["KeyUsage"],
        Description=properties["Description"],
        Tags=kept_key_tags(kept_keys, name, spec) if kept_keys else [],
    )["KeyMetadata"]
    if properties.get("EnableKeyRotation"):
        kms.enable_key_rotation(KeyId=key["KeyId"])
    kms.create_alias(AliasName=alias, TargetKeyId=key["KeyId"])
    return key["Arn"]


def _provision_queue(
    sqs: SQSClient, template: Template, name: str, names: Mapping[str, str]
) -> tuple[str, str]:
    properties = template.resolved_properties(name, names)
    attributes: Any = {
        attribute: _attribute_text(properties[attribute])
        for attribute in _QUEUE_ATTRIBUTES
        if attribute in properties
    }
    url = sqs.create_queue(QueueName=properties["QueueName"], Attributes=attributes)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"][
        "QueueArn"
    ]
    return url, arn


def _attribute_text(value: object) -> str:
    if isinstance(value, dict):  # a number that is a parameter of the template is text
        return json.dumps(
            {name: int(each) if each.isdigit() else each for name, each in value.items()}
        )
    return str(value).lower() if isinstance(value, bool) else str(value)


def _provision_users(
    session: EmulatorSession, declaration: Declaration, names: Mapping[str, str]
) -> dict[str, Credentials]:
    iam, template = session.client("iam"), Template.of_emulator(declaration)
    return {role: _provision_user(iam, role, template, names) for role in ROLES}


def _provision_user(
    iam: IAMClient, role: str, template: Template, names: Mapping[str, str]
) -> Credentials:
    user = f"vault-etl-{role}"
    document = boundary(role, template, names)
    if document["Statement"]:
        policy = iam.create_policy(
            PolicyName=f"{user}{BOUNDARY_SUFFIX}", PolicyDocument=json.dumps(document)
        )["Policy"]
        iam.create_user(UserName=user, PermissionsBoundary=policy["Arn"])
        allowed = json.dumps(identity_policy(document))
        iam.put_user_policy(UserName=user, PolicyName=user, PolicyDocument=allowed)
    else:  # analyst: known to STS, with no permissions
        iam.create_user(UserName=user)
    key = iam.create_access_key(UserName=user)["AccessKey"]
    return Credentials(key["AccessKeyId"], key["SecretAccessKey"])
