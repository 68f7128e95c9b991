"""Our signatures are those of AWS's published vectors, and of botocore's signer for any request."""

from __future__ import annotations

import datetime as dt
from unittest.mock import patch

import pytest
from botocore.auth import SIGV4_TIMESTAMP, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials, ReadOnlyCredentials
from hypothesis import given
from hypothesis import strategies as st

from vault_etl.platform.aws_signing import RequestSigner

VECTOR_CREDENTIALS = ReadOnlyCredentials(
    "AKIDEXAMPLE",
    "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    None,
)
VECTOR_HEADERS = {"host": "example.amazonaws.com", "x-amz-date": "20150830T123600Z"}
VECTORS = {
    "post-vanilla": (
        {},
        b"",
        "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
    ),
    "post-header-key-sort": (
        {"my-header1": "value1"},
        b"",
        "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c",
    ),
    "post-header-value-case": (
        {"my-header1": "VALUE1"},
        b"",
        "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d",
    ),
    "post-x-www-form-urlencoded": (
        {"content-type": "application/x-www-form-urlencoded"},
        b"Param1=value1",
        "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
    ),
}
"""From AWS's aws-sig-v4-test-suite."""


@pytest.mark.parametrize("name", VECTORS)
def test_a_published_request_has_its_published_signature(name: str) -> None:
    """The service is `service`, in us-east-1."""
    headers, body, signature = VECTORS[name]
    signed = {**VECTOR_HEADERS, **headers}
    found = RequestSigner("service", "us-east-1").signing(VECTOR_CREDENTIALS, signed)(body)
    assert found == (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request,"
        f" SignedHeaders={';'.join(sorted(signed))}, Signature={signature}"
    )


TEXTS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)
WORDS = st.from_regex(r"[a-z][a-z0-9-]{0,15}", fullmatch=True)
PATHS = st.from_regex(r"/([A-Za-z0-9._~ äü%+-]{0,6}/?){0,3}", fullmatch=True)
MOMENTS = st.datetimes(timezones=st.just(dt.UTC))


@given(
    keys=st.tuples(TEXTS, TEXTS),
    token=st.none() | TEXTS,
    place=st.tuples(WORDS, WORDS, PATHS),
    headers=st.dictionaries(WORDS.map("x-".__add__), TEXTS, max_size=4),
    requests=st.lists(st.tuples(MOMENTS, st.binary(max_size=200)), min_size=1, max_size=3),
)
def test_any_request_is_signed_as_botocore_signs_it(
    keys: tuple[str, str],
    token: str | None,
    place: tuple[str, str, str],
    headers: dict[str, str],
    requests: list[tuple[dt.datetime, bytes]],
) -> None:
    """One signer signs several requests, of several days, with and without a session token."""
    service, region, path = place
    ours = RequestSigner(service, region, path)
    theirs = SigV4Auth(Credentials(*keys, token), service, region)
    headers = {**headers, "host": "queue.example"}
    if token:
        headers["x-amz-security-token"] = token
    for moment, body in requests:
        request = AWSRequest("POST", f"https://queue.example{path}", headers, body)
        with patch("botocore.auth.get_current_datetime", return_value=moment):
            theirs.add_auth(request)
        signed = {**headers, "x-amz-date": moment.strftime(SIGV4_TIMESTAMP)}
        found = ours.signing(ReadOnlyCredentials(*keys, token), signed)(body)
        assert found == request.headers["Authorization"]
