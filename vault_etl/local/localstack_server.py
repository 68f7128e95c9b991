"""LocalStack on 127.0.0.1 only. Runs in LocalStack's own environment, so it imports none of our modules.

LocalStack 4.9 accepts the host of GATEWAY_LISTEN, but listens on every interface of the machine (its
`runtime/server/twisted.py` has "TODO: interface = host?"). Twisted itself accepts an interface.
"""

from __future__ import annotations

import functools

from localstack.runtime.main import main  # type: ignore[import-not-found]
from twisted.internet import endpoints  # type: ignore[import-not-found]

endpoints.TCP4ServerEndpoint = functools.partial(
    endpoints.TCP4ServerEndpoint, interface="127.0.0.1"
)
main()
