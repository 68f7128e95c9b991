"""Who the caller is, by AWS's word."""

from __future__ import annotations

import functools
import socket
from typing import TYPE_CHECKING

from vault_etl.platform.aws_failures import translated

if TYPE_CHECKING:
    from types_boto3_sts.client import STSClient


class StsIdentity:
    """`Identity` by sts:GetCallerIdentity, which no policy can forbid. Asked once."""

    def __init__(self, sts: STSClient) -> None:
        self._sts = sts

    def actor(self) -> str:
        """See `Identity.actor`."""
        return self._arn

    def host(self) -> str:
        """See `Identity.host`."""
        return socket.gethostname()[:255] or "unknown"

    @functools.cached_property
    def _arn(self) -> str:
        with translated("STS"):
            return self._sts.get_caller_identity()["Arn"]
