"""AWS clients of one session, and observers of their calls."""

from __future__ import annotations

import contextvars
import os
import uuid
from typing import TYPE_CHECKING, Any, Final

import botocore.exceptions
import botocore.session
from botocore.config import Config
from botocore.utils import get_environ_proxies

from vault_etl import __version__
from vault_etl.platform.aws_bodies import keep_from_log
from vault_etl.platform.aws_credentials import HeldCredentials
from vault_etl.platform.aws_errors import Subject, code_of, translated
from vault_etl.platform.aws_models import share_models
from vault_etl.platform.calls import CallObserver

if TYPE_CHECKING:
    from botocore.awsrequest import AWSPreparedRequest
    from types_boto3_kms.client import KMSClient
    from types_boto3_s3.client import S3Client
    from types_boto3_sqs.client import SQSClient
    from types_boto3_sts.client import STSClient

    from vault_etl.platform.aws_connections import Route
import time
from collections.abc import Callable, Mapping
from typing import Protocol

CONNECT_TIMEOUT_S: Final = 3
READ_TIMEOUT_S: Final = 10
ATTEMPTS: Final = 3

OBJECT_TIMEOUT_S: Final = 60

RECEIVE_MARGIN_S: Final = 5
"""Seconds after its wait when a receive without an answer gives up: well before the visibility timeout ends."""


def config(*, attempts: int = ATTEMPTS, read_timeout: float = READ_TIMEOUT_S) -> Config:
    """Return a config with bounded timeouts and tries."""
    return Config(
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=read_timeout,
        retries={"mode": "standard", "total_max_attempts": attempts},
        user_agent_extra=f"vault-etl/{__version__}",
    )


SHORTEST_ACCESS_KEY_ID: Final = 16
"""The minimum in IAM's model of the parameter AccessKeyId."""


class AwsClients:
    """Clients of one session. The settings of AWS are read once. `observer` sees every call.

    A client is made once: its connections are kept for its next calls, of whichever request. Any
    thread may use it.
    """

    def __init__(self, observer: CallObserver | None = None) -> None:
        with translated("AWS"):
            self._session = botocore.session.get_session()
            share_models(self._session)
        # The SDK for Python knows this name as AWS_DEFAULT_REGION alone.
        if region := os.environ.get("AWS_REGION"):
            self._session.set_config_variable("region", region)
        self.credentials = HeldCredentials.of(self._session)
        self.observer = observer
        self._made: dict[tuple[object, ...], Any] = {}
        events = self._session.get_component("event_emitter")
        keep_from_log(events)
        events.register("before-send.kms", _name_request)
        if observer is not None:
            observe_calls(events, observer)

    def region(self) -> str:
        """Return the region of signed calls. Raises ConfigurationError without a region or credentials."""
        with translated("AWS"):
            self.credentials.get_frozen_credentials()
            region: str | None = self._session.get_config_variable("region")
            if region is None:
                raise botocore.exceptions.NoRegionError
            return region

    def is_key_of_aws(self) -> bool:
        """Tell whether AWS can have issued the access key: such a key has 16 characters at least."""
        with translated("AWS"):
            found = self.credentials.get_frozen_credentials()
            return len(found.access_key or "") >= SHORTEST_ACCESS_KEY_ID

    def endpoints(self, secret: str | None) -> dict[str, str]:
        """Return the address of each service, from the environment, the profile, or AWS's own list.

        Secrets Manager is included if a `secret` is read from it.
        """
        clients = {"KMS": self.kms(), "SQS": self.sqs(), "STS": self.sts()}
        found = {name: client.meta.endpoint_url for name, client in clients.items()}
        if secret is not None:
            found["Secrets Manager"] = self._secrets(secret).meta.endpoint_url
        return found

    def kms(self, request_id: uuid.UUID | None = None) -> KMSClient:
        """Return the KMS client. CloudTrail keeps the request id, if any: it is in the user agent of each call."""
        with translated("KMS"):
            kms: Any = self._client("kms")
            return kms if request_id is None else _OnRequest(kms, request_id)  # type: ignore[return-value]

    def sqs(self) -> SQSClient:
        """Return an SQS client for all calls but receive."""
        with translated("SQS"):
            sqs: SQSClient = self._client("sqs")
            return sqs

    def s3(self) -> S3Client:
        """Return an S3 client with a longer timeout: S3 answers after it stored the whole object."""
        with translated("S3"):
            s3: S3Client = self._client("s3", read_timeout=OBJECT_TIMEOUT_S)
            return s3

    def sqs_receiver(self, longest_wait: float) -> SQSClient:
        """Return an SQS client that does not retry, and gives up `RECEIVE_MARGIN_S` after its wait."""
        with translated("SQS"):
            sqs: SQSClient = self._client(
                "sqs", attempts=1, read_timeout=longest_wait + RECEIVE_MARGIN_S
            )
            return sqs

    def route(self, endpoint_url: str) -> Route:
        """Return the way to an endpoint that botocore takes: certificates and proxies."""
        from vault_etl.platform.aws_connections import Route  # noqa: PLC0415 - for the queue alone

        with translated("AWS"):
            bundle = self._session.get_config_variable("ca_bundle")
        bundle = bundle or os.environ.get("REQUESTS_CA_BUNDLE")
        return Route(endpoint_url, bundle, get_environ_proxies(endpoint_url))

    def sts(self) -> STSClient:
        """Return an STS client."""
        with translated("STS"):
            sts: STSClient = self._client("sts")
            return sts

    def secret(self, arn: str, setting: str) -> str:
        """Return the current text of a secret, from the region in its ARN; "" for a binary secret."""
        with translated("Secrets Manager", Subject(arn, setting)):
            answer = self._secrets(arn).get_secret_value(SecretId=arn)
            text: str = answer.get("SecretString", "")
            return text

    def _secrets(self, arn: str) -> Any:  # noqa: ANN401 - no package has its types
        region = arn.split(":")[3] if arn.startswith("arn:") else None
        with translated("Secrets Manager"):
            return self._client("secretsmanager", region)

    def rds_token(self, host: str, port: int, user: str) -> str:
        """Sign a token for one connection to RDS as this login. A token is valid for 15 minutes."""
        with translated("RDS"):
            token: str = self._client("rds").generate_db_auth_token(host, port, user)
            return token

    def _client(self, service: str, region: str | None = None, **options: Any) -> Any:  # noqa: ANN401 - as `config` has them
        key = (service, region, *options.items())
        if key not in self._made:
            self._made[key] = self._session.create_client(
                service, region or None, config=config(**options)
            )
        return self._made[key]


