"""Locations of archives: a folder, or a prefix of a bucket, in one spelling."""

from __future__ import annotations

import pytest

from vault_etl.base.errors import UsageError
from vault_etl.platform.store import ArchiveRoot, bucket_and_prefix, parse_location


@pytest.mark.parametrize(
    ("text", "location"),
    [
        ("/srv/archives", "/srv/archives"),
        ("/srv/archives/", "/srv/archives"),
        ("archives", "/home/ann/archives"),
        ("../bob", "/home/bob"),
        ("s3://cold", "s3://cold"),
        ("s3://cold/", "s3://cold"),
        ("s3://cold/a/b/", "s3://cold/a/b"),
    ],
)
def test_a_location_has_one_spelling(text: str, location: str) -> None:
    """A location is absolute, from any working directory, and ends without a slash."""
    assert parse_location(text, "/home/ann") == location


@pytest.mark.parametrize(
    "text",
    [
        *(
            "s3://",
            "s3://Cold/x",
            "s3://cold//x",
            "s3://cold/a b",
            "s3://cold/a?b",
            "/a\nb",
            "/" + "x" * 300,
        ),
        *("S3://cold/x", "s3:/cold", "gs://cold/x", "file:///srv/archives"),
    ],
)
def test_text_that_is_not_a_location_is_refused(text: str) -> None:
    """The text is refused before a write; the log holds 300 characters of it."""
    with pytest.raises(UsageError):
        parse_location(text, "/")


def test_an_archive_is_a_folder_of_its_own() -> None:
    """The folder is named after the partition, whatever its characters; the next archive goes beside it."""
    root = ArchiveRoot.parse("s3://cold/logins", "/")
    location = root.archive("a/b c", "0a1b2c3d")
    assert location == "s3://cold/logins/a_b_c-0a1b2c3d"
    assert ArchiveRoot.around(location) == root
    assert bucket_and_prefix(location) == ("cold", "logins/a_b_c-0a1b2c3d")
    assert ArchiveRoot.parse("/", "/").archive("a", "0a1b2c3d") == "/a-0a1b2c3d"
    with pytest.raises(UsageError):
        ArchiveRoot("/" + "x" * 280).archive("user_logins_2026_03", "0a1b2c3d")
