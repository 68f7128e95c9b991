"""One archive under a prefix of an S3 bucket. The bucket decides about encryption at rest."""

from __future__ import annotations

import base64
import contextlib
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

import botocore.exceptions as raised
from typing_extensions import override

from vault_etl.base.errors import UsageError
from vault_etl.platform.aws import ATTEMPTS
from vault_etl.platform.aws_errors import Subject, translated
from vault_etl.platform.store import S3, ArchiveStore, bucket_and_prefix
from vault_etl.platform.store_folder import (
    copy_at_most,
    files_translated,
    must_fit,
    new_file,
    size_and_sha256,
)
from vault_etl.platform.waiting import retried

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

_SERVICE: Final = "S3"
_CUT_OFF: Final = (
    raised.FlexibleChecksumError,
    raised.HTTPClientError,
    raised.IncompleteReadError,
)
"""Errors while an object arrives. botocore does not retry them."""
_EXISTS: Final = "PreconditionFailed"
_PUT_ID: Final = "put-id"
"""The metadata of an object that tells by which call of `put` it was written."""


class S3Archive(ArchiveStore):
    """A store of objects. A part is one request: 5 GB at most."""

    def __init__(self, client: S3Client, location: str) -> None:
        """Raises UsageError for a location that is not s3://bucket/prefix."""
        self._client = client
        self._location = location
        self._bucket, self._prefix = bucket_and_prefix(location)
        if not self._prefix or location.endswith("/"):
            message = f"an archive has a prefix in its bucket: {location}"
            raise UsageError(message, hint="for example s3://my-archives/logins")

    @property
    @override
    def location(self) -> str:
        return self._location

    @override
    def names(self) -> Sequence[str]:
        prefix = f"{self._prefix}/"
        with translated(_SERVICE, Subject(self._location)):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=prefix
            )
            keys = [found["Key"] for page in pages for found in page.get("Contents", [])]
        return sorted(key.removeprefix(prefix) for key in keys)

    @override
    def get(self, name: str, target: Path, most_bytes: int) -> None:
        """Copy a file to `target`. An object that arrives incomplete is requested again."""
        with (
            files_translated(target),
            translated(_SERVICE, self._subject(name)),
            new_file(target) as file,
        ):
            self._copy(name, file, most_bytes)

    @retried(_CUT_OFF, tries=ATTEMPTS)
    def _copy(self, name: str, file: BinaryIO, most_bytes: int) -> None:
        file.seek(0)
        file.truncate()
        found = self._client.get_object(
            Bucket=self._bucket, Key=self._key(name), ChecksumMode="ENABLED"
        )
        # `with` on the body itself gives the stream below it, which does not check the length.
        with contextlib.closing(found["Body"]) as body:
            place = f"{self._location}/{name}"
            must_fit(found["ContentLength"], most_bytes, place)
            copy_at_most(body, file, most_bytes, place)

    @override
    def put(self, name: str, source: Path) -> None:
        """Store a copy of `source`. S3 compares the object with its SHA-256, and keeps the digest."""
        with files_translated(source), translated(_SERVICE, self._subject(name)):
            _, digest = size_and_sha256(source)
            put_id = uuid.uuid4().hex
            try:
                with source.open("rb") as body:
                    self._client.put_object(
                        Bucket=self._bucket,
                        Key=self._key(name),
                        Body=body,
                        ChecksumAlgorithm="SHA256",
                        ChecksumSHA256=base64.b64encode(digest).decode("ascii"),
                        IfNoneMatch="*",
                        Metadata={_PUT_ID: put_id},
                    )
            except raised.ClientError as error:
                # botocore retries after a lost answer: then the object that exists is our own. Another writer's, even
                # one with the same bytes, is not: who loses may delete what it has put.
                if error.response["Error"].get("Code") != _EXISTS or self._put_id(name) != put_id:
                    raise

    @override
    def delete(self, name: str) -> None:
        """Delete the object. A bucket with versions keeps its old versions."""
        with translated(_SERVICE, self._subject(name)):
            self._client.delete_object(Bucket=self._bucket, Key=self._key(name))

    def _put_id(self, name: str) -> str | None:
        found = self._client.head_object(Bucket=self._bucket, Key=self._key(name))
        return found["Metadata"].get(_PUT_ID)

    def _key(self, name: str) -> str:
        return f"{self._prefix}/{name}"

    def _subject(self, name: str) -> Subject:
        return Subject(f"{self._location}/{name}")


def bucket_archives(client: S3Client, root: str, prefix: str) -> Sequence[str]:
    """Return the locations in `root` that are named as archives are, sorted: the prefix, and eight characters.

    `root` is s3://bucket, or s3://bucket/prefix.
    """
    bucket, folder = bucket_and_prefix(root)
    start = f"{folder}/{prefix}" if folder else prefix
    with translated(_SERVICE, Subject(root)):
        pages = client.get_paginator("list_objects_v2").paginate(
            Bucket=bucket, Prefix=start, Delimiter="/"
        )
        found = [each["Prefix"] for page in pages for each in page.get("CommonPrefixes", [])]
    return sorted(f"{S3}{bucket}/{each[:-1]}" for each in found if len(each) == len(start) + 9)