_request: Final[contextvars.ContextVar[uuid.UUID | None]] = contextvars.ContextVar(
    "request", default=None
)
"""The request of the call that this thread makes."""


class _OnRequest:
    """A client whose calls are on behalf of a request."""

    def __init__(self, client: Any, request_id: uuid.UUID) -> None:  # noqa: ANN401 - of any service
        self._client = client
        self._request_id = request_id

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        call: Callable[..., Any] = getattr(self._client, operation)

        def named(**parameters: Any) -> Any:  # noqa: ANN401 - as the client's
            before = _request.set(self._request_id)
            try:
                return call(**parameters)
            finally:
                _request.reset(before)

        return named


def _name_request(*, request: AWSPreparedRequest, **_other: object) -> None:
    """Add the request to the user agent of a try, which no signature covers."""
    if (request_id := _request.get()) is not None:
        headers: Any = request.headers  # bytes, where their types have text
        headers["User-Agent"] += f" request/{request_id}".encode()


_STARTED: Final = "vault_etl_started"
_TOLD: Final = "vault_etl_told"


class Events(Protocol):
    """The part of botocore's event emitter that is used."""

    def register(self, event_name: str, handler: Callable[..., None]) -> None:
        """Register a handler for events of this name, and of the names below it."""


def observe_calls(events: Events, observer: CallObserver) -> None:
    """Report all calls of clients that are made from now on to `observer`."""
    calls = _Calls(observer)
    events.register("before-call", calls.before)
    events.register("response-received", calls.tried)
    events.register("after-call", calls.after)
    events.register("after-call-error", calls.after)


class _Calls:
    def __init__(self, observer: CallObserver) -> None:
        self._observer = observer

    def before(self, *, context: dict[str, Any], **_other: object) -> None:
        context[_STARTED] = time.monotonic()

    def tried(
        self,
        *,
        event_name: str,
        context: dict[str, Any],
        parsed_response: Mapping[str, Any] | None = None,
        exception: Exception | None = None,
        **_other: object,
    ) -> None:
        if exception is not None:
            context[_TOLD] = exception
            self._failed(event_name, type(exception).__name__)
        elif parsed_response is not None and "Error" in parsed_response:
            self._failed(event_name, code_of(parsed_response))

    def after(
        self,
        *,
        event_name: str,
        context: dict[str, Any],
        exception: Exception | None = None,
        **_other: object,
    ) -> None:
        if exception is not None and exception is not context.get(_TOLD):
            self._failed(event_name, getattr(exception, "code", type(exception).__name__))
        _, service, operation = event_name.split(".", 2)
        started = context.get(_STARTED)
        if started is not None:
            self._observer.called(service, operation, time.monotonic() - started)

    def _failed(self, event_name: str, code: str) -> None:
        _, service, operation = event_name.split(".", 2)
        self._observer.failed(service, operation, code)
