"""KMS: making, unwrapping and rewrapping keys. Each is a type of its own, since each is a permission."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Final

from typing_extensions import override

from vault_etl.base.errors import (
    DeniedError,
    KeyDeniedError,
    KeyUnavailableError,
    UnusableKeyError,
)
from vault_etl.crypto.fields import FieldName, KeyPurpose
from vault_etl.crypto.keys import KEY_BYTES, KeyMaterial, WrappedKey, encryption_context
from vault_etl.keys.make import GeneratedKey, KeyGenerator, UnseenKey, UnseenKeyGenerator
from vault_etl.keys.rewrap import KeyRewrapper
from vault_etl.keys.unwrap import KeyUnwrapper, KmsKeys
from vault_etl.platform.aws_error_codes import InvalidCallError
from vault_etl.platform.aws_errors import Subject, translated

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from types_boto3_kms.client import KMSClient
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types_boto3_kms.client import KMSClient


SERVICE: Final = "KMS"

_SETTING: Final = {
    KeyPurpose.DATA: "VAULT_ETL_DATA_KEY",
    KeyPurpose.TOKEN: "VAULT_ETL_TOKEN_KEY",
    KeyPurpose.SOURCE: "VAULT_ETL_TOKEN_KEY",
}

_MULTI_REGION: Final = re.compile(
    r"^(arn:[a-z-]+:kms:)[a-z0-9-]+(:[0-9]{12}:key/mrk-[0-9a-f]{32})$"
)


class TrustedKeys:
    """The KMS keys that this installation trusts: an explicit list, or else the targets of its aliases."""

    def __init__(
        self, kms: KMSClient, names: Mapping[KeyPurpose, str], listed: frozenset[str]
    ) -> None:
        self._kms = kms
        self._names = names
        self._listed = listed
        self._resolved: dict[KeyPurpose, str] = {}

    def trusts(self, purpose: KeyPurpose, arn: str) -> bool:
        """Say whether the KMS key `arn` may wrap keys of this purpose. Replicas of a multi-Region key are one key."""
        trusted = self._listed or {self.in_use(purpose)}
        return self.in_region(arn) in map(self.in_region, trusted)

    def in_region(self, arn: str) -> str:
        """Return the ARN of a KMS key in the client's region: of a multi-Region key that of its replica there.

        Replicas have one id, which begins with `mrk-`, and one material; their ARNs differ in the region alone.
        """
        return _MULTI_REGION.sub(rf"\g<1>{self._kms.meta.region_name}\g<2>", arn)

    def in_use(self, purpose: KeyPurpose) -> str:
        """Return the ARN of the KMS key that wraps new keys of this purpose. The alias is looked up once."""
        if purpose not in self._resolved:
            name = self._names[purpose]
            with translated(SERVICE, Subject(name, _SETTING[purpose])):
                described = self._kms.describe_key(KeyId=name)
            self._resolved[purpose] = described["KeyMetadata"]["Arn"]
        return self._resolved[purpose]


class KmsKeyGenerator(KeyGenerator):
    """Makes keys and returns their plaintext."""

    def __init__(self, kms: KMSClient, names: Mapping[KeyPurpose, str]) -> None:
        self._kms = kms
        self._names = names

    @override
    def generate(self, purpose: KeyPurpose, field: FieldName, key_id: int) -> GeneratedKey:
        name = self._names[purpose]
        with translated(SERVICE, Subject(name, _SETTING[purpose])):
            made = self._kms.generate_data_key(
                KeyId=name,
                NumberOfBytes=KEY_BYTES,
                EncryptionContext=encryption_context(purpose, field, key_id),
            )
        return GeneratedKey(KeyMaterial(made["Plaintext"]), made["CiphertextBlob"], made["KeyId"])


class KmsUnseenKeyGenerator(UnseenKeyGenerator):
    """Makes keys without their plaintext."""

    def __init__(self, kms: KMSClient, names: Mapping[KeyPurpose, str]) -> None:
        self._kms = kms
        self._names = names

    @override
    def generate_unseen(self, purpose: KeyPurpose, field: FieldName, key_id: int) -> UnseenKey:
        name = self._names[purpose]
        with translated(SERVICE, Subject(name, _SETTING[purpose])):
            made = self._kms.generate_data_key_without_plaintext(
                KeyId=name,
                NumberOfBytes=KEY_BYTES,
                EncryptionContext=encryption_context(purpose, field, key_id),
            )
        return UnseenKey(made["CiphertextBlob"], made["KeyId"])


class KmsKeyUnwrapper(KeyUnwrapper):
    """Unwraps keys."""

    def __init__(self, kms: KMSClient, trusted: TrustedKeys) -> None:
        self._kms = kms
        self._trusted = trusted

    @override
    def unwrap(self, key: WrappedKey) -> KeyMaterial:
        """Unwrap with the ARN of the key's row, and compare that ARN with the one in KMS's answer.

        Without the ARN, KMS would open a blob that another KMS key made.
        """
        wrapped = wrapped_bytes(key)
        must_be_trusted(self._trusted, key, key.kms_key_arn)
        arn = self._trusted.in_region(key.kms_key_arn)
        with asked_about(key):
            opened = self._kms.decrypt(
                KeyId=arn,
                CiphertextBlob=wrapped,
                EncryptionContext=encryption_context(key.purpose, key.field, key.key_id),
            )
        if opened["KeyId"] != arn or len(opened["Plaintext"]) != KEY_BYTES:
            message = (
                f"key {key.key_id} is not of the KMS key that its row names, or not of 32 bytes"
            )
            raise UnusableKeyError(message)
        return KeyMaterial(opened["Plaintext"])


def wrapped_bytes(key: WrappedKey) -> bytes:
    """Return the bytes for KMS. Raises UnusableKeyError if the key is destroyed."""
    if key.wrapped_key is None:
        message = f"key {key.key_id} is destroyed"
        raise UnusableKeyError(message)
    return key.wrapped_key


def must_be_trusted(trusted: TrustedKeys, key: WrappedKey, arn: str) -> None:
    """Raise UnusableKeyError unless this KMS key may wrap this key."""
    if not trusted.trusts(key.purpose, arn):
        message = f"key {key.key_id} is wrapped by a KMS key that is not trusted here"
        raise UnusableKeyError(
            message,
            hint="if that KMS key is yours, VAULT_ETL_TRUSTED_KEY_ARNS must list it; else find out who"
            " wrote the key, and `vault-etl erase` what is under it",
        )


@contextlib.contextmanager
def asked_about(key: WrappedKey) -> Iterator[None]:
    """Translate KMS's errors and name the key in them: a denial of this caller is KeyDeniedError.

    An invalid call is caused by the content of the key's row, so it counts as a refusal of that key.
    """
    named = f"key {key.key_id} ({key.purpose}, {key.field})"
    try:
        with translated(SERVICE):
            yield
    except UnusableKeyError as error:
        raise type(error)(f"{named}: {error}") from None
    except (DeniedError, InvalidCallError) as error:
        is_of_caller = isinstance(error, DeniedError) and not isinstance(error, KeyUnavailableError)
        kind = KeyDeniedError if is_of_caller else KeyUnavailableError
        hint = f"{error.hint}; its row names {key.kms_key_arn}"
        raise kind(f"{error}: {named}", hint=hint) from None


class KmsKeyRewrapper(KeyRewrapper):
    """Rewraps keys, and sees no plaintext."""

    def __init__(self, kms: KMSClient, trusted: TrustedKeys) -> None:
        self._kms = kms
        self._trusted = trusted

    @override
    def rewrap(self, key: WrappedKey, kms_key_arn: str) -> bytes:
        """Rewrap with the ARN of the key's row, and compare both ARNs with those in KMS's answer.

        Without that, a blob that another KMS key made would pass as the stored key.
        """
        wrapped = wrapped_bytes(key)
        for arn in (key.kms_key_arn, kms_key_arn):
            must_be_trusted(self._trusted, key, arn)
        context = encryption_context(key.purpose, key.field, key.key_id)
        source, target = map(self._trusted.in_region, (key.kms_key_arn, kms_key_arn))
        with asked_about(key):
            made = self._kms.re_encrypt(
                CiphertextBlob=wrapped,
                SourceKeyId=source,
                SourceEncryptionContext=context,
                DestinationKeyId=target,
                DestinationEncryptionContext=context,
            )
        if made["SourceKeyId"] != source or made["KeyId"] != target:
            message = f"KMS rewrapped key {key.key_id} with other KMS keys than it was told"
            raise UnusableKeyError(message)
        return made["CiphertextBlob"]


class KmsKeyFinder(KmsKeys):
    """Looks up KMS keys."""

    def __init__(self, kms: KMSClient, trusted: TrustedKeys) -> None:
        self._kms = kms
        self._trusted = trusted

    @override
    def arn(self, name: str) -> str:
        with translated(SERVICE, Subject(name)):
            return self._kms.describe_key(KeyId=name)["KeyMetadata"]["Arn"]

    @override
    def trusts(self, purpose: KeyPurpose, kms_key_arn: str) -> bool:
        return self._trusted.trusts(purpose, kms_key_arn)

    @override
    def in_use(self, purpose: KeyPurpose) -> str:
        return self._trusted.in_use(purpose)
