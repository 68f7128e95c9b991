"""Somebody."""

from __future__ import annotations

ACTOR = "arn:aws:sts::000000000000:assumed-role/re-encrypt/ada"


class FakeIdentity:
    """`Identity` of nobody in particular."""

    def actor(self) -> str:
        """See `Identity.actor`."""
        return ACTOR

    def host(self) -> str:
        """See `Identity.host`."""
        return "host.example"
