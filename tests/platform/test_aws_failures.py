"""Every error of AWS's models, and every exception of botocore on the way to credentials, has its class."""

from __future__ import annotations

import ast
import builtins
import inspect
import re
from collections.abc import Iterator

import botocore.credentials
import botocore.exceptions as raised
import botocore.session
import botocore.tokens
import botocore.utils
import pytest

from tests.kit.declared import IP
from vault_etl.base.errors import (
    ConfigurationError,
    DeniedError,
    KeyUnavailableError,
    UnavailableError,
    VaultEtlError,
)
from vault_etl.crypto.fields import KeyPurpose
from vault_etl.crypto.keys import WrappedKey
from vault_etl.keys.kms import asked_about
from vault_etl.platform.aws_error_codes import Refusal, refusal_of
from vault_etl.platform.aws_errors import Subject, answered, failed, failure_of
from vault_etl.platform.aws_exceptions import FAILURES, REST, AwsFailure

SERVICES = ("sqs", "kms", "s3", "sts", "sso", "secretsmanager")

COMMON = [
    "AccessDeniedException",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InternalFailure",
    "InvalidAction",
    "InvalidClientTokenId",
    "InvalidParameterCombination",
    "InvalidParameterValue",
    "InvalidQueryParameter",
    "MalformedHttpRequestException",
    "MalformedQueryString",
    "MissingAction",
    "MissingAuthenticationToken",
    "MissingParameter",
    "NotAuthorized",
    "OptInRequired",
    "RequestAbortedException",
    "RequestEntityTooLargeException",
    "RequestExpired",
    "RequestTimeoutException",
    "ServiceUnavailable",
    "ThrottlingException",
    "UnknownOperationException",
    "UnrecognizedClientException",
    "ValidationError",
    "ValidationException",
]
"""The list "Common errors", which is in the reference of each service."""

OF_S3 = [
    "BadDigest",
    "ConditionalRequestConflict",
    "EntityTooLarge",
    "IncompleteBody",
    "InvalidArgument",
    "InvalidBucketName",
    "InvalidDigest",
    "InvalidURI",
    "KeyTooLongError",
    "MethodNotAllowed",
    "NotImplemented",
    "OperationAborted",
    "PermanentRedirect",
    "PreconditionFailed",
    "SlowDown",
]
"""Of its reference, "Error responses": what may answer the calls that are made. Its model has hardly any."""

OLD_NAMES = [
    "AWS.SimpleQueueService.NonExistentQueue",
    "AWS.SimpleQueueService.UnsupportedOperation",
    "AuthFailure",
    "KMS.AccessDeniedException",
    "KMS.DisabledException",
    "KMS.InvalidKeyUsageException",
    "KMS.InvalidStateException",
    "KMS.NotFoundException",
    "KMS.OptInRequired",
    "KMS.ThrottlingException",
    "RegionDisabled",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
]
"""What SQS calls its errors in the header `x-amzn-query-error`, and others that services add."""

NOT_OF_AWS = {"NotImplementedError", "KeyError"}
"""What an abstract method raises; and what a cache that has nothing raises, which botocore catches."""


def codes() -> Iterator[str]:
    """Every code of the models of the services that are called, and of the lists above."""
    session = botocore.session.get_session()
    for service in SERVICES:
        model = session.get_service_model(service)
        for shape in model.error_shapes:
            yield str(shape.metadata.get("error", {}).get("code", shape.name))
    yield from COMMON
    yield from OF_S3
    yield from OLD_NAMES


def answer(code: str, status: int = 400, text: str = "") -> raised.ClientError:
    """The error that botocore raises for an answer."""
    return raised.ClientError(
        {"Error": {"Code": code, "Message": text}, "ResponseMetadata": {"HTTPStatusCode": status}},  # type: ignore[typeddict-item]
        "Operation",
    )


@pytest.mark.parametrize("code", sorted(set(codes())))
def test_every_error_of_the_models_has_a_class(code: str) -> None:
    """The class follows from the code, not from the rule for unknown codes."""
    assert refusal_of(code, "", 400) not in {Refusal.UNKNOWN, Refusal.UNKNOWN_FAULT}


def test_a_code_has_one_class() -> None:
    """No code is in two classes."""
    listed = [code for refusal in Refusal for code in refusal.value.codes]
    assert len(listed) == len(set(listed))


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("KMS.DisabledException", 400, KeyUnavailableError),
        ("KmsInvalidState", 400, KeyUnavailableError),
        ("InvalidSecurity", 403, ConfigurationError),
        ("RegionDisabled", 403, ConfigurationError),
        ("OptInRequired", 403, ConfigurationError),
        ("ValidationException", 400, ConfigurationError),
        ("AuthFailure", 401, DeniedError),
        ("OverLimit", 403, UnavailableError),
        ("NewException", 400, DeniedError),
        ("NewException", 503, UnavailableError),
        ("NewException", 429, UnavailableError),
        ("502", 502, UnavailableError),
        ("403", 403, DeniedError),
    ],
)
def test_only_temporary_errors_are_waited_for(
    code: str, status: int, kind: type[VaultEtlError]
) -> None:
    """A code that is not known passes only if AWS says that the fault is its own."""
    error = answered("SQS", answer(code, status), Subject("logins", "VAULT_ETL_QUEUE_URL"))
    assert isinstance(error, kind)
    assert code.isdigit() or code in str(error)


