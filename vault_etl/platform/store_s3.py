"""One archive under a prefix of an S3 bucket. Encryption at rest is the bucket's matter."""

from __future__ import annotations

import base64
import contextlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import botocore.exceptions as raised
import stamina

from vault_etl.base.errors import UsageError
from vault_etl.platform.aws import ATTEMPTS
from vault_etl.platform.aws_failures import Subject, translated
from vault_etl.platform.store_folder import (
    copy_at_most,
    files_translated,
    must_fit,
    new_file,
    size_and_sha256,
)

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

_SERVICE: Final = "S3"
_LOCATION: Final = re.compile(
    r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/((?:[A-Za-z0-9!_.*'()-]+/)*[A-Za-z0-9!_.*'()-]+)"
)
_CUT_OFF: Final = (
    raised.FlexibleChecksumError,
    raised.HTTPClientError,
    raised.IncompleteReadError,
)
"""While an object arrives, which botocore does not ask for again."""
_THERE: Final = "PreconditionFailed"


class S3Archive:
    """`ArchiveStore` in objects. A part is one request: 5 GB at most."""

    def __init__(self, client: S3Client, location: str) -> None:
        """Raises UsageError for a location that is not s3://bucket/prefix."""
        found = _LOCATION.fullmatch(location)
        if found is None:
            message = f"{location!a} is no place in S3 for an archive"
            raise UsageError(
                message, hint="for example s3://bucket/prefix: letters, digits, / and !_.*'()-"
            )
        self._client = client
        self._location = location
        self._bucket, self._prefix = found[1], found[2]

    @property
    def location(self) -> str:
        """See `ArchiveReader.location`."""
        return self._location

    def names(self) -> Sequence[str]:
        """See `ArchiveReader.names`."""
        prefix = f"{self._prefix}/"
        with translated(_SERVICE, Subject(self._location)):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=prefix
            )
            keys = [found["Key"] for page in pages for found in page.get("Contents", [])]
        return sorted(key.removeprefix(prefix) for key in keys)

    def get(self, name: str, target: Path, most_bytes: int) -> None:
        """See `ArchiveReader.get`. What was cut off is asked for again."""
        with (
            files_translated(target),
            translated(_SERVICE, self._subject(name)),
            new_file(target) as file,
        ):
            for attempt in stamina.retry_context(on=_CUT_OFF, attempts=ATTEMPTS):
                with attempt:
                    file.seek(0)
                    file.truncate()
                    found = self._client.get_object(
                        Bucket=self._bucket, Key=self._key(name), ChecksumMode="ENABLED"
                    )
                    # Its own `with` hands out the stream below it, which does not check its length.
                    with contextlib.closing(found["Body"]) as body:
                        place = f"{self._location}/{name}"
                        must_fit(found["ContentLength"], most_bytes, place)
                        copy_at_most(body, file, most_bytes, place)

    def put(self, name: str, source: Path) -> None:
        """See `ArchiveStore.put`. S3 compares what arrives with its SHA-256, and keeps that beside it."""
        with files_translated(source), translated(_SERVICE, self._subject(name)):
            _, digest = size_and_sha256(source)
            checksum = base64.b64encode(digest).decode("ascii")
            try:
                with source.open("rb") as body:
                    self._client.put_object(
                        Bucket=self._bucket,
                        Key=self._key(name),
                        Body=body,
                        ChecksumAlgorithm="SHA256",
                        ChecksumSHA256=checksum,
                        IfNoneMatch="*",
                    )
            except raised.ClientError as error:
                # An answer that was lost is asked for again, and what is there is then our own.
                if error.response["Error"].get("Code") != _THERE or self._sha256(name) != checksum:
                    raise

    def delete(self, name: str) -> None:
        """See `ArchiveStore.delete`. A bucket with versions keeps what it has."""
        with translated(_SERVICE, self._subject(name)):
            self._client.delete_object(Bucket=self._bucket, Key=self._key(name))

    def _sha256(self, name: str) -> str | None:
        found = self._client.head_object(
            Bucket=self._bucket, Key=self._key(name), ChecksumMode="ENABLED"
        )
        return found.get("ChecksumSHA256")

    def _key(self, name: str) -> str:
        return f"{self._prefix}/{name}"

    def _subject(self, name: str) -> Subject:
        return Subject(f"{self._location}/{name}")
