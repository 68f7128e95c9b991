"""The exceptions of botocore that prevent a call or its answer, each in one class.

A failure is a wrong setting (ConfigurationError, exit 78), a refusal (DeniedError, 77, which `ingest
--follow` tolerates for a minute), or temporary (UnavailableError, 69, which a running ingest waits for). A
test reads the source of botocore: it fails if an exception on the way to credentials is missing here.
docs/operations/failures.md shows the table (docs/generate_failures.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import botocore.exceptions as raised
from botocore.parsers import ResponseParserError

from vault_etl.base.errors import ConfigurationError, DeniedError, UnavailableError, VaultEtlError

_STATUS: Final = re.compile(r"non 200 response (4[0-9]{2}) ")
"""The form in which botocore reports the status of a refusal by the endpoint of a container."""

_PASSING: Final = frozenset({"408", "425", "429"})


@dataclass(frozen=True, slots=True)
class AwsFailure:
    """Exceptions of one meaning. `{service}` is a service, or the source of credentials."""

    kinds: tuple[type[Exception], ...]
    error: type[VaultEtlError]
    says: str
    hint: str
    provider: str | None = None
    """botocore's name of the source of credentials; None: any source, and calls."""
    only: Callable[[Exception], bool] = lambda _: True
    is_wide: bool = False
    """True if the row covers so many causes that the hint names the exception."""


def _is_refused(error: Exception) -> bool:
    """Tell whether the endpoint of a container refused, rather than asked for patience."""
    status = _STATUS.search(str(error))
    return status is not None and status[1] not in _PASSING


def _is_of_missing_file(error: Exception) -> bool:
    """Tell whether TLS fails because a file is missing. urllib3 wraps the exception of Python."""
    inner = getattr(error, "kwargs", {}).get("error")
    return any(isinstance(cause, FileNotFoundError) for cause in getattr(inner, "args", ()))


def _is_of_token(error: Exception) -> bool:
    """Tell whether STS refused the token, rather than the role."""
    return "WebIdentityToken" in str(error)


def _is_of_content(error: Exception) -> bool:
    """Tell whether some content is malformed. botocore itself raises ValueError for other faults."""
    return not isinstance(error, raised.BotoCoreError) and type(error) is not ValueError


_LOGIN: Final = "sign in again: `aws sso login`, or `aws login`, with this profile"
_PROFILE: Final = "check the profile in ~/.aws/config, or in the file that AWS_CONFIG_FILE names"
_AGAIN: Final = (
    "run the command again; `ingest` continues with its credentials while they are valid"
)

