"""The error codes of SQS, KMS, S3, STS, SSO and Secrets Manager, each in one class with our error and a hint.

The codes come from the models of the services in botocore, from the list "Common errors" that all services
share, and from the codes that botocore retries. A test reads the models: it fails if a code is missing.
docs/operations/failures.md shows the classes, generated from this table.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from vault_etl.base.errors import (
    ConfigurationError,
    DeniedError,
    IncompleteError,
    KeyNotOpenedError,
    KeyUnavailableError,
    NotFoundError,
    UnavailableError,
    UnusableKeyError,
    VaultEtlError,
)


@dataclass(frozen=True, slots=True)
class Class:
    """Codes of one meaning. `{service}`, `{name}` and `{setting}` belong to the failed call."""

    error: type[VaultEtlError]
    says: str
    hint: str | None
    codes: frozenset[str]


class InvalidCallError(ConfigurationError):
    """AWS says that the call is not valid: a setting is wrong, or the stored key in the call."""


def _codes(text: str) -> frozenset[str]:
    return frozenset(text.split())


class Refusal(Enum):
    """The meaning of a code: the message, the error and the hint."""

    CLOCK = Class(
        UnavailableError,
        "{service} finds this machine's clock wrong",
        "set the clock: AWS refuses what was signed more than five minutes ago, or to come",
        _codes("RequestExpired RequestInTheFuture RequestTimeTooSkewed"),
    )
    BUSY = Class(
        UnavailableError,
        "{service} did not do it",
        "it is throttled, or at a quota: run the command again",
        _codes(
            "BandwidthLimitExceeded EC2ThrottledException KMS.ThrottlingException KmsThrottled"
            " LimitExceededException OverLimit PriorRequestNotComplete ProvisionedThroughputExceededException"
            " RequestLimitExceeded RequestThrottled RequestThrottledException SlowDown"
            " ThrottledException Throttling ThrottlingException TooManyRequestsException"
            " TransactionInProgressException"
        ),
    )
    FAILED = Class(
        UnavailableError,
        "{service} did not do it",
        "AWS failed inside: run the command again",
        _codes(
            "BadDigest ConditionalRequestConflict ConflictException DependencyTimeoutException"
            " IDPCommunicationError IncompleteBody OperationAborted XAmzContentChecksumMismatch"
            " InternalError InternalFailure InternalServerError InternalServerException InternalServiceError"
            " KMSInternalException KeyUnavailableException RequestAbortedException RequestTimeout"
            " RequestTimeoutException ServiceUnavailable ServiceUnavailableException"
        ),
    )
    ONE_MESSAGE = Class(
        UnavailableError,
        "{service} did not do it",
        "it is about one message, which comes again",
        _codes("MessageNotInflight ReceiptHandleIsInvalid"),
    )
    DENIED = Class(
        DeniedError,
        "{service} denies this",
        "check the role of these credentials, and the name of what is asked for",
        _codes(
            "AccessDenied AccessDeniedException ForbiddenException IDPRejectedClaim NotAuthorized"
            " UnauthorizedException UnauthorizedOperation"
        ),
    )
    EXPIRED = Class(
        DeniedError,
        "{service} denies this",
        "the credentials have run out: get others, or sign in again",
        _codes("ExpiredToken ExpiredTokenException"),
    )
    NO_CALLER = Class(
        DeniedError,
        "{service} denies this",
        "AWS does not know these credentials: check the access key, its secret, and AWS_REGION",
        _codes(
            "AuthFailure IncompleteSignature IncompleteSignatureException InvalidAccessKeyId"
            " InvalidClientTokenId InvalidIdentityToken InvalidSignatureException"
            " MissingAuthenticationToken MissingAuthenticationTokenException SignatureDoesNotMatch"
            " UnrecognizedClientException"
        ),
    )
    KEY = Class(
        KeyUnavailableError,
        "KMS does not use this key",
        "it may be disabled, to be deleted, deleted, of another kind, or not the one",
        _codes(
            "DisabledException InvalidKeyUsageException KMSInvalidStateException NotFoundException"
        ),
    )
    QUEUE_KEY = Class(
        KeyUnavailableError,
        "{service} cannot use its own KMS key",
        "check the key that the queue's KmsMasterKeyId, or the bucket's encryption, names: it is disabled,"
        " to be deleted, deleted, of another kind, or does not let this role use it",
        _codes(
            "KMS.AccessDeniedException KMS.DisabledException KMS.InvalidKeyUsageException"
            " KMS.InvalidStateException KMS.NotFoundException KMS.OptInRequired KmsAccessDenied"
            " KmsDisabled KmsInvalidKeyUsage KmsInvalidState KmsNotFound KmsOptInRequired"
        ),
    )
    SECRET_KEY = Class(
        KeyUnavailableError,
        "Secrets Manager cannot use the secret's own KMS key",
        "does that key's policy, and this role's, allow kms:Decrypt? Is the key enabled?",
        _codes("DecryptionFailure EncryptionFailure"),
    )
    OTHER_KEY = Class(
        UnusableKeyError,
        "another KMS key wrapped it than its row names",
        None,
        _codes("IncorrectKeyException"),
    )
    NOT_OPENED = Class(
        KeyNotOpenedError, "KMS does not open it", None, _codes("InvalidCiphertextException")
    )
    QUEUE = Class(
        ConfigurationError,
        "SQS has no such queue",
        "check {setting}",
        _codes("InvalidAddress NonExistentQueue QueueDeletedRecently QueueDoesNotExist"),
    )
    BUCKET = Class(
        ConfigurationError,
        "S3 has no such bucket for this account and region",
        "check the name of the bucket, and AWS_REGION",
        _codes(
            "AllAccessDisabled AuthorizationHeaderMalformed IllegalLocationConstraintException"
            " InvalidBucketName InvalidBucketState NoSuchBucket PermanentRedirect TemporaryRedirect"
        ),
    )
    OBJECT = Class(
        NotFoundError,
        "S3 has no such object",
        "was the archive moved or deleted?",
        _codes("NoSuchKey NoSuchVersion"),
    )
    THERE = Class(
        IncompleteError,
        "S3 has an object of this name already",
        "another run made it: run the command again",
        _codes("PreconditionFailed"),
    )
    AWAY = Class(
        ConfigurationError,
        "S3 keeps the object where it cannot be read at once",
        "its storage class is an archive's: have S3 restore it, and run the command again",
        _codes("InvalidObjectState"),
    )
    REGION = Class(
        ConfigurationError,
        "{service} is not open to this account in this region",
        "check AWS_REGION, and that the account has the region enabled",
        _codes("OptInRequired RegionDisabled RegionDisabledException"),
    )
    INSECURE = Class(
        ConfigurationError,
        "{service} takes signed HTTPS alone",
        "check AWS_ENDPOINT_URL: it has to begin with https://",
        _codes("InvalidSecurity"),
    )
    INVALID = Class(
        InvalidCallError,
        "{service} says that this call is not valid",
        "check {setting}, AWS_REGION and AWS_ENDPOINT_URL",
        _codes(
            "BatchEntryIdsNotDistinct BatchRequestTooLong EmptyBatchRequest EntityTooLarge InvalidAction"
            " InvalidArgument InvalidDigest InvalidRequest InvalidURI KeyTooLongError MethodNotAllowed"
            " MissingContentLength NotImplemented"
            " InvalidAliasNameException InvalidArnException InvalidAttributeName"
            " InvalidAttributeValue InvalidBatchEntryId InvalidIdFormat InvalidParameterCombination"
            " InvalidMessageContents InvalidParameterException InvalidParameterValue"
            " InvalidParameterValueException InvalidQueryParameter"
            " InvalidRequestException MalformedHttpRequestException MalformedPolicyDocument"
            " MalformedQueryString MissingAction MissingParameter PackedPolicyTooLarge"
            " RequestEntityTooLarge RequestEntityTooLargeException ResourceNotFoundException"
            " SerializationException TooManyEntriesInBatchRequest UnknownOperation"
            " UnknownOperationException UnsupportedOperation UnsupportedOperationException"
            " ValidationError ValidationException"
        ),
    )
    NOT_OURS = Class(
        DeniedError,
        "{service} refuses this",
        "vault-etl makes no call that AWS answers so: does something stand between it and AWS?",
        _codes(
            "AlreadyExistsException AnnotationLimitExceeded AnnotationNameTooLong BucketAlreadyExists"
            " BucketAlreadyOwnedByYou CloudHsmClusterInUseException"
            " CloudHsmClusterInvalidConfigurationException CloudHsmClusterNotActiveException"
            " CloudHsmClusterNotFoundException CloudHsmClusterNotRelatedException"
            " CustomKeyStoreHasCMKsException CustomKeyStoreInvalidStateException"
            " CustomKeyStoreNameInUseException CustomKeyStoreNotFoundException"
            " DryRunOperationException ExpiredImportTokenException ExpiredTradeInTokenException"
            " EncryptionTypeMismatch IdempotencyParameterMismatch IncorrectKeyMaterialException"
            " IncorrectTrustAnchorException InvalidAnnotationName InvalidPrefix InvalidWriteOffset"
            " InvalidAuthorizationMessageException InvalidGrantIdException"
            " InvalidGrantTokenException InvalidImportTokenException InvalidMarkerException"
            " InvalidNextTokenException"
            " JWTPayloadSizeExceededException KMSInvalidMacException KMSInvalidSignatureException"
            " MalformedPolicyDocumentException"
            " NoSuchAnnotation NoSuchUpload ObjectAlreadyInActiveTierError ObjectNotInActiveTierError"
            " OutboundWebIdentityFederationDisabledException PreconditionNotMetException PublicPolicyException"
            " PurgeQueueInProgress QueueAlreadyExists QueueNameExists ResourceExistsException"
            " SessionDurationEscalationException TagException TooManyParts UnsupportedMediaType"
            " XksKeyAlreadyInUseException XksKeyInvalidConfigurationException"
            " XksKeyNotFoundException XksProxyIncorrectAuthenticationCredentialException"
            " XksProxyInvalidConfigurationException XksProxyInvalidResponseException"
            " XksProxyUriEndpointInUseException XksProxyUriInUseException"
            " XksProxyUriUnreachableException XksProxyVpcEndpointServiceInUseException"
            " XksProxyVpcEndpointServiceInvalidConfigurationException"
            " XksProxyVpcEndpointServiceNotFoundException"
        ),
    )
    UNKNOWN = Class(
        DeniedError,
        "{service} refuses this",
        "AWS's documentation says what the code means; check {setting} and the role",
        frozenset(),
    )
    UNKNOWN_FAULT = Class(
        UnavailableError, "{service} did not do it", "run the command again", frozenset()
    )
    NO_CODE = Class(
        UnavailableError,
        "{service} answers in a way that AWS does not (HTTP error)",
        "an emulator must speak the JSON protocol: LocalStack 3 or newer, moto 5 or newer",
        frozenset(),
    )


_OF_CODE: Final = {code: refusal for refusal in Refusal for code in refusal.value.codes}
_QUERY_PREFIX: Final = "AWS.SimpleQueueService."
"""The prefix of codes of SQS in its older protocol, which SQS still names in a header."""

_CLOCK_TEXTS: Final = ("Signature expired", "Signature not yet current")
"""The beginnings of the text that AWS gives when a signature is refused for its time alone (SigV4)."""

_HTTP_DENIED: Final = frozenset({"401", "403"})
"""The code that botocore reports for an answer without a readable code, such as moto's to a bad signature."""

_FIRST_FAULT: Final = 500
_TOO_MANY: Final = 429


def refusal_of(code: str, text: str, status: int) -> Refusal:
    """Return the class of an answer, by its code, its HTTP status, and its text where the code is ambiguous.

    An unknown code is temporary if the status is a fault of AWS (500 and above, 429), and a refusal
    otherwise: an ingest must not wait for an error that does not pass.
    """
    known = _OF_CODE.get(code.removeprefix(_QUERY_PREFIX))
    if known is Refusal.NO_CALLER and text.startswith(_CLOCK_TEXTS):
        return Refusal.CLOCK
    if known is not None:
        return known
    if code in _HTTP_DENIED:
        return Refusal.DENIED
    if code.isdigit() or not code:
        return Refusal.NO_CODE
    return (
        Refusal.UNKNOWN_FAULT if status >= _FIRST_FAULT or status == _TOO_MANY else Refusal.UNKNOWN
    )
