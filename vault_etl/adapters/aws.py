"""AWS clients, and botocore's errors translated, once."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import boto3
import botocore.exceptions
from botocore.config import Config

from vault_etl import __version__
from vault_etl.adapters.aws_calls import observe_calls
from vault_etl.errors import (
    ConfigurationError,
    DeniedError,
    KeyNotOpenedError,
    KeyUnavailableError,
    UnavailableError,
    UnusableKeyError,
    VaultEtlError,
)
from vault_etl.ports.call_observer import CallObserver

if TYPE_CHECKING:
    from types_boto3_kms.client import KMSClient
    from types_boto3_sqs.client import SQSClient
    from types_boto3_sts.client import STSClient

CONNECT_TIMEOUT_S: Final = 3
READ_TIMEOUT_S: Final = 10
ATTEMPTS: Final = 3

RECEIVE_MARGIN_S: Final = 5
"""A receive gives up this long after its wait: well before the visibility time-out is over."""

_KEY_NOT_OPENED: Final = "InvalidCiphertextException"
"""The bytes are not what KMS wrapped under this encryption context. IAM was asked before, and allowed it."""

_OTHER_KMS_KEY: Final = "IncorrectKeyException"
"""The bytes are of another KMS key than the one that the call names."""

_KEY_REFUSED: Final = frozenset(
    {
        "DisabledException",
        "InvalidKeyUsageException",
        "KMSInvalidStateException",
        "NotFoundException",
    }
)
_DENIED: Final = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "NotAuthorized",
        "OptInRequired",
        "SignatureDoesNotMatch",
        "UnauthorizedOperation",
        "UnrecognizedClientException",
    }
)
_HTTP_DENIED: Final = frozenset({"401", "403"})
"""What botocore says of an answer without a code that it can read: moto's, to a bad signature."""

_CLOCK: Final = frozenset({"RequestExpired", "RequestInTheFuture", "RequestTimeTooSkewed"})
_CLOCK_TEXTS: Final = ("Signature expired", "Signature not yet current")
"""How AWS begins the text of a refused signature whose only fault is its time (SigV4)."""

_NO_QUEUE: Final = frozenset(
    {"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist", "InvalidAddress"}
)


def config(
    *,
    request_id: uuid.UUID | None = None,
    attempts: int = ATTEMPTS,
    read_timeout: float = READ_TIMEOUT_S,
) -> Config:
    """Bounded time-outs and tries. The request id goes into the user agent, where CloudTrail keeps it."""
    agent = f"vault-etl/{__version__}" + (f" request/{request_id}" if request_id else "")
    return Config(
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=read_timeout,
        retries={"mode": "standard", "total_max_attempts": attempts},
        user_agent_extra=agent,
    )


