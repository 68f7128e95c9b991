"""ReceiveMessage and DeleteMessageBatch of SQS without what botocore does around each call (ADR 57)."""

from __future__ import annotations

import functools
import itertools
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Self, cast
from urllib.parse import urlsplit

from botocore import exceptions
from botocore.auth import SIGV4_TIMESTAMP
from botocore.awsrequest import AWSResponse
from botocore.parsers import ResponseParserError, create_parser
from botocore.retries import standard

from vault_etl import __version__
from vault_etl.platform.aws import (
    ATTEMPTS,
    CONNECT_TIMEOUT_S,
    READ_TIMEOUT_S,
    RECEIVE_MARGIN_S,
    AwsClients,
)
from vault_etl.platform.aws_connections import Connections, Route
from vault_etl.platform.aws_errors import CredentialsError, code_of, translated
from vault_etl.platform.aws_signing import RequestSigner
from vault_etl.platform.http_answers import Answer

if TYPE_CHECKING:
    from types_boto3_sqs.type_defs import (
        DeleteMessageBatchResultTypeDef,
        ReceiveMessageResultTypeDef,
    )

RECEIVE: Final = "ReceiveMessage"
DELETE: Final = "DeleteMessageBatch"

_OK: Final = 200
_PORTS: Final = {"http": ":80", "https": ":443"}
_PLAIN_URL: Final = re.compile(r"https?://[A-Za-z0-9.:\[\]_-]+(/[A-Za-z0-9._~/-]*)?")
"""An endpoint whose host and path are sent as they are written."""
_PLAIN: Final = bytes(c for c in range(0x20, 0x7F) if c not in b'"\\')
"""The bytes that JSON writes as they are."""


class LeanSqs:
    """Receives and deletes messages, with botocore's parameters, answers and exceptions. Any thread may use it.

    Credentials, endpoint, region, proxies and certificates are those of botocore's client, and so is the observer of
    calls. A receive is tried once, a delete as often as botocore tries it, after the same pauses.
    """

    def __init__(self, clients: AwsClients, route: Route, longest_wait: float) -> None:
        meta = clients.sqs().meta
        address = urlsplit(route.url)
        self._host = address.netloc.lower().removesuffix(_PORTS.get(address.scheme, ""))
        self._path = address.path or "/"
        self._signer = RequestSigner("sqs", meta.region_name, self._path)
        self._model = meta.service_model
        self._clients = clients
        self._connections = Connections(route, CONNECT_TIMEOUT_S)
        self._receive_timeout = longest_wait + RECEIVE_MARGIN_S
        self._requests = functools.lru_cache(maxsize=4)(self._requests_of)

    @classmethod
    def of(cls, clients: AwsClients, longest_wait: float) -> Self | None:
        """Return a client, or None for an endpoint, or a proxy to it, that only botocore can use."""
        route = clients.route(endpoint_url(clients))
        if not (_PLAIN_URL.fullmatch(route.url) and route.is_passable):
            return None
        return cls(clients, route, longest_wait)

    def receive_message(self, **parameters: Any) -> ReceiveMessageResultTypeDef:  # noqa: ANN401 - botocore's
        """Receive messages. `WaitTimeSeconds` is at most `longest_wait`, from which the read timeout follows."""
        body = json.dumps(parameters).encode()
        answer = self._call(RECEIVE, body, self._receive_timeout, attempts=1)
        return cast("ReceiveMessageResultTypeDef", answer)

    def delete_message_batch(self, **parameters: Any) -> DeleteMessageBatchResultTypeDef:  # noqa: ANN401 - botocore's
        """Delete up to ten messages."""
        answer = self._call(DELETE, _deletion(**parameters), READ_TIMEOUT_S, ATTEMPTS)
        return cast("DeleteMessageBatchResultTypeDef", answer)

    def _call(self, operation: str, body: bytes, timeout: float, attempts: int) -> dict[str, Any]:
        observer = self._clients.observer
        started = time.monotonic()
        try:
            for attempt in itertools.count(1):
                try:
                    return self._try(operation, body, timeout)
                except Exception as error:
                    if observer is not None:
                        observer.failed("sqs", operation, _code(error))
                    delay = self._delay(operation, error, attempt, attempts)
                    if delay is None:
                        raise
                time.sleep(delay)
            raise AssertionError  # not reached: `count` has no end
        finally:
            if observer is not None:
                observer.called("sqs", operation, time.monotonic() - started)

    def _try(self, operation: str, body: bytes, timeout: float) -> dict[str, Any]:
        answer = self._connections.exchange(self._request(operation, body), timeout)
        if answer.status != _OK:
            raise exceptions.ClientError(_error(answer), operation)
        try:
            found = json.loads(answer.body)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise ResponseParserError(operation)  # without the body: it may hold messages
        return found

    def _request(self, operation: str, body: bytes) -> bytes:
        """Return a signed request."""
        return self._requests(operation, int(time.time()))(body)

    def _requests_of(self, operation: str, second: int) -> Callable[[bytes], bytes]:
        """Return the function from a body to its request, for all requests of a second. Receives are equal then."""
        moment = time.strftime(SIGV4_TIMESTAMP, time.gmtime(second))
        credentials = self._clients.credentials.get_frozen_credentials()
        headers = {
            "content-type": "application/x-amz-json-1.0",
            "host": self._host,
            "x-amz-date": moment,
            "x-amz-target": f"AmazonSQS.{operation}",
            "x-amzn-query-mode": "true",  # answers name errors as botocore's do
        }
        if credentials.token:
            headers["x-amz-security-token"] = credentials.token
        sign = self._signer.signing(credentials, headers)
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        head = (
            f"POST {self._path} HTTP/1.1\r\n{lines}user-agent: vault-etl/{__version__}\r\n"
            "accept-encoding: identity\r\n"
        )

        def request(body: bytes) -> bytes:
            rest = f"authorization: {sign(body)}\r\ncontent-length: {len(body)}\r\n\r\n"
            return f"{head}{rest}".encode("ascii") + body

        return functools.lru_cache(maxsize=4)(request) if operation == RECEIVE else request

    def _delay(self, operation: str, error: Exception, attempt: int, attempts: int) -> float | None:
        """Return the seconds until the next try, by botocore's standard mode; None: there is none."""
        answered = error.response if isinstance(error, exceptions.ClientError) else None
        metadata: Any = answered["ResponseMetadata"] if answered else {}
        context = standard.RetryContext(
            attempt,
            self._model.operation_model(operation),
            answered,
            AWSResponse("", metadata["HTTPStatusCode"], metadata["HTTPHeaders"], None)
            if answered
            else None,
            None if answered else error,
        )
        if not standard.StandardRetryConditions(attempts).is_retryable(context):
            return None
        return float(_BACKOFF.delay_amount(context))


