"""KMS signs the head or an archive and returns the public key; STS names the caller. Each permission is a type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from typing_extensions import override

from vault_etl.audit.checkpoint import AuditKey
from vault_etl.audit.log import Identity
from vault_etl.audit.signing import HeadSigner, KmsSignature, PublicKeySource, SigningKey
from vault_etl.base.errors import ConfigurationError
from vault_etl.platform.aws_errors import Subject, translated

if TYPE_CHECKING:
    from types_boto3_kms.client import KMSClient
import functools
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types_boto3_sts.client import STSClient


SERVICE: Final = "KMS"
AUDIT_KEY: Final = "VAULT_ETL_AUDIT_KEY"
ARCHIVE_KEY: Final = "VAULT_ETL_ARCHIVE_KEY"


class KmsHeadSigner(HeadSigner):
    """Signs with `key`, an alias, an id or an ARN; `setting` is the setting that names the key."""

    def __init__(self, kms: KMSClient, key: str, setting: str = AUDIT_KEY) -> None:
        self._kms = kms
        self._key = key
        self._subject = Subject(key, setting)

    @override
    def sign(self, text: bytes) -> KmsSignature:
        """Sign `text`. AWS answers with the key's ARN; an emulator may repeat the alias."""
        with translated(SERVICE, self._subject):
            answer = self._kms.sign(
                KeyId=self._key,
                Message=text,
                MessageType="RAW",
                SigningAlgorithm="ECDSA_SHA_256",
            )
        arn = answer["KeyId"]
        return KmsSignature(arn if ":key/" in arn else None, answer["Signature"])


class KmsPublicKey(PublicKeySource):
    """Reads the public half of `key`, an alias, an id or an ARN; `setting` is the setting that names the key."""

    def __init__(self, kms: KMSClient, key: str, setting: str = AUDIT_KEY) -> None:
        self._kms = kms
        self._key = key
        self._setting = setting
        self._subject = Subject(key, setting)

    @override
    def signing_key(self) -> SigningKey:
        """Look up the alias once, so that ARN and public half are of one key."""
        with translated(SERVICE, self._subject):
            arn = self._kms.describe_key(KeyId=self._key)["KeyMetadata"]["Arn"]
            found = self._kms.get_public_key(KeyId=arn)
        try:
            return SigningKey(arn, AuditKey(found["PublicKey"]))
        except ValueError:
            message = f"the key of {self._setting} is not of the kind ECC_NIST_P256"
            raise ConfigurationError(message, hint=f"check {self._setting}") from None


class StsIdentity(Identity):
    """The caller by sts:GetCallerIdentity, which no policy can forbid. STS is asked once."""

    def __init__(self, sts: STSClient) -> None:
        self._sts = sts

    @override
    def actor(self) -> str:
        return self._arn

    @override
    def host(self) -> str:
        return socket.gethostname()[:255] or "unknown"

    @functools.cached_property
    def _arn(self) -> str:
        with translated("STS"):
            return self._sts.get_caller_identity()["Arn"]