@contextlib.contextmanager
def translated(service: str) -> Iterator[None]:
    """Turn what botocore raises into our errors. Its texts are dropped: they may quote parameters."""
    try:
        yield
    except botocore.exceptions.ClientError as error:
        told = error.response.get("Error", {})
        raise _service_error(service, told.get("Code", ""), told.get("Message", "")) from None
    except (
        botocore.exceptions.NoCredentialsError,
        botocore.exceptions.PartialCredentialsError,
        botocore.exceptions.CredentialRetrievalError,
        botocore.exceptions.ProfileNotFound,
    ):
        message = "AWS: no credentials"
        raise ConfigurationError(
            message, hint="set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        ) from None
    except botocore.exceptions.NoRegionError:
        message = "AWS: no region"
        raise ConfigurationError(message, hint="set AWS_REGION") from None
    except botocore.exceptions.ParamValidationError:
        message = f"{service}: a setting has a form that AWS does not take"
        raise ConfigurationError(message, hint="`vault-etl config` shows every setting") from None
    except (botocore.exceptions.HTTPClientError, botocore.exceptions.ConnectionError):
        message = f"{service} cannot be reached"
        raise UnavailableError(
            message, hint="check AWS_REGION, AWS_ENDPOINT_URL and the network"
        ) from None
    except (botocore.exceptions.BotoCoreError, ValueError) as error:
        message = f"{service}: AWS's settings do not work ({type(error).__name__})"
        raise ConfigurationError(message, hint="check AWS_REGION and AWS_ENDPOINT_URL") from None


def _service_error(service: str, code: str, text: str) -> VaultEtlError:
    """The text is looked at, for what the code leaves open, and goes no further."""
    if code in _CLOCK or (code in _DENIED and text.startswith(_CLOCK_TEXTS)):
        return UnavailableError(
            f"{service} finds this machine's clock wrong ({code})",
            hint="set the clock: AWS refuses what was signed more than five minutes ago, or to come",
        )
    if service == "KMS" and (error := _key_error(code)) is not None:
        return error
    if code in _DENIED or code in _HTTP_DENIED:
        return DeniedError(
            f"{service} denies this ({code})", hint="check the role of these credentials"
        )
    if code in _NO_QUEUE:
        return ConfigurationError("SQS has no such queue", hint="check VAULT_ETL_QUEUE_URL")
    if code.isdigit() or not code:
        return UnavailableError(
            f"{service} answers in a way that AWS does not (HTTP error)",
            hint="an emulator must speak the JSON protocol: LocalStack 3 or newer, moto 5 or newer",
        )
    return UnavailableError(f"{service} did not do it ({code})", hint="run the command again")


def _key_error(code: str) -> VaultEtlError | None:
    """What KMS says of a key, wrapped or its own, rather than of the caller; None if it does not."""
    if code == _OTHER_KMS_KEY:
        return UnusableKeyError(f"another KMS key wrapped it than its row names ({code})")
    if code == _KEY_NOT_OPENED:
        return KeyNotOpenedError(f"KMS does not open it ({code})")
    if code in _KEY_REFUSED:
        return KeyUnavailableError(
            f"KMS does not use this key ({code})",
            hint="it may be disabled, deleted, or not the one",
        )
    return None


SHORTEST_ACCESS_KEY_ID: Final = 16
"""By IAM's own model of the parameter AccessKeyId."""


class AwsClients:
    """Clients of one session: AWS's own settings, read once. `observer` is told of every call."""

    def __init__(self, observer: CallObserver | None = None) -> None:
        # The SDK for Python knows this name as AWS_DEFAULT_REGION alone.
        with translated("AWS"):
            self._session = boto3.session.Session(region_name=os.environ.get("AWS_REGION"))
        if observer is not None:
            observe_calls(self._session.events, observer)

    def region(self) -> str:
        """The region of calls that are signed. Raises ConfigurationError without one, or credentials."""
        with translated("AWS"):
            if self._session.get_credentials() is None:
                raise botocore.exceptions.NoCredentialsError
            if self._session.region_name is None:
                raise botocore.exceptions.NoRegionError
            return self._session.region_name

    def is_key_of_aws(self) -> bool:
        """Whether AWS can have issued the access key: it has 16 characters at least (`test` has four)."""
        with translated("AWS"):
            found = self._session.get_credentials()
            return found is not None and len(found.access_key) >= SHORTEST_ACCESS_KEY_ID

    def endpoints(self) -> dict[str, str]:
        """The address of each service, from the environment, the profile, or AWS's own list."""
        return {
            name: client.meta.endpoint_url
            for name, client in (("KMS", self.kms()), ("SQS", self.sqs()), ("STS", self.sts()))
        }

    def kms(self, request_id: uuid.UUID | None = None) -> KMSClient:
        """A KMS client; the request id, if there is one, goes into the user agent."""
        with translated("KMS"):
            return self._session.client("kms", config=config(request_id=request_id))

    def sqs(self) -> SQSClient:
        """An SQS client for everything but receiving."""
        with translated("SQS"):
            return self._session.client("sqs", config=config())

    def sqs_receiver(self, longest_wait: float) -> SQSClient:
        """An SQS client that never retries, and gives up `RECEIVE_MARGIN_S` after its wait."""
        once = config(attempts=1, read_timeout=longest_wait + RECEIVE_MARGIN_S)
        with translated("SQS"):
            return self._session.client("sqs", config=once)

    def sts(self) -> STSClient:
        """An STS client."""
        with translated("STS"):
            return self._session.client("sts", config=config())