_BACKOFF: Final = standard.ExponentialBackoff(
    throttling_detector=standard.ThrottlingErrorDetector(standard.RetryEventAdapter())
)


def endpoint_url(clients: AwsClients) -> str:
    """Return the endpoint that botocore calls. With FIPS or dual stack, `meta.endpoint_url` may be another one."""
    sqs: Any = clients.sqs()
    model = sqs.meta.service_model.operation_model(RECEIVE)
    with translated("SQS"):
        url: str = sqs._resolve_endpoint_ruleset(model, {}, {})[0]  # noqa: SLF001 - no public function tells it
    return url


def _deletion(QueueUrl: str, Entries: Sequence[Mapping[str, str]]) -> bytes:  # noqa: N803 - botocore's
    """Return the body of a delete. `json` reads each character of the handles twice: most of its time."""
    texts = "".join([entry["ReceiptHandle"] for entry in Entries])
    if not texts.isascii() or texts.encode().translate(None, _PLAIN):
        return json.dumps({"QueueUrl": QueueUrl, "Entries": Entries}).encode()
    entries = ",".join(
        [
            f'{{"Id":"{entry["Id"]}","ReceiptHandle":"{entry["ReceiptHandle"]}"}}'
            for entry in Entries
        ]
    )
    return f'{{"QueueUrl":{json.dumps(QueueUrl)},"Entries":[{entries}]}}'.encode()


def _error(answer: Answer) -> Any:  # noqa: ANN401 - as ClientError takes it
    """Return an error as botocore's parser reads it."""
    response = {"status_code": answer.status, "headers": answer.headers, "body": answer.body}
    try:
        return create_parser("json").parse(response, None)  # type: ignore[arg-type]
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError):
        raise ResponseParserError("no error of AWS") from None


def _code(error: Exception) -> str:
    """Return the code of a failed try, for metrics: as `observe_calls` counts it."""
    if isinstance(error, exceptions.ClientError):
        return code_of(error.response)
    return error.code if isinstance(error, CredentialsError) else type(error).__name__
