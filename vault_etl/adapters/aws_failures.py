"""What botocore raises, and what AWS answers, translated into our errors: each kind in one class.

`FAILURES` classes exceptions, `aws_refusals.Refusal` the codes of answers. A failure either cannot be
right (ConfigurationError, exit 78), or is a refusal (DeniedError, 77, which `ingest --follow` gives a
minute), or may pass (UnavailableError, 69, which a running ingest waits for). docs/operations.md shows
both tables. No text of botocore's or AWS's goes further than this file: it may quote parameters.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import botocore.exceptions as raised
from botocore.parsers import ResponseParserError

from vault_etl.adapters.aws_refusals import Refusal, refusal_of
from vault_etl.errors import ConfigurationError, DeniedError, UnavailableError, VaultEtlError

SOURCE: Final = "the source of AWS credentials"
"""The service in a failure of what gives credentials."""

_STATUS: Final = re.compile(r"non 200 response (4[0-9]{2}) ")
"""How botocore tells the status that a container's endpoint refused with."""

_PASSING: Final = frozenset({"408", "425", "429"})


@dataclass(frozen=True, slots=True)
class Subject:
    """What a call is about: a KMS key or a queue, and the setting that names it, if one does."""

    name: str
    setting: str = ""


@dataclass(frozen=True, slots=True)
class Failure:
    """Exceptions that mean the same. `{service}` is a service, or `SOURCE`."""

    kinds: tuple[type[Exception], ...]
    error: type[VaultEtlError]
    says: str
    hint: str
    provider: str | None = None
    """botocore's name of what was asked for credentials; None: of any, and of calls."""
    only: Callable[[Exception], bool] = lambda _: True


def _is_refused(error: Exception) -> bool:
    """Whether a container's endpoint answered with a status that says no, rather than later."""
    status = _STATUS.search(str(error))
    return status is not None and status[1] not in _PASSING


def _is_of_content(error: Exception) -> bool:
    """Whether something that was read is not what it should be: botocore's own word is ValueError itself."""
    return not isinstance(error, raised.BotoCoreError) and type(error) is not ValueError


_LOGIN: Final = "sign in again: `aws sso login`, or `aws login`, with this profile"
_PROFILE: Final = "check the profile in ~/.aws/config, or in the file that AWS_CONFIG_FILE names"
_AGAIN: Final = (
    "run the command again; `ingest` goes on with the credentials in hand while they are valid"
)

