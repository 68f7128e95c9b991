"""Credentials that survive failures of their source.

Without credentials botocore makes no client, or a client that never gets any; and it fails a call if
credentials cannot be renewed in their last ten minutes. Here a call without credentials says why, the next
call asks the source again, and valid credentials are used to their end.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import urlsplit

import botocore.credentials as aws
import botocore.exceptions

from vault_etl.base.errors import ConfigurationError, UnavailableError
from vault_etl.platform.aws_errors import SOURCE, CredentialsError, answered, failed

if TYPE_CHECKING:
    from botocore.session import Session

PAUSE_S: Final = 10.0
"""Seconds between two attempts to renew. A silent source takes nine seconds for each attempt."""

MARGIN_S: Final = 5
"""Credentials that end within this many seconds are not used: a call takes time."""

METADATA_SERVICE: Final = "http://169.254.169.254/"

_SENDABLE: Final = re.compile(r"[!-~]*")
"""The characters of credentials: others fit no header, or are signed otherwise than they are sent."""

_SERVICES: Final = {"GetRoleCredentials": "SSO"}
_SETTINGS: Final = (
    "AWS_PROFILE",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_ROLE_ARN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
)
"""The settings of AWS that name a source of credentials."""


class HeldCredentials:
    """The credentials that botocore signs with, in place of its own. Thread-safe."""

    method: Final = "vault-etl"

    def __init__(
        self,
        providers: Callable[[], list[aws.CredentialProvider]],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._providers = providers
        self._monotonic = monotonic
        self._renewing = threading.Lock()
        self._source: aws.Credentials | None = None
        self._held: aws.ReadOnlyCredentials | None = None
        self._failure: CredentialsError | None = None
        self._ask_at = 0.0

    @classmethod
    def of(cls, session: Session) -> Self:
        """Make the credentials, and register them for every client of the session."""

        def providers() -> list[aws.CredentialProvider]:
            region = session.get_config_variable("region")
            found = aws.create_credential_resolver(session, region_name=region).providers
            return [*found, SilentMetadata(session)]

        held = cls(providers)
        session.register_component("credential_provider", held)
        return held

    def load_credentials(self) -> Self:
        """Implement `botocore.credentials.CredentialResolver`. The first call reports a failure."""
        with contextlib.suppress(CredentialsError):
            self.get_frozen_credentials()
        return self

    def get_frozen_credentials(self) -> aws.ReadOnlyCredentials:
        """Return the credentials to sign with. Raises CredentialsError if there are no valid credentials.

        One thread at a time asks the source. The others wait for that thread only without valid credentials.
        """
        if self._renewing.acquire(blocking=not self._is_valid()):
            try:
                self._renew()
            finally:
                self._renewing.release()
        held, failure = self._held, self._failure
        if held is not None and (failure is None or self._is_valid()):
            return held
        kept = failure or CredentialsError(UnavailableError("AWS: no credentials"), "")
        error = kept.error  # a new error for each thread: raising writes a traceback into the error
        raise CredentialsError(type(error)(str(error), hint=error.hint), kept.code)

    def get_deferred_property(self, property_name: str) -> Callable[[], str | None]:
        """Return a function that gets one property, for the endpoint rules of botocore."""
        return lambda: getattr(self.get_frozen_credentials(), property_name, None)

    def _is_valid(self) -> bool:
        """Tell whether the held credentials are valid. Credentials without an end always are."""
        if self._held is None:
            return False
        source = self._source
        return not (
            isinstance(source, aws.RefreshableCredentials) and source.refresh_needed(MARGIN_S)
        )

    def _renew(self) -> None:
        now = self._monotonic()
        if now < self._ask_at and (self._failure is not None or self._is_valid()):
            return
        provider: str | None = getattr(self._source, "method", None)
        try:
            if self._source is None:
                for candidate in self._providers():
                    provider = candidate.METHOD
                    self._source = candidate.load()
                    if self._source is not None:
                        break
                else:
                    provider = None
                    raise botocore.exceptions.NoCredentialsError  # noqa: TRY301 - as botocore's own
            self._held = _sendable(self._source.get_frozen_credentials())
        except Exception as error:  # noqa: BLE001 - a source is a program, a file or a server
            self._failure = _failure(error, provider)
            self._ask_at = now + PAUSE_S
            return
        self._failure = None
        if isinstance(self._source, aws.RefreshableCredentials) and self._source.refresh_needed():
            self._ask_at = now + PAUSE_S  # the renewal failed, or gave credentials for minutes only


class SilentMetadata(aws.CredentialProvider):
    """The last provider: reports a failing metadata service of an EC2 instance.

    botocore treats a metadata service that fails like a missing one, so a short failure would look like a
    machine without credentials.
    """

    METHOD = "iam-role"

    def load(self) -> None:
        """Raise CredentialRetrievalError if a metadata service accepts connections."""
        if os.environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
            return
        named = self.session.get_config_variable("ec2_metadata_service_endpoint")
        address = urlsplit(named or METADATA_SERVICE)
        try:
            socket.create_connection((address.hostname or "", address.port or 80), 1).close()
        except OSError:
            return
        raise botocore.exceptions.CredentialRetrievalError(provider=self.METHOD, error_msg="")


def _sendable(found: aws.ReadOnlyCredentials) -> aws.ReadOnlyCredentials:
    """Return the credentials. Raises ConfigurationError if a request cannot carry them."""
    if not all(_SENDABLE.fullmatch(part or "") for part in found):
        message = "AWS: the credentials have a character that no credentials of AWS have"
        raise ConfigurationError(
            message, hint="they are printable ASCII without spaces: are they copied whole?"
        )
    return found


def _failure(error: Exception, provider: str | None) -> CredentialsError:
    """The failure of a provider, which also says what of AWS's settings is set."""
    if isinstance(error, botocore.exceptions.ClientError):
        ours = answered(_SERVICES.get(error.operation_name, "STS"), error)
    elif isinstance(error, ConfigurationError):
        ours = error
    else:
        ours = failed(SOURCE, error, provider)
    named = [name for name in _SETTINGS if name in os.environ]
    hint = f"{ours.hint} (set: {', '.join(named)})" if named else ours.hint
    return CredentialsError(type(ours)(str(ours), hint=hint), type(error).__name__)
