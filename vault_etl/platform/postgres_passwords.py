"""The password of a login, asked for at each connect: from a file, Secrets Manager, or IAM.

No password is in an error or a log, and none is kept: what rotates it needs no restart of ours.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from vault_etl.base.errors import ConfigurationError, UnavailableError, VaultEtlError
from vault_etl.platform.aws import AwsClients
from vault_etl.platform.postgres_connect import PASSWORD_SETTING as SETTING
from vault_etl.platform.postgres_connect import Password

VERIFIED: Final = "verify-full"

MAX_BYTES: Final = 8_192
"""Of a file. A token of RDS has under 2,000."""

_FILE: Final = "file:"
_SECRET: Final = "secretsmanager:"  # noqa: S105 - a prefix
_PORT: Final = "5432"


def password_of(setting: str, aws: Callable[[], AwsClients]) -> Password:
    """What a setting asks for a password: `file:PATH`, `secretsmanager:ARN` or `rds-iam`. Threads may share it."""
    if setting.startswith(_FILE):
        return FilePassword(Path(setting.removeprefix(_FILE)))
    if (secret := secret_of(setting)) is not None:
        return SecretPassword(secret, aws)
    return RdsToken(aws)


def secret_of(setting: str) -> str | None:
    """The ARN of the secret that a setting names; None if it names something else."""
    return setting.removeprefix(_SECRET) if setting.startswith(_SECRET) else None


class FilePassword:
    """The content of a file, but for the newline at its end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._was_read = False

    def __call__(self, options: Mapping[str, str]) -> Mapping[str, str]:
        """Read it. Raises ConfigurationError, but UnavailableError after it was read once.

        What writes the file again may do so in place, and must not end a worker.
        """
        del options
        kind: type[VaultEtlError] = UnavailableError if self._was_read else ConfigurationError
        try:
            with self._path.open("rb") as file:
                content = file.read(MAX_BYTES + 1)
        except OSError as error:
            why = (error.strerror or "it is no file").lower()
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
    """A secret of AWS Secrets Manager: a text, or an object with `password`, as RDS keeps them."""

    def __init__(self, arn: str, aws: Callable[[], AwsClients]) -> None:
        self._arn = arn
        self._aws = aws
        self._one_at_a_time = threading.Lock()  # a session of boto3 makes clients for one thread

    def __call__(self, options: Mapping[str, str]) -> Mapping[str, str]:
        """Ask for its current version. Raises ConfigurationError, DeniedError or UnavailableError."""
        with self._one_at_a_time:
            text = self._aws().secret(self._arn, SETTING)
        secret = _object(text)
        password = text if secret is None else secret.get("password")
        if not isinstance(password, str) or not password or "\0" in password:
            message = f"the secret that {SETTING} names has no password"
            raise ConfigurationError(
                message, hint='it is the password, or JSON such as {"username": …, "password": …}'
            )
        login = None if secret is None else secret.get("username")
        if login is not None and login != options.get("user"):
            message = f"the secret that {SETTING} names is of another login"
            raise ConfigurationError(
                message,
                hint="name this one in the URL; a rotation by turns between two logins does not fit",
            )
        return {"password": password}


class RdsToken:
    """A token of IAM for one connection to RDS, Aurora or RDS Proxy. It is good for 15 minutes."""

    def __init__(self, aws: Callable[[], AwsClients]) -> None:
        self._aws = aws
        self._one_at_a_time = threading.Lock()

    def __call__(self, options: Mapping[str, str]) -> Mapping[str, str]:
        """Sign one, without a call. Raises ConfigurationError, DeniedError or UnavailableError.

        The server gets the token as it is, and whoever has it is this login: so it is sent over TLS
        alone, to a server whose certificate and name were checked.
        """
        host, user = options.get("host", ""), options.get("user", "")
        port = options.get("port") or _PORT
        if not (host and user and port.isdecimal()) or "," in host or host.startswith("/"):
            raise ConfigurationError(
                f"{SETTING}=rds-iam is for one host and a login", hint=_IAM_HINT
            )
        if options.get("sslmode") != VERIFIED:
            message = (
                f"{SETTING}=rds-iam needs sslmode={VERIFIED}: whoever reads the token is this login"
            )
            raise ConfigurationError(message, hint=_IAM_HINT)
        with self._one_at_a_time:
            token = self._aws().rds_token(host, int(port), user)
        # All that it was made for is named again: no service file and no Kerberos ticket has it go another way.
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
