"""boto3 clients of an emulator, untouched by the AWS settings of whoever runs us."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, Request, build_opener

import boto3
import botocore.loaders
import botocore.session
from botocore.config import Config

from vault_etl.local.emulator import REGION

_SWITCH_SECONDS = 10
_CONFIG = Config(
    connect_timeout=5,  # seconds, as the next
    read_timeout=60,
    retries={"mode": "standard", "total_max_attempts": 3},
    proxies={},  # a proxy of the environment is not for loopback
)
_MODELS = botocore.loaders.create_loader()
"""Of AWS's services: read once, since most of what it takes to make a session is to read them."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """An access key of the emulator. Its repr shows no secret."""

    access_key_id: str
    secret_access_key: str = field(repr=False)


class EmulatorSession:
    """Makes clients of the emulator at `endpoint`, with these credentials and no other setting."""

    def __init__(self, endpoint: str, credentials: Credentials) -> None:
        self._endpoint = endpoint
        bare = botocore.session.Session(
            session_vars={
                "profile": (None, None, None, None),
                "config_file": (None, None, os.devnull, None),
                "credentials_file": (None, None, os.devnull, None),
            }
        )
        bare.register_component("data_loader", _MODELS)
        self._session = boto3.session.Session(
            aws_access_key_id=credentials.access_key_id,
            aws_secret_access_key=credentials.secret_access_key,
            region_name=REGION,
            botocore_session=bare,
        )
        self._clients: dict[str, Any] = {}

    def client(self, service: Any) -> Any:  # noqa: ANN401  # as boto3's own type says
        """The client of one service: "sqs", "kms", "sts" or "iam". Making one takes longer than a call."""
        if service not in self._clients:
            self._clients[service] = self._session.client(
                service, endpoint_url=self._endpoint, config=_CONFIG
            )
        return self._clients[service]

    def on_endpoint(self, queue_url: str) -> str:
        """The same URL on the emulator's own address: LocalStack's host name needs DNS."""
        scheme, address = urlsplit(self._endpoint)[:2]
        return urlsplit(queue_url)._replace(scheme=scheme, netloc=address).geturl()

    def switch_authentication_on(self) -> None:
        """From now on moto checks signatures and policies. LocalStack has no such switch."""
        request = Request(  # noqa: S310  # the emulator's own address
            f"{self._endpoint}/moto-api/reset-auth",
            data=b"0",  # the number of further calls that need no permission
            headers={"Content-Type": "text/plain"},
        )
        with build_opener(ProxyHandler({})).open(request, timeout=_SWITCH_SECONDS):
            pass
