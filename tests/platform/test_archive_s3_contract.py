"""Archives in S3: checksums, answers that are lost, and refusals, which only S3 has."""

from __future__ import annotations

import base64
import http.client
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.kit.loopback_server import LoopbackServer
from vault_etl.base.errors import (
    ConfigurationError,
    DataError,
    DeniedError,
    IncompleteError,
    UnavailableError,
    UsageError,
)
from vault_etl.crypto.digest import sha256
from vault_etl.local.provision import EmulatorSession, Provisioned
from vault_etl.local.template import ARCHIVE_BUCKET
from vault_etl.platform.store_s3 import S3Archive

LOCATION = "s3://cold/vault/user_logins_2026_03-0a1b2c3d"
NAME = "part-00001.parquet"
CONTENT = bytes(range(256)) * 1000
MOST = len(CONTENT)


@pytest.fixture(scope="module")
def cold(moto: tuple[str, Provisioned]) -> Any:  # noqa: ANN401 - a client of boto3
    """An S3 client of the emulator's administrator, and a bucket."""
    endpoint, provisioned = moto
    client = EmulatorSession(endpoint, provisioned.credentials["admin"]).client("s3")
    client.create_bucket(Bucket="cold")
    return client


@pytest.fixture
def archive(cold: Any, tmp_path: Path) -> Iterator[S3Archive]:  # noqa: ANN401
    """An archive with a file in it."""
    source = tmp_path / "source"
    source.write_bytes(CONTENT)
    store = S3Archive(cold, LOCATION)
    store.put(NAME, source)
    yield store
    store.delete(NAME)


