"""The health check of the container image: ask `/healthz` of the ingest that runs here.

    python -m vault_etl.ingest.metrics.health

The exit code is 0 if it answers 200. It is also 0 if VAULT_ETL_METRICS_ADDRESS is not set, or has the port 0: then the
address cannot be known. Any other answer, or none within `ANSWER_SECONDS`, is 1.
"""

from __future__ import annotations

import http.client
import os
import sys
from http import HTTPStatus
from typing import Final

from vault_etl.base.errors import ConfigurationError
from vault_etl.ingest.metrics.listen_address import ListenAddress

ANSWER_SECONDS: Final = 4.0

_EVERY_INTERFACE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - to be replaced


def main() -> int:
    """Return the exit code, and print the answer, which docker keeps."""
    address = os.environ.get("VAULT_ETL_METRICS_ADDRESS")
    if not address:
        return 0
    try:
        listen = ListenAddress.parse(address)
    except ConfigurationError as error:
        sys.stdout.write(f"{error}\n")
        return 1
    if not listen.port:
        return 0
    host = _EVERY_INTERFACE.get(listen.host, listen.host)
    connection = http.client.HTTPConnection(host, listen.port, timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        sys.stdout.write(answer.read().decode("utf-8", "replace"))
    except (OSError, UnicodeError, http.client.HTTPException) as error:
        sys.stdout.write(f"no answer: {type(error).__name__}\n")
        return 1
    return 0 if answer.status == HTTPStatus.OK else 1


if __name__ == "__main__":
    sys.exit(main())
