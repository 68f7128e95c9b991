"""Exceptions of botocore and answers of AWS, translated into our errors by two tables.

`aws_exceptions` classes exceptions, and `aws_error_codes` the codes of answers. No text of botocore or AWS
leaves this file: it may quote parameters.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import botocore.exceptions as raised
from botocore.parsers import ResponseParserError

from vault_etl.base.errors import VaultEtlError, of_service
from vault_etl.platform.aws_error_codes import Refusal, refusal_of
from vault_etl.platform.aws_exceptions import FAILURES, REST, AwsFailure

SOURCE: Final = "the source of AWS credentials"
"""The name of the service in a failure to get credentials."""

_CODE: Final = re.compile(r"[A-Za-z0-9._-]{1,100}")


@dataclass(frozen=True, slots=True)
class Subject:
    """The subject of a call: a KMS key or a queue, and the setting that names it, if any."""

    name: str
    setting: str = ""


@contextlib.contextmanager
def translated(service: str, subject: Subject | None = None) -> Iterator[None]:
    """Translate exceptions of botocore into our errors, which name the subject and its setting."""
    with of_service(service.lower()):
        try:
            yield
        except CredentialsError as error:
            error.error.service = "credentials"
            raise error.error from None
        except raised.ClientError as error:
            raise answered(service, error, subject) from None
        except (raised.BotoCoreError, ResponseParserError, ValueError) as error:
            raise failed(service, error) from None


class CredentialsError(Exception):
    """There are no credentials to sign with. The error passes through botocore, and `translated` unpacks it."""

    def __init__(self, error: VaultEtlError, code: str) -> None:
        super().__init__(str(error))
        self.error = error
        self.code = code
        """The class of the exception of botocore."""


def failed(service: str, error: Exception, provider: str | None = None) -> VaultEtlError:
    """Return our error for an exception. `provider` is the source of credentials that failed, if one did."""
    found = failure_of(error, provider)
    says = found.says.format(service=service)
    hint = f"{found.hint} (botocore: {type(error).__name__})" if found.is_wide else found.hint
    return found.error(says, hint=hint)


def failure_of(error: Exception, provider: str | None) -> AwsFailure:
    """Return the first row of `FAILURES` that fits."""
    for row in FAILURES:
        if isinstance(error, row.kinds) and row.provider in {None, provider} and row.only(error):
            return row
    return REST


def code_of(response: Any) -> str:  # noqa: ANN401 - as botocore has it
    """Return the error code of an answer; its HTTP status if the code has another form than those of AWS."""
    code = response.get("Error", {}).get("Code")
    if isinstance(code, str) and _CODE.fullmatch(code):
        return code
    return str(response.get("ResponseMetadata", {}).get("HTTPStatusCode", ""))


def answered(
    service: str, error: raised.ClientError, subject: Subject | None = None
) -> VaultEtlError:
    """Return our error for an answer of AWS. The text of the answer decides where its code is ambiguous."""
    code = code_of(error.response)
    text = str(error.response.get("Error", {}).get("Message", ""))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    refusal = refusal_of(code, text, status)
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
