"""Signature Version 4 of AWS, for POST requests to one path of one service.

The general signer of botocore normalises the URL, the query and the headers of each request, and derives the signing
key again: most of its time. Here the path is fixed, there is no query, and the key is kept for its day.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
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
        self._key = ("", "", b"")
        """The secret access key, the day, and the signing key that both give."""

    def authorization(
        self, credentials: ReadOnlyCredentials, headers: Mapping[str, str], body: bytes
    ) -> str:
        """Return the header Authorization. All `headers` are signed.

        Their names are in lower case, and `host` and `x-amz-date` (YYYYMMDDTHHMMSSZ) are among them. Their values have
        no space at their ends and no two in a row: SigV4 would remove these.
        """
        moment = headers["x-amz-date"]
        scope = f"{moment[:DAY]}/{self._region}/{self._service}/aws4_request"
        names = sorted(headers)
        signed = ";".join(names)
        lines = "".join([f"{name}:{headers[name]}\n" for name in names])
        request = f"POST\n{self._path}\n\n{lines}\n{signed}\n{sha256(body).hexdigest()}"
        text = f"{ALGORITHM}\n{moment}\n{scope}\n{sha256(request.encode()).hexdigest()}"
        key = self._signing_key(credentials.secret_key or "", moment[:DAY])
        signature = hmac.digest(key, text.encode(), "sha256").hex()
        return (
            f"{ALGORITHM} Credential={credentials.access_key}/{scope},"
            f" SignedHeaders={signed}, Signature={signature}"
        )

    def _signing_key(self, secret: str, day: str) -> bytes:
        of_secret, of_day, key = self._key
        if (of_secret, of_day) != (secret, day):
            key = f"AWS4{secret}".encode()
            for part in (day, self._region, self._service, "aws4_request"):
                key = hmac.digest(key, part.encode(), "sha256")
            self._key = (secret, day, key)
        return key