FAILURES: Final = (
    AwsFailure(
        (raised.NoCredentialsError,),
        ConfigurationError,
        "AWS: no credentials",
        "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    ),
    AwsFailure(
        (raised.PartialCredentialsError,),
        ConfigurationError,
        "AWS: this profile cannot give credentials",
        _PROFILE,
        provider="assume-role",
    ),
    AwsFailure(
        (raised.PartialCredentialsError,),
        ConfigurationError,
        "AWS: half of the credentials is missing",
        "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY go together, and so they do in a profile",
    ),
    AwsFailure(
        (raised.ProfileNotFound,),
        ConfigurationError,
        "AWS: no profile has this name",
        "set AWS_PROFILE to a profile of ~/.aws/config or ~/.aws/credentials, or unset it",
    ),
    AwsFailure(
        (raised.ConfigParseError, raised.ConfigNotFound),
        ConfigurationError,
        "AWS: its own config file cannot be read",
        "check ~/.aws/config and ~/.aws/credentials, or AWS_CONFIG_FILE and"
        " AWS_SHARED_CREDENTIALS_FILE",
    ),
    AwsFailure(
        (
            raised.InvalidConfigError,
            raised.UnknownCredentialError,
            raised.UnknownTokenProviderError,
            raised.MissingDependencyException,
        ),
        ConfigurationError,
        "AWS: this profile cannot give credentials",
        _PROFILE,
    ),
    AwsFailure(
        (raised.InvalidIMDSEndpointError, raised.InvalidIMDSEndpointModeError),
        ConfigurationError,
        "AWS: the address of the metadata service is malformed",
        "check AWS_EC2_METADATA_SERVICE_ENDPOINT and AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",
    ),
    AwsFailure(
        (raised.RefreshWithMFAUnsupportedError,),
        ConfigurationError,
        "AWS: this profile asks for a second factor, and cannot renew its credentials",
        "give a command that runs for long a role without mfa_serial",
    ),
    AwsFailure(
        (
            raised.SSOError,
            raised.LoginError,
            raised.TokenRetrievalError,
            raised.NoAuthTokenError,
        ),
        ConfigurationError,
        "AWS: the sign-in of this profile has run out, or was never made",
        _LOGIN,
    ),
    AwsFailure(
        (raised.CredentialRetrievalError,),
        DeniedError,
        "AWS: the container's endpoint gives no credentials to this process",
        "check the role of the task or pod, and AWS_CONTAINER_CREDENTIALS_FULL_URI or its token",
        provider="container-role",
        only=_is_refused,
    ),
    AwsFailure(
        (raised.CredentialRetrievalError,),
        UnavailableError,
        "AWS: the container's endpoint gives no credentials at the moment",
        _AGAIN,
        provider="container-role",
    ),
    AwsFailure(
        (raised.SSLError,),
        ConfigurationError,
        "{service} cannot be reached: the file of CA certificates is not there",
        "check AWS_CA_BUNDLE",
        only=_is_of_missing_file,
    ),
    AwsFailure(
        (raised.SSLError,),
        UnavailableError,
        "{service} cannot be reached: TLS fails",
        "check AWS_CA_BUNDLE, AWS_ENDPOINT_URL and the clock",
    ),
    AwsFailure(
        (raised.ProxyConnectionError,),
        UnavailableError,
        "{service} cannot be reached: the proxy does not answer",
        "check HTTPS_PROXY and NO_PROXY",
    ),
    AwsFailure(
        (raised.ConnectTimeoutError, raised.ReadTimeoutError),
        UnavailableError,
        "{service} does not answer in time",
        "check AWS_REGION, AWS_ENDPOINT_URL and the network",
    ),
    AwsFailure(
        (raised.HTTPClientError, raised.ConnectionError),
        UnavailableError,
        "{service} cannot be reached",
        "check AWS_REGION, AWS_ENDPOINT_URL and the network",
    ),
    AwsFailure(
        (OSError,),
        ConfigurationError,
        "AWS: the profile's credential_process does not start",
        _PROFILE,
        provider="custom-process",
    ),
    AwsFailure(
        (raised.CredentialRetrievalError, UnicodeDecodeError, json.JSONDecodeError),
        UnavailableError,
        "AWS: the profile's credential_process failed",
        "run it by hand: it ended with an error, or its output is not what AWS's documentation says",
        provider="custom-process",
    ),
    AwsFailure(
        (OSError,),
        UnavailableError,
        "AWS: the file with the token, for which credentials are given, cannot be read",
        "whatever mounts the file may be about to replace it: " + _AGAIN,
    ),
    AwsFailure(
        (RuntimeError,),
        ConfigurationError,
        "AWS: the credentials in the environment have run out",
        "AWS_CREDENTIAL_EXPIRATION says so: set new ones",
        provider="env",
    ),
    AwsFailure(
        (RuntimeError,),
        UnavailableError,
        "AWS: the credentials that came had run out already",
        "check the clock, and what keeps credentials for the profile: " + _AGAIN,
    ),
    AwsFailure(
        (raised.CredentialRetrievalError,),
        UnavailableError,
        "AWS: the metadata service of this machine gives no credentials at the moment",
        "has the instance a role? Else set AWS_PROFILE, or AWS_ACCESS_KEY_ID and"
        " AWS_SECRET_ACCESS_KEY",
        provider="iam-role",
    ),
    AwsFailure(
        (raised.CredentialRetrievalError, raised.MetadataRetrievalError),
        UnavailableError,
        "AWS: no credentials at the moment",
        _AGAIN,
    ),
    AwsFailure(
        (raised.NoRegionError,),
        ConfigurationError,
        "AWS: no region",
        "set AWS_REGION",
    ),
    AwsFailure(
        (raised.ParamValidationError,),
        UnavailableError,
        "AWS: the file with the token, for which credentials are given, holds none",
        "whatever mounts the file may be about to write it: " + _AGAIN,
        provider="assume-role-with-web-identity",
        only=_is_of_token,
    ),
    AwsFailure(
        (raised.ParamValidationError,),
        ConfigurationError,
        "{service}: a setting has a form that AWS does not take",
        "`vault-etl config` shows every setting",
    ),
    AwsFailure(
        (
            ResponseParserError,
            ValueError,
            LookupError,
            TypeError,
            AttributeError,
        ),
        UnavailableError,
        "{service} answers in a way that AWS does not",
        "does something stand between this machine and AWS? Run the command again",
        only=_is_of_content,
        is_wide=True,
    ),
    AwsFailure(
        (raised.ChecksumError, raised.FlexibleChecksumError, raised.IncompleteReadError),
        UnavailableError,
        "{service} answers with what did not arrive whole",
        "run the command again",
    ),
    AwsFailure(
        (ValueError,),
        ConfigurationError,
        "AWS: the address of the container's endpoint, or the token for it, is malformed",
        "check AWS_CONTAINER_CREDENTIALS_FULL_URI, and AWS_CONTAINER_AUTHORIZATION_TOKEN or its file:"
        " a token has no newline",
        provider="container-role",
    ),
    AwsFailure(
        (raised.BotoCoreError, ValueError),
        ConfigurationError,
        "{service}: AWS's settings do not work",
        "check AWS_REGION and AWS_ENDPOINT_URL",
        is_wide=True,
    ),
)
"""The first row that fits decides."""

REST: Final = AwsFailure(
    (Exception,), UnavailableError, "AWS: no credentials at the moment", _AGAIN, is_wide=True
)
"""Any other exception of a source of credentials. A run that has credentials must not end because of it."""