@contextmanager
def cutting(endpoint: str, times: int) -> Iterator[tuple[str, list[str]]]:
    """A proxy of S3 that breaks in the middle of the first answers; its URL, and the requests that it got."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            upstream = http.client.HTTPConnection(urlsplit(endpoint).netloc, timeout=30)
            upstream.request(self.command, self.path, sent, dict(self.headers.items()))
            answer = upstream.getresponse()
            body = answer.read()
            upstream.close()
            if self.command == "PUT" and len(asked) <= times:
                self.close_connection = True
                return
            self.send_response_only(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in {"connection", "transfer-encoding"}:
                    self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body[: len(body) // 2] if len(asked) <= times else body)

        def do_PUT(self) -> None:
            self.do_GET()

        def do_HEAD(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    with LoopbackServer(Handler) as server:
        yield server.url, asked


def test_the_sha256_is_kept_beside_the_object(archive: S3Archive, cold: Any) -> None:  # noqa: ANN401
    """S3 compares the checksum with the bytes that arrive, and every reader can ask for it."""
    del archive
    head = cold.head_object(
        Bucket="cold", Key=f"{LOCATION.removeprefix('s3://cold/')}/{NAME}", ChecksumMode="ENABLED"
    )
    assert head["ChecksumSHA256"] == base64.b64encode(sha256(CONTENT)).decode()


def test_a_put_whose_answer_was_lost_is_made_again(
    archive: S3Archive, moto: tuple[str, Provisioned], tmp_path: Path
) -> None:
    """The object that is there then is its own; that of another call, even with the same bytes, is not."""
    endpoint, provisioned = moto
    with cutting(endpoint, 1) as (url, asked):
        client = EmulatorSession(url, provisioned.credentials["admin"]).client("s3")
        store = S3Archive(client, LOCATION)
        store.put("part-00002.parquet", tmp_path / "source")
        client.close()
    assert len(asked) == 3, "a put without an answer, a refused one, and a check at the object"
    for name in (NAME, "part-00002.parquet"):
        with pytest.raises(
            IncompleteError, match=r"already \(PreconditionFailed\): s3://cold/vault/"
        ):
            archive.put(name, tmp_path / "source")
    archive.delete("part-00002.parquet")


@pytest.mark.parametrize(("times", "whole"), [(1, True), (9, False)])
def test_an_incomplete_object_is_requested_again(
    archive: S3Archive, moto: tuple[str, Provisioned], tmp_path: Path, *, times: int, whole: bool
) -> None:
    """The object is requested three times in all; then a later run may pass. Half a file is never left."""
    del archive
    endpoint, provisioned = moto
    target = tmp_path / "target"
    with cutting(endpoint, times) as (url, asked):
        client = EmulatorSession(url, provisioned.credentials["admin"]).client("s3")
        store = S3Archive(client, LOCATION)
        if whole:
            store.get(NAME, target, MOST)
            assert target.read_bytes() == CONTENT
        else:
            with pytest.raises(UnavailableError):
                store.get(NAME, target, MOST)
            assert not target.exists()
        client.close()
    assert len(asked) == (2 if whole else 3)


def test_an_object_that_is_too_large_is_not_fetched(
    archive: S3Archive, moto: tuple[str, Provisioned], tmp_path: Path
) -> None:
    """The length that S3 reports is checked first: otherwise the transfer would break midway, and be retried."""
    del archive
    endpoint, provisioned = moto
    with cutting(endpoint, times=9) as (url, asked):
        client = EmulatorSession(url, provisioned.credentials["admin"]).client("s3")
        with pytest.raises(DataError, match=f"{LOCATION}/{NAME} is too large"):
            S3Archive(client, LOCATION).get(NAME, tmp_path / "target", MOST // 4)
        client.close()
    assert len(asked) == 1
    assert not (tmp_path / "target").exists()


def test_a_missing_bucket_is_named(cold: Any, tmp_path: Path) -> None:  # noqa: ANN401
    """A missing bucket is a wrong setting, and the error has its name."""
    store = S3Archive(cold, "s3://cold-too/vault")
    (tmp_path / "source").write_bytes(b"")
    for use in (store.names, lambda: store.put(NAME, tmp_path / "source")):
        with pytest.raises(ConfigurationError, match=r"no such bucket .*: s3://cold-too/vault"):
            use()


@pytest.mark.iam
def test_the_template_gives_the_owner_exactly_the_rights_it_needs(
    moto: tuple[str, Provisioned], tmp_path: Path
) -> None:
    """The rights are those in the emulator's bucket for archives, no more and no less."""
    endpoint, provisioned = moto
    client = EmulatorSession(endpoint, provisioned.credentials["owner"]).client("s3")
    store = S3Archive(client, f"s3://{ARCHIVE_BUCKET}/vault")
    (tmp_path / "source").write_bytes(CONTENT)
    store.put(NAME, tmp_path / "source")
    with pytest.raises(IncompleteError):
        store.put(NAME, tmp_path / "source")
    store.get(NAME, tmp_path / "target", MOST)
    assert list(store.names()) == [NAME]
    store.delete(NAME)
    assert list(store.names()) == []


@pytest.mark.iam
def test_a_role_without_the_right_is_denied(
    archive: S3Archive, moto: tuple[str, Provisioned], tmp_path: Path
) -> None:
    """The role audit has no right to archives."""
    endpoint, provisioned = moto
    other = EmulatorSession(endpoint, provisioned.credentials["audit"]).client("s3")
    store = S3Archive(other, LOCATION)
    for use in (
        store.names,
        lambda: store.get(NAME, tmp_path / "target", MOST),
        lambda: store.put("manifest.json", tmp_path / "source"),
        lambda: store.delete(NAME),
    ):
        with pytest.raises(DeniedError, match="S3 denies this"):
            use()
    assert not (tmp_path / "target").exists()
    assert list(archive.names()) == [NAME]


@pytest.mark.parametrize(
    "location",
    [
        "s3://",
        "s3://cold",
        "s3://cold/",
        "s3://cold//x",
        "s3://cold/x/",
        "s3://Cold/x",
        "s3://cold/a b",
    ],
)
def test_a_location_is_a_bucket_and_a_prefix(location: str) -> None:
    """A location can be written down, and typed again."""
    with pytest.raises(UsageError):
        S3Archive(None, location)  # type: ignore[arg-type]