def test_the_text_of_an_answer_goes_no_further() -> None:
    """The text may quote a parameter. A text that begins as AWS's word on a wrong clock changes the class alone."""
    error = answered("SQS", answer("SignatureDoesNotMatch", 403, "Signature expired: 203.0.113.7"))
    assert "(SignatureDoesNotMatch)" in str(error), "the code is AWS's own word, and does"
    assert isinstance(error, UnavailableError)
    assert "203.0.113.7" not in f"{error} {error.hint}"


@pytest.mark.parametrize("code", ["personal@example.org", "a b", "x" * 101, "", 5, None, {}])
def test_a_code_of_another_form_than_those_of_aws_is_not_shown(code: object) -> None:
    """It may be anything: the status of the answer is its code."""
    error = answered("SQS", answer(code))  # type: ignore[arg-type]
    assert isinstance(error, UnavailableError)
    assert str(error) == "SQS answers in a way that AWS does not (HTTP error)"
    assert isinstance(answered("SQS", answer(code, 403)), DeniedError)  # type: ignore[arg-type]


def test_a_call_that_a_keys_row_makes_not_valid_is_of_that_key() -> None:
    """A run over many keys passes such a key, rather than ending by it."""
    key = WrappedKey(
        key_id=1,
        purpose=KeyPurpose.DATA,
        field=IP,
        generation=None,
        kms_key_arn="arn:aws:kms:eu-central-1:111122223333:key/a",
        wrapped_key=b"x",
        fingerprint=b"",
    )
    with pytest.raises(KeyUnavailableError, match="key 1") as caught, asked_about(key):
        raise answer("ValidationException")
    assert key.kms_key_arn in (caught.value.hint or "")


def exceptions() -> Iterator[type[Exception]]:
    """The exceptions that botocore's source raises where it gets credentials and tokens."""
    for module in (
        inspect.getsource(botocore.credentials),
        inspect.getsource(botocore.tokens),
        inspect.getsource(botocore.utils.IMDSFetcher),
        inspect.getsource(botocore.utils.InstanceMetadataFetcher),
        inspect.getsource(botocore.utils.ContainerMetadataFetcher),
        inspect.getsource(botocore.utils.SSOTokenLoader),
    ):
        for node in ast.walk(ast.parse(module)):
            called = node.exc if isinstance(node, ast.Raise) else None
            function = called.func if isinstance(called, ast.Call) else called
            if isinstance(function, ast.Name) and function.id[0].isupper():
                found = getattr(raised, function.id, None) or getattr(builtins, function.id, None)
                if found is not None and function.id not in NOT_OF_AWS:
                    yield found


def test_every_exception_on_the_way_to_credentials_has_a_class() -> None:
    """The class follows from a row that is not for all of botocore's exceptions."""
    own_rows = [row for row in FAILURES if raised.BotoCoreError not in row.kinds]
    found = set(exceptions())
    assert len(found) > 10
    assert [
        kind for kind in found if not any(issubclass(kind, row.kinds) for row in own_rows)
    ] == []


@pytest.mark.parametrize("provider", [None, "custom-process", "container-role"])
def test_a_silent_service_is_not_taken_for_a_file(provider: str | None) -> None:
    """Botocore's exceptions of a connection are an OSError, as those of a file and a program are."""
    error = raised.ReadTimeoutError(endpoint_url="http://127.0.0.1")
    assert str(failed("KMS", error, provider)) == "KMS does not answer in time"


@pytest.mark.parametrize("row", [*FAILURES, REST], ids=lambda row: row.kinds[0].__name__)
def test_a_message_names_no_class_of_python(row: AwsFailure) -> None:
    """A person reads the hint. Where a row covers many codes, the hint names the class to search for."""
    assert not re.search(r"\w(Error|Exception)\b", f"{row.says} {row.hint}")
    told = failed("KMS", ZeroDivisionError())
    assert (str(told), "(botocore: ZeroDivisionError)" in str(told.hint)) == (REST.says, True)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 425, 429, 500, 503])
def test_a_container_that_says_no_is_told_from_one_that_says_later(status: int) -> None:
    """The status tells them apart, which botocore gives in its text alone."""
    text = f"Received non 200 response {status} from container metadata: 203.0.113.7"
    error = raised.CredentialRetrievalError(provider="container-role", error_msg=text)
    ours = failed("AWS", error, "container-role")
    refused = status < 500 and status not in {408, 425, 429}
    assert isinstance(ours, DeniedError if refused else UnavailableError)
    assert "203.0.113.7" not in f"{ours} {ours.hint}"


def test_an_unforeseen_error_on_the_way_to_credentials_is_temporary() -> None:
    """A run that has valid ones in hand must not end by it."""
    assert failure_of(ZeroDivisionError(), "sso").error is UnavailableError
