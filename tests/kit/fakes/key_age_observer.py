"""An observer of the ages of keys that remembers."""

from __future__ import annotations

import datetime as dt

from typing_extensions import override

from vault_etl.crypto.fields import KeyPurpose
from vault_etl.keys.age import KeyAgeObserver


class FakeKeyAgeObserver(KeyAgeObserver):
    """`KeyAgeObserver` that keeps what it was told last."""

    def __init__(self) -> None:
        self.limits: dict[KeyPurpose, dt.timedelta] = {}
        self.ages: dict[KeyPurpose, dt.timedelta | None] = {}

    @override
    def key_limit(self, purpose: KeyPurpose, limit: dt.timedelta) -> None:
        self.limits[purpose] = limit

    @override
    def key_age(self, purpose: KeyPurpose, age: dt.timedelta | None) -> None:
        self.ages[purpose] = age
