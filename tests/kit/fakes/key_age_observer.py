"""An observer of the ages of keys that remembers."""

from __future__ import annotations

import datetime as dt

from vault_etl.crypto.fields import KeyPurpose


class FakeKeyAgeObserver:
    """`KeyAgeObserver` that keeps what it was told last."""

    def __init__(self) -> None:
        self.limits: dict[KeyPurpose, dt.timedelta] = {}
        self.ages: dict[KeyPurpose, dt.timedelta | None] = {}

    def key_limit(self, purpose: KeyPurpose, limit: dt.timedelta) -> None:
        """See `KeyAgeObserver.key_limit`."""
        self.limits[purpose] = limit

    def key_age(self, purpose: KeyPurpose, age: dt.timedelta | None) -> None:
        """See `KeyAgeObserver.key_age`."""
        self.ages[purpose] = age
