"""The address HOST:PORT to listen on, and its errors."""

from __future__ import annotations

import errno
import re
import socket
from dataclasses import dataclass
from typing import Any, Final

from vault_etl.base.errors import ConfigurationError

_FORM: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+(?:%\w+)?)\]|([\w.-]+)):([0-9]{1,5})", re.ASCII)
_MAX_PORT: Final = 65_535
_NAME: Final = "the metrics address (VAULT_ETL_METRICS_ADDRESS, --metrics-address)"
_HINT: Final = (
    "give HOST:PORT: 127.0.0.1:9464 for this machine alone, 0.0.0.0:9464 for all, or [::1]:9464"
)


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """A host and a port. The host is required: without one a server would listen on every interface."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> ListenAddress:
        """Parse HOST:PORT, with an IPv6 address in brackets. Raises ConfigurationError for other text."""
        form = _FORM.fullmatch(text)
        if form is None or int(form[3]) > _MAX_PORT:
            raise _malformed()
        return cls(form[1] or form[2], int(form[3]))

    def resolve(self) -> tuple[socket.AddressFamily, Any]:
        """Return the family and the address to bind. Raises OSError if the host has no address."""
        try:
            found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        except UnicodeError:  # a label of the name is too long, or empty
            raise _malformed() from None
        return found[0][0], found[0][4]

    @staticmethod
    def refused(error: OSError) -> ConfigurationError:
        """Return the error for an address that cannot be used."""
        if error.errno == errno.EADDRINUSE:
            return ConfigurationError(
                f"{_NAME} is in use", hint="choose another port, or 0 for any free port"
            )
        if error.errno in {errno.EACCES, errno.EPERM}:
            return ConfigurationError(f"{_NAME} may not be used", hint="choose a port above 1023")
        return ConfigurationError(f"{_NAME} is not an address of this machine", hint=_HINT)


def _malformed() -> ConfigurationError:
    return ConfigurationError(f"{_NAME} is malformed", hint=_HINT)