FAILURES: Final = (
    Failure(
        (raised.NoCredentialsError,),
        ConfigurationError,
        "AWS: no credentials",
        "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    ),
    Failure(
        (raised.PartialCredentialsError,),
        ConfigurationError,
        "AWS: this profile cannot give credentials",
        _PROFILE,
        provider="assume-role",
    ),
    Failure(
        (raised.PartialCredentialsError,),
        ConfigurationError,
        "AWS: half of the credentials is missing",
        "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY go together, and so they do in a profile",
    ),
    Failure(
        (raised.ProfileNotFound,),
        ConfigurationError,
        "AWS: no profile has this name",
        "set AWS_PROFILE to a profile of ~/.aws/config or ~/.aws/credentials, or unset it",
    ),
    Failure(
        (raised.ConfigParseError, raised.ConfigNotFound),
        ConfigurationError,
        "AWS: its own config file cannot be read",
        "check ~/.aws/config and ~/.aws/credentials, or AWS_CONFIG_FILE and"
        " AWS_SHARED_CREDENTIALS_FILE",
    ),
    Failure(
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
    Failure(
        (raised.InvalidIMDSEndpointError, raised.InvalidIMDSEndpointModeError),
        ConfigurationError,
        "AWS: the address of the metadata service is malformed",
        "check AWS_EC2_METADATA_SERVICE_ENDPOINT and AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",
    ),
    Failure(
        (raised.RefreshWithMFAUnsupportedError,),
        ConfigurationError,
        "AWS: this profile asks for a second factor, and cannot renew its credentials",
        "give a command that runs for long a role without mfa_serial",
    ),
    Failure(
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
    Failure(
        (raised.CredentialRetrievalError,),
        DeniedError,
        "AWS: the container's endpoint gives no credentials to this process",
        "check the role of the task or pod, and AWS_CONTAINER_CREDENTIALS_FULL_URI or its token",
        provider="container-role",
        only=_is_refused,
    ),
    Failure(
        (raised.CredentialRetrievalError,),
        UnavailableError,
        "AWS: the container's endpoint gives no credentials at the moment",
        _AGAIN,
        provider="container-role",
    ),
    Failure(
        (raised.SSLError,),
        UnavailableError,
        "{service} cannot be reached: TLS fails",
        "check AWS_CA_BUNDLE, AWS_ENDPOINT_URL and the clock",
    ),
    Failure(
        (raised.ProxyConnectionError,),
        UnavailableError,
        "{service} cannot be reached: the proxy does not answer",
        "check HTTPS_PROXY and NO_PROXY",
    ),
    Failure(
        (raised.HTTPClientError, raised.ConnectionError),
        UnavailableError,
        "{service} cannot be reached",
        "check AWS_REGION, AWS_ENDPOINT_URL and the network",
    ),
    Failure(
        (OSError,),
        ConfigurationError,
        "AWS: the profile's credential_process does not start",
        _PROFILE,
        provider="custom-process",
    ),
    Failure(
        (raised.CredentialRetrievalError, UnicodeDecodeError, json.JSONDecodeError),
        UnavailableError,
        "AWS: the profile's credential_process failed",
        "run it by hand: it ended with an error, or its output is not what AWS's documentation says",
        provider="custom-process",
    ),
    Failure(
        (OSError,),
        UnavailableError,
        "AWS: the file with the token, for which credentials are given, cannot be read",
        "whatever mounts the file may be about to replace it: " + _AGAIN,
    ),
    Failure(
        (RuntimeError,),
        ConfigurationError,
        "AWS: the credentials in the environment have run out",
        "AWS_CREDENTIAL_EXPIRATION says so: set new ones",
        provider="env",
    ),
    Failure(
        (RuntimeError,),
        UnavailableError,
        "AWS: the credentials that came had run out already",
        "check the clock, and what keeps credentials for the profile: " + _AGAIN,
    ),
    Failure(
        (raised.CredentialRetrievalError, raised.MetadataRetrievalError),
        UnavailableError,
        "AWS: no credentials at the moment",
        _AGAIN,
    ),
    Failure(
        (raised.NoRegionError,),
        ConfigurationError,
        "AWS: no region",
        "set AWS_REGION",
    ),
    Failure(
        (raised.ParamValidationError,),
        ConfigurationError,
        "{service}: a setting has a form that AWS does not take",
        "`vault-etl config` shows every setting",
    ),
    Failure(
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
    ),
    Failure(
        (raised.ChecksumError, raised.FlexibleChecksumError, raised.IncompleteReadError),
        UnavailableError,
        "{service} answers with what did not arrive whole",
        "run the command again",
    ),
    Failure(
        (ValueError,),
        ConfigurationError,
        "AWS: the address of the container's endpoint, or the token for it, is malformed",
        "check AWS_CONTAINER_CREDENTIALS_FULL_URI and AWS_CONTAINER_AUTHORIZATION_TOKEN",
        provider="container-role",
    ),
    Failure(
        (raised.BotoCoreError, ValueError),
        ConfigurationError,
        "{service}: AWS's settings do not work",
        "check AWS_REGION and AWS_ENDPOINT_URL",
    ),
)
"""The first that fits holds."""

_REST: Final = Failure((Exception,), UnavailableError, "AWS: no credentials at the moment", _AGAIN)
"""Of what gives credentials, whatever else it raises: a run that has some must not end by it."""


@contextlib.contextmanager
def translated(service: str, subject: Subject | None = None) -> Iterator[None]:
    """Turn what botocore raises into our errors, which name the subject and its setting."""
    try:
        yield
    except CredentialsError as error:
        raise error.error from None
    except raised.ClientError as error:
        raise answered(service, error, subject) from None
    except (raised.BotoCoreError, ResponseParserError, ValueError) as error:
        raise failed(service, error) from None


class CredentialsError(Exception):
    """There are no credentials to sign with: raised through botocore, unpacked by `translated`."""

    def __init__(self, error: VaultEtlError, code: str) -> None:
        super().__init__(str(error))
        self.error = error
        self.code = code
        """The class of what botocore raised."""


def failed(service: str, error: Exception, provider: str | None = None) -> VaultEtlError:
    """Our error for an exception; `provider` is what was asked for credentials, if that failed."""
    found = failure_of(error, provider)
    says = found.says.format(service=service)
    return found.error(f"{says} ({type(error).__name__})", hint=found.hint)


def failure_of(error: Exception, provider: str | None) -> Failure:
    """The first row of `FAILURES` that fits."""
    for row in FAILURES:
        if isinstance(error, row.kinds) and row.provider in {None, provider} and row.only(error):
            return row
    return _REST


def answered(
    service: str, error: raised.ClientError, subject: Subject | None = None
) -> VaultEtlError:
    """Our error for an answer of AWS. Its text is looked at, for what the code leaves open."""
    told = error.response.get("Error", {})
    code = told.get("Code", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    refusal = refusal_of(code, told.get("Message", ""), status)
    meaning = refusal.value
    says = meaning.says.format(service=service)
    if refusal is not Refusal.NO_CODE:
        says += f" ({code})"
    if subject is not None:
        says += f": {subject.name}"
    setting = subject.setting if subject else ""
    hint = meaning.hint
    if hint and "{setting}" in hint:
        hint = hint.format(setting=setting or "the settings")
    elif hint and setting:
        hint += f"; {setting} names it"
    return meaning.error(says, hint=hint)
