"""The password of a login, read for each connection: from a file, Secrets Manager, or IAM.

No password is in an error or a log. No password is kept, so a rotation needs no restart.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from vault_etl.base.errors import ConfigurationError, UnavailableError, VaultEtlError
from vault_etl.platform.postgres_connect import PASSWORD_SETTING as SETTING
from vault_etl.platform.postgres_connect import Password

if TYPE_CHECKING:
    from vault_etl.platform.aws import AwsClients

VERIFIED: Final = "verify-full"

MAX_BYTES: Final = 8_192
"""The limit of a file. A token of RDS has under 2,000 bytes."""

_FILE: Final = "file:"
_SECRET: Final = "secretsmanager:"  # noqa: S105 - a prefix
_PORT: Final = "5432"


def password_of(setting: str, aws: Callable[[], AwsClients]) -> Password:
    """Return the source that a setting names: `file:PATH`, `secretsmanager:ARN` or `rds-iam`. Thread-safe."""
    if setting.startswith(_FILE):
        return FilePassword(Path(setting.removeprefix(_FILE)))
    if (secret := secret_of(setting)) is not None:
        return SecretPassword(secret, aws)
    return RdsToken(aws)


def secret_of(setting: str) -> str | None:
    """Return the ARN of the secret that a setting names; None for another source."""
    return setting.removeprefix(_SECRET) if setting.startswith(_SECRET) else None


class FilePassword:
    """The content of a file, without the newline at its end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._was_read = False

    def __call__(self, options: Mapping[str, str]) -> Mapping[str, str]:
        """Read the file. Raises ConfigurationError, but UnavailableError once the file was read.

        Another program may replace the file in place, and that must not end a worker.
        """
        del options
        kind: type[VaultEtlError] = UnavailableError if self._was_read else ConfigurationError
        try:
            with self._path.open("rb") as file:
                content = file.read(MAX_BYTES + 1)
        except OSError as error:
            why = (error.strerror or "not a file").lower()
            raise kind(f"{_SUBJECT} cannot be read: {why}", hint=_FILE_HINT) from None
        if len(content) > MAX_BYTES:
            raise kind(f"{_SUBJECT} is longer than {MAX_BYTES:,} bytes", hint=_FILE_HINT)
        try:
            password = content.decode().rstrip("\r\n")
        except UnicodeDecodeError:
            raise kind(f"{_SUBJECT} is not UTF-8", hint=_FILE_HINT) from None
        if not password or "\0" in password:
            raise kind(f"{_SUBJECT} is empty, or holds a NUL", hint=_FILE_HINT)
        self._was_read = True
        return {"password": password}


class SecretPassword:
    """A secret of AWS Secrets Manager: a text, or an object with `password`, which is the form of RDS."""

    def __init__(self, arn: str, aws: Callable[[], AwsClients]) -> None:
        self._arn = arn
        self._aws = aws
        self._one_at_a_time = threading.Lock()  # a session of boto3 makes clients for one thread

    def __call__(self, options: Mapping[str, str]) -> Mapping[str, str]:
        """Read the current version. Raises ConfigurationError, DeniedError or UnavailableError."""
        with self._one_at_a_time:
            text = self._aws().secret(self._arn, SETTING)
        secret = _object(text)
        password = text if secret is None else secret.get("password")
        if not isinstance(password, str) or not password or "\0" in password:
            message = f"the secret that {SETTING} names has no password"
            raise ConfigurationError(
                message,
                hint='a secret is the password, or JSON such as {"username": …, "password": …}',
            )
        login = None if secret is None else secret.get("username")
        if login is not None and login != options.get("user"):
            message = f"the secret that {SETTING} names is of another login"
            raise ConfigurationError(
                message,
                hint="name that login in the URL; a rotation that alternates between two logins is not supported",
            )
        return {"password": password}


class RdsToken:
    """An IAM token for one connection to RDS, Aurora or RDS Proxy, valid for 15 minutes."""

    def __init__(self, aws: Callable[[], AwsClients]) -> None:
        self._aws = aws
        self._one_at_a_time = threading.Lock()

    def __call__(self, options: Mapping[str, str]) -> Mapping[str, str]:
        """Sign a token, without a call. Raises ConfigurationError, DeniedError or UnavailableError.

        The server receives the token in the clear, and its holder is this login. So the token is sent over
        TLS alone, to a server whose certificate and name were verified.
        """
        host, user = options.get("host", ""), options.get("user", "")
        port = options.get("port") or _PORT
        is_port = port.isascii() and port.isdecimal()
        if not (host and user and is_port) or "," in host or host.startswith("/"):
            raise ConfigurationError(
                f"{SETTING}=rds-iam is for one host and a login", hint=_IAM_HINT
            )
        if options.get("sslmode") != VERIFIED:
            message = f"{SETTING}=rds-iam needs sslmode={VERIFIED}: a reader of the token becomes this login"
            raise ConfigurationError(message, hint=_IAM_HINT)
        with self._one_at_a_time:
            token = self._aws().rds_token(host, int(port), user)
        # The options of the token are set again, so that a service file or a Kerberos ticket cannot change them.
        made_for = {"host": host, "port": port, "user": user}
        return {"password": token, "sslmode": VERIFIED, "gssencmode": "disable", **made_for}


def _object(text: str) -> dict[str, object] | None:
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


_SUBJECT: Final = f"the file that {SETTING} names"
_FILE_HINT: Final = (
    f"{SETTING}=file:PATH is a file that this user may read, with the password alone"
)
_IAM_HINT: Final = (
    "the URL is"
    " postgresql://login@host:5432/database?sslmode=verify-full&sslrootcert=/etc/ssl/certs/rds.pem"
)
