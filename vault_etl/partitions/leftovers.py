"""Find the archives of a month below a root, also those that are not on the record."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vault_etl.base.errors import NotFoundError
from vault_etl.platform.aws_failures import Subject, translated
from vault_etl.platform.store import S3, bucket_and_prefix

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client


def bucket_archives(client: S3Client, root: str, prefix: str) -> Sequence[str]:
    """Return the locations in `root` that are named as archives are, sorted: the prefix, and eight characters.

    `root` is s3://bucket, or s3://bucket/prefix.
    """
    bucket, folder = bucket_and_prefix(root)
    start = f"{folder}/{prefix}" if folder else prefix
    with translated("S3", Subject(root)):
        pages = client.get_paginator("list_objects_v2").paginate(
            Bucket=bucket, Prefix=start, Delimiter="/"
        )
        found = [each["Prefix"] for page in pages for each in page.get("CommonPrefixes", [])]
    return sorted(f"{S3}{bucket}/{each[:-1]}" for each in found if len(each) == len(start) + 9)


def folder_archives(root: Path, prefix: str) -> Sequence[str]:
    """Return the folders in `root` that are named as archives are, sorted: the prefix, and eight characters.

    Raises NotFoundError if `root` does not exist.
    """
    if not root.is_dir():
        message = f"the folder {root} does not exist"
        raise NotFoundError(message, hint="make the folder, or mount its disk")
    length = len(prefix) + 8
    return sorted(
        str(each)
        for each in root.iterdir()
        if each.name.startswith(prefix) and len(each.name) == length and each.is_dir()
    )
