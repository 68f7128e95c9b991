"""A caller's identity in memory."""

from __future__ import annotations

from typing_extensions import override

from vault_etl.audit.log import Identity

ACTOR = "arn:aws:sts::000000000000:assumed-role/re-encrypt/ada"


class FakeIdentity(Identity):
    """`Identity` of a made-up person, with this ARN."""

    def __init__(self, arn: str = ACTOR) -> None:
        self._arn = arn

    @override
    def actor(self) -> str:
        return self._arn

    @override
    def host(self) -> str:
        return "host.example"
