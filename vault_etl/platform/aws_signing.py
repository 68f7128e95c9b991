"""Signature Version 4 of AWS, for POST requests to one path of one service.

The general signer of botocore normalises the URL, the query and the headers of each request, and derives the signing
key again: most of its time. Here the path is fixed, there is no query, and what equal headers share is made once.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from botocore.utils import normalize_url_path

if TYPE_CHECKING:
    from botocore.credentials import ReadOnlyCredentials

ALGORITHM: Final = "AWS4-HMAC-SHA256"
DAY: Final = len("YYYYMMDD")


class RequestSigner:
    """Signs requests. Any thread may use it."""

    def __init__(self, service: str, region: str, path: str = "/") -> None:
        self._service = service
        self._region = region
        self._path = quote(normalize_url_path(path), safe="/~")

    def signing(
        self, credentials: ReadOnlyCredentials, headers: Mapping[str, str]
    ) -> Callable[[bytes], str]:
        """Return the function from a body to the header Authorization, for requests with equal headers.

        All `headers` are signed. Their names are in lower case, and `host` and `x-amz-date` (YYYYMMDDTHHMMSSZ) are
        among them. Their values have no space at their ends and no two in a row: SigV4 would remove these.
        """
        moment = headers["x-amz-date"]
        day = moment[:DAY]
        scope = f"{day}/{self._region}/{self._service}/aws4_request"
        names = sorted(headers)
        signed = ";".join(names)
        lines = "".join([f"{name}:{headers[name]}\n" for name in names])
        request = f"POST\n{self._path}\n\n{lines}\n{signed}\n"
        text = f"{ALGORITHM}\n{moment}\n{scope}\n"
        authorization = (
            f"{ALGORITHM} Credential={credentials.access_key}/{scope},"
            f" SignedHeaders={signed}, Signature="
        )
        key = f"AWS4{credentials.secret_key or ''}".encode()
        for part in (day, self._region, self._service, "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")

        def sign(body: bytes) -> str:
            hashed = sha256(f"{request}{sha256(body).hexdigest()}".encode()).hexdigest()
            return authorization + hmac.digest(key, f"{text}{hashed}".encode(), "sha256").hex()

        return sign
