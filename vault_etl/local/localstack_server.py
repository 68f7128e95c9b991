"""LocalStack on 127.0.0.1 alone. Runs in LocalStack's own environment: imports nothing of ours.

LocalStack 4.9 takes the host of GATEWAY_LISTEN and then listens on every interface of the machine
(its `runtime/server/twisted.py` says "TODO: interface = host?"). Twisted itself takes the interface.
"""

from __future__ import annotations

import functools

from localstack.runtime.main import main  # type: ignore[import-not-found]
from twisted.internet import endpoints  # type: ignore[import-not-found]

endpoints.TCP4ServerEndpoint = functools.partial(
    endpoints.TCP4ServerEndpoint, interface="127.0.0.1"
)
main()
